"""Which pictures are shown, and how they get into the page."""

import base64
import os
import re

from PIL import Image

from diffusion.report.page import MOST_PICTURE_PIXELS, at_last_common_step, image_html
from diffusion.report.runs import RunRecord


def run(folder, *names):
    (folder / "samples").mkdir(parents=True)
    for name in names:
        Image.new("L", (4, 2)).save(folder / "samples" / f"step_{name}.png")
    return RunRecord(folder, {}, {}, [], {})


def parts(html):
    """The file, the width, the height and the description of an <img>."""
    pattern = r'<img src="data:image/png;base64,(.*)" width="(.*)" height="(.*)" alt="(.*)">'
    data, *rest = re.fullmatch(pattern, html).groups()
    return base64.b64decode(data), *rest


def chosen(runs, **options):
    return [drawn.path.name for _, drawn in at_last_common_step(runs, **{"strip": False, **options})]


def test_runs_are_compared_at_their_last_common_step_and_slowest_average(tmp_path):
    names = [f"{step:08}_{kind}" for step in (1, 2) for kind in ("raw", "ema_0.9", "ema_0.99", "strip_ema_0.99")]
    runs = [run(tmp_path / "a", *names, "00000003_ema_0.9"), run(tmp_path / "b", *names), run(tmp_path / "c")]
    assert chosen(runs) == ["step_00000002_ema_0.99.png"] * 2
    assert chosen(runs, strip=True) == ["step_00000002_strip_ema_0.99.png"] * 2


def test_runs_without_a_common_step_show_their_last(tmp_path):
    runs = [run(tmp_path / "a", "1_raw", "3_raw"), run(tmp_path / "b", "2_raw")]
    assert chosen(runs) == ["step_3_raw.png", "step_2_raw.png"]


def test_the_packed_picture_is_the_file_if_it_is_whole(tmp_path):
    run(tmp_path, "1_raw")
    path = tmp_path / "samples" / "step_1_raw.png"
    assert parts(image_html(path, '"')) == (path.read_bytes(), "4", "2", "&quot;")
    path.write_bytes(path.read_bytes()[:40])
    assert image_html(path, "") == image_html(tmp_path / "nothing.png", "") == ""


def test_what_is_called_a_picture_and_is_none_is_left_out(tmp_path):
    os.mkfifo(tmp_path / "pipe.png")
    (tmp_path / "zeros.png").symlink_to("/dev/zero")
    (tmp_path / "script.png").write_text("%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n")
    Image.new("1", (2**13, MOST_PICTURE_PIXELS // 2**13 + 1)).save(tmp_path / "bomb.png")
    assert [image_html(path, "") for path in sorted(tmp_path.iterdir())] == [""] * 4
