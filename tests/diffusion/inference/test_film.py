"""The way from noise to images as a film."""

import importlib.util
from itertools import pairwise

import numpy as np
import pytest
import torch
from PIL import Image

from diffusion.inference.film import FRAMES, IMAGES, Film
from diffusion.samplers.sampler import Step


def way(steps, channels=1, images=4):
    """x falls from 1 to -1 and x_0 rises."""
    for share in np.linspace(0, 1, steps):
        level = torch.full((images, channels, 4, 4), 1 - 2 * float(share))
        yield Step(level, -level)


@pytest.mark.parametrize("channels", [1, 3])
def test_a_gif_shows_x_on_the_left_and_what_is_expected_in_it_on_the_right(tmp_path, channels):
    film = Film(tmp_path / "new" / "way.gif")
    assert len(list(film.watch(way(5, channels)))) == 5
    film.save("words")
    with Image.open(tmp_path / "new" / "way.gif") as gif:
        assert gif.n_frames == 5 and gif.info["loop"] == 0
        shown = []
        for number in range(5):
            gif.seek(number)
            frame = np.asarray(gif.convert("RGB"))
            shown.append((frame[-20, 20].tolist(), frame[-20, -20].tolist()))
        assert gif.info["duration"] >= 1000  # the last one stays
    for number, level in enumerate([255, 191, 128, 64, 0]):
        assert np.abs(np.array(shown[number]) - [[level] * 3, [255 - level] * 3]).max() <= 2
    assert [each.name for each in (tmp_path / "new").iterdir()] == ["way.gif"]


@pytest.mark.parametrize("steps", [1, FRAMES, FRAMES + 1, 1000])
def test_a_long_way_is_shown_in_so_many_frames_evenly_and_with_its_end(tmp_path, steps):
    film = Film(tmp_path / "way.gif")
    list(film.watch(way(steps, images=40)))
    numbers = [number for number, _ in film.steps]
    assert numbers[0] == 0 and numbers[-1] == steps - 1 and min(steps, FRAMES // 2) <= len(numbers) <= FRAMES + 1
    assert len({b - a for a, b in pairwise(numbers[:-1])}) <= 1
    assert all(len(step.x) == IMAGES for _, step in film.steps)


def test_other_endings_are_refused_and_an_mp4_names_what_it_needs(tmp_path, monkeypatch):
    for name in ("way.avi", "way"):
        with pytest.raises(ValueError, match=rf"film=.*{name} must end with .gif or .mp4; set film=way.gif"):
            Film(tmp_path / name)
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(ValueError, match=r'needs PyAV; type: pip install -e "\.\[film\]", or set film=way.gif'):
        Film(tmp_path / "way.mp4")


@pytest.mark.skipif(importlib.util.find_spec("av") is None, reason="needs the extra film")
def test_an_mp4_holds_the_frames(tmp_path):
    import av

    film = Film(tmp_path / "way.mp4")
    list(film.watch(way(6)))
    film.save("words")
    with av.open(str(tmp_path / "way.mp4")) as stored:
        frames = [frame.to_ndarray(format="rgb24") for frame in stored.decode(video=0)]
    assert len(frames) > 6 and frames[0][-20, 20, 0] > 240 and frames[-1][-20, 20, 0] < 15
