"""Odd images are read and broken ones are named, packed or decoded: the files of benchmarks/hostile/odd_images.py."""

import re
import runpy
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from diffusion.data.folder import ImageFolder
from diffusion.data.preparation import fitted

BENCHMARK = runpy.run_path(str(Path(__file__).parents[3] / "benchmarks" / "hostile" / "odd_images.py"))


@pytest.mark.parametrize("cache", ["auto", "off"])
def test_broken_images_are_named_and_odd_ones_are_not(tmp_path, caplog, cache):
    for kinds in (BENCHMARK["ODD"], BENCHMARK["BROKEN"]):
        BENCHMARK["make"](tmp_path, kinds)
    images = ImageFolder(root=str(tmp_path), image_size=64, on_error="skip", cache=cache, workers=0)
    images.prepare()
    images.read(range(len(images)))
    named = {images.files[i] for i in images.unreadable.nonzero().flatten().tolist()}
    assert named == BENCHMARK["BROKEN"].keys()
    assert {str(Path(path).relative_to(tmp_path)) for path in re.findall(r"skipping (\S+):", caplog.text)} == named


def test_a_thin_image_does_not_fill_the_memory():
    with pytest.raises(ValueError, match="1x60000 pixels are too long and thin to fill 64x64"):
        fitted(Image.fromarray(np.zeros((60_000, 1), np.uint8)), channels=1, height=64, width=64)
