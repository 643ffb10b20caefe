"""`import diffusion`: every class by its own name, found when it is asked for."""

import copy
import pickle
import pkgutil
import re
import subprocess
import sys
from collections import Counter
from pathlib import Path

import pytest
from hydra.utils import get_class

import diffusion
import unet

HOME = Path(diffusion.__file__).parent


def test_importing_it_is_light_and_changes_nothing():
    code = "import os; before = dict(os.environ); import diffusion, sys; assert dict(os.environ) == before"
    code += "; assert not {'torch', 'numpy', 'hydra'} & sys.modules.keys()"
    subprocess.run([sys.executable, "-c", code], check=True, timeout=60)


def test_no_two_rooms_have_a_class_of_the_same_name():
    files = [path for room in diffusion.ROOMS for path in (HOME / room).rglob("*.py")]
    names = Counter(name for path in files for name in re.findall(r"^class ([A-Z]\w*)", path.read_text(), re.M))
    assert names and max(names.values()) == 1, names.most_common(3)


@pytest.mark.parametrize("name", ["Cosine", "Ancestral", "Digits", "AdamW"])
def test_a_class_is_found_by_its_name_by_whoever_looks_for_it(name):
    found = getattr(diffusion, name)
    assert found.__name__ == name and name in dir(diffusion)
    assert pkgutil.resolve_name(f"diffusion.{name}") is get_class(f"diffusion.{name}") is found
    assert copy.copy(found) is pickle.loads(pickle.dumps(found)) is found


def test_every_name_leads_to_a_class_and_others_to_none():
    assert all(isinstance(getattr(diffusion, name), type) for name in diffusion.public_classes())
    for name in ("Nothing", "cosine", "_Reader", "__path_of_nothing__"):
        with pytest.raises(AttributeError, match=name):
            getattr(diffusion, name)
    assert unet.UNet.__name__ not in dir(diffusion)
