"""Words in pictures, in a font that is there on every machine."""

from bisect import bisect
from collections.abc import Iterable
from functools import cache
from pathlib import Path
from typing import NamedTuple

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from diffusion.pictures.plots import quiet_matplotlib

SIZE, LINE = 13, 18  # of a letter and of a line, in pixels
FRAME = 8  # pixels around a picture
PAPER, INK = 255, 0
# Matplotlib's own first; where the system has the others, they have the letters that it lacks.
FONTS = ("DejaVuSans.ttf", "NotoSansCJK-Regular.ttc", "NanumGothic.ttf", "AppleSDGothicNeo.ttc", "malgun.ttf")
NO_LETTER = "\U0010ffff"


class Words(NamedTuple):
    """Lines of `text` whose upper left corner is (x, y)."""

    text: str
    x: int
    y: int


def write_on(picture: np.ndarray, words: Iterable[Words]) -> np.ndarray:
    """The picture, uint8 (height, width, C), with words on its white parts."""
    page = Image.new("L", (picture.shape[1], picture.shape[0]), PAPER)
    pen = ImageDraw.Draw(page)
    for text, x, y in words:
        for number, line in enumerate(map(without_controls, text.split("\n"))):
            pen.text((x, y + number * LINE), line, fill=INK, font=font_for(line))
    return np.minimum(picture, np.asarray(page)[..., None])


def titled(picture: np.ndarray, title: str) -> np.ndarray:
    """The picture, uint8 (height, width, C), in a white frame below lines of text, broken where they are too long."""
    lines = [part for line in title.split("\n") for part in wrap(line, picture.shape[1])]
    top = FRAME + len(lines) * LINE + LINE // 3
    framed = np.pad(picture, ((top, FRAME), (FRAME, FRAME), (0, 0)), constant_values=PAPER)
    return write_on(framed, [Words("\n".join(lines), FRAME, FRAME)])


def wrap(text: str, width: int) -> list[str]:
    """`text` in lines of at most `width` pixels, broken between words; a longer word is cut."""
    lines = [""]
    for word in text.split(" "):
        longer = f"{lines[-1]} {word}".strip()
        if fits(longer, width):
            lines[-1] = longer
        else:
            lines.append(word)
    return [cut_text(line, width) for line in lines if line]


def cut_text(text: str, width: int) -> str:
    """`text`, ended early by an ellipsis where it is wider than `width` pixels."""
    if fits(text, width):
        return text
    letters = bisect(range(1, width), width, key=lambda count: text_width(f"{text[:count]}…"))
    return f"{text[:letters]}…"


def fits(text: str, width: int) -> bool:
    """Whether `text` is at most `width` pixels wide. Of a text of more letters than that, nothing is measured."""
    return len(text) <= width and text_width(text) <= width


def text_width(text: str) -> int:
    """The pixels that the widest line of `text` takes."""
    lines = [without_controls(line) for line in text.split("\n")]
    return max(-int(-font_for(line).getlength(line) // 1) for line in lines)


def legible(text: str) -> bool:
    """Whether some font has all letters of `text`."""
    return any(has_letters(name, without_controls(text)) for name in FONTS)


def without_controls(text: str) -> str:
    return text if text.isprintable() else "".join(letter if letter.isprintable() else " " for letter in text)


def font_for(text: str) -> ImageFont.FreeTypeFont:
    """The first font that has all letters of `text`, or else the first of all."""
    name = next((name for name in FONTS if has_letters(name, text)), FONTS[0])
    font = load_font(name)
    assert font is not None, "matplotlib brings the first one"
    return font


@cache
def load_font(name: str) -> ImageFont.FreeTypeFont | None:
    """A font of matplotlib's or of the system; None where there is none of that name."""
    own = Path(quiet_matplotlib().get_data_path()) / "fonts" / "ttf" / name
    try:
        return ImageFont.truetype(str(own) if own.exists() else name, SIZE)
    except OSError:
        return None


def has_letters(name: str, text: str) -> bool:
    """Whether that font is there and has all letters of `text`."""
    return all(has_letter(name, letter) for letter in set(text))


@cache
def has_letter(name: str, letter: str) -> bool:
    font = load_font(name)
    return font is not None and (letter == " " or bytes(font.getmask(letter)) != bytes(font.getmask(NO_LETTER)))
