"""Words in pictures."""

import time

import numpy as np
import torch

from diffusion.pictures.grid import grid
from diffusion.pictures.lettering import FRAME, LINE, cut_text, legible, text_width, titled, wrap

PICTURE = np.zeros((20, 200, 3), np.uint8)


def test_a_title_stands_above_its_picture_which_stays_as_it_is():
    one, two = titled(PICTURE, "a"), titled(PICTURE, "a\nb")
    assert (one[-FRAME - 20 : -FRAME, FRAME:-FRAME] == PICTURE).all() and two.shape[0] - one.shape[0] == LINE
    assert one[: -FRAME - 20].min() < 100 and (one[:, :FRAME] == 255).all() and (one[:, -FRAME:] == 255).all()


def test_what_is_too_long_is_broken_between_words_or_cut():
    lines = wrap("a run of a name that is long " + "w" * 100, 100)
    assert all(text_width(line) <= 100 for line in lines) and lines[-1].endswith("w…")
    assert " ".join(lines[:-1]) == "a run of a name that is long"
    assert cut_text("short", 100) == "short" and cut_text("any", 1) == "…"


def test_a_text_of_megabytes_is_cut_at_once():
    """Measured letter by letter, or whole, one of these takes minutes."""
    start = time.process_time()
    for text in ("w" * 10**7, "wi" * 10**6, "\x1b" * 10**6):
        shown = cut_text(text, 120)
        assert 100 < text_width(shown) <= 120 and text.startswith(shown[:-1]) and shown[-1] == "…"
    assert legible("w" * 10**6) and wrap("w" * 10**6, 120) == [cut_text("w" * 10**6, 120)]
    assert grid(torch.zeros(2, 1, 8, 8), labels=["w" * 10**6, "i" * 10**6]).shape[1] >= 800
    assert time.process_time() - start < 2


def test_words_may_hold_anything():
    for text in ("", " ", "кошка", "고양이", "\udc80", "a\tb\x00", "\u202e", "$x$"):
        assert titled(PICTURE, text).shape[1] == 200 + 2 * FRAME
    assert legible("кошка, gâteau") and not legible("\U00012345")
