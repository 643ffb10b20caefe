"""python -m diffusion.report, from folders to the page."""

import errno
import json
import os
import re
import sys
from pathlib import Path

import pytest
from PIL import Image

from diffusion.report.__main__ import main
from diffusion.report.page import write_page


@pytest.fixture
def runs(tmp_path):
    """Two runs of three seeds, and one that failed with a message that is no HTML."""
    for lr in (0.1, 0.01):
        for seed in range(3):
            folder = tmp_path / "runs" / f"lr-{lr}+seed-{seed}"
            (folder / "samples").mkdir(parents=True)
            (folder / "config.yaml").write_text(json.dumps({"seed": seed, "train": {"lr": lr}}))
            lines = [{"step": i, "images": 8 * i, "loss": lr / (i + 1), "loss_q0": 1.0, "lr": lr} for i in range(40)]
            (folder / "metrics.jsonl").write_text("\n".join(map(json.dumps, lines)))
            Image.new("L", (16, 16)).save(folder / "samples" / "step_40_ema_0.9.png")
            Image.new("L", (64, 16)).save(folder / "samples" / "step_40_strip_ema_0.9.png")
            entry = {"command": "python train.py 'name=<b>'", "commit": "abc123", "left_out": ["a.bin"]}
            (folder / "provenance.json").write_text(json.dumps([entry]))
    failed = tmp_path / "runs" / "failed"
    failed.mkdir()
    (failed / "outcome.json").write_text(json.dumps({"state": "failed", "message": "<script>alert('$x')</script>"}))
    return tmp_path / "runs"


def test_the_page_holds_all_it_needs(runs, tmp_path, capsys):
    assert main([str(runs), "--out", str(tmp_path / "page.html")]) == 0
    page = (tmp_path / "page.html").read_text(encoding="utf-8")
    assert not re.search(r"https?://|<link|@import|url\((?!#)", page)
    assert all(source.startswith("data:image/png") for source in re.findall(r'src="([^"]*)"', page))
    assert page.count("<img") == 12 and all(image for image in re.findall(r'<img[^>]*alt="([^"]+)"', page))
    assert (
        page.count("<svg") == 3
        and "Over seeds" in page
        and "git checkout abc123\n# new files that were not kept: a.bin" in page
    )
    assert "Report: " in capsys.readouterr().out


def test_what_files_say_is_text(runs, tmp_path):
    write_page([runs / "failed", runs / "lr-0.1+seed-0"], tmp_path / "page.html")
    page = (tmp_path / "page.html").read_text(encoding="utf-8")
    assert page.count("<script") == 1 and "&lt;script&gt;alert(&#x27;$x&#x27;)" in page
    assert "name=<b>" not in page and "name=&lt;b&gt;" in page


def test_the_same_runs_make_the_same_page(runs, tmp_path):
    folders = sorted(runs.iterdir())
    for name in "ab":
        write_page(folders, tmp_path / name)
    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes()


def test_the_table_names_failed_runs_and_what_they_said(runs, tmp_path):
    text = write_page([runs / "failed", runs / "lr-0.1+seed-0"], tmp_path / "page.html")
    assert re.search(r"^failed +failed ", text, re.MULTILINE) and "\nfailed: <script>alert" in text


def test_a_page_is_titled_by_the_folder_of_its_runs_or_by_its_sweep(runs, tmp_path):
    folders = sorted(runs.iterdir())
    for title, shown in ((None, "runs"), ("Sweep over lr=0.1,0.01", "Sweep over lr=0.1,0.01")):
        write_page(folders, tmp_path / "page.html", title)
        page = (tmp_path / "page.html").read_text(encoding="utf-8")
        assert f"<title>{shown}</title>" in page and f"<h1>{shown}</h1>" in page


@pytest.mark.parametrize(
    ("given", "page"),
    [
        (["runs"], "runs/report.html"),
        (["runs/failed"], "runs/failed/report.html"),
        (["runs/failed", "runs/lr-0.1+seed-0"], "runs/report.html"),
        (["runs/failed", "elsewhere"], "runs/failed/report.html"),  # where both lie, git may look
    ],
)
def test_the_page_lies_with_the_runs_where_git_does_not_see_it(runs, tmp_path, monkeypatch, capsys, given, page):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "elsewhere").mkdir()
    assert main(given) == 0 and (tmp_path / page).is_file()
    assert capsys.readouterr().out.splitlines()[-1] == f"Report: {page}"


def test_the_page_lies_beside_the_runs_that_are_named_from_where_they_lie(runs, monkeypatch, capsys):
    monkeypatch.chdir(runs)
    assert main(["failed", "lr-0.1+seed-0"]) == 0 and (runs / "report.html").is_file()
    assert capsys.readouterr().out.splitlines()[-1] == "Report: report.html"


def test_a_link_to_itself_is_refused_in_one_line(tmp_path, capsys):
    (tmp_path / "link").symlink_to("link")
    assert main([str(tmp_path / "link")]) == 1
    assert one_line(capsys).endswith("cannot be read: Too many levels of symbolic links; give folders that can")


def test_a_reader_that_has_read_enough_ends_it_quietly(runs, monkeypatch):
    reading, writing = os.pipe()
    os.close(reading)
    with open(writing, "w") as stdout:
        monkeypatch.setattr(sys, "stdout", stdout)
        assert main([str(runs)]) == 0 and (runs / "report.html").is_file()


def one_line(capsys):
    (line,) = capsys.readouterr().err.splitlines()
    return line


@pytest.mark.parametrize("content", ["", '{"step": 0, "images": 0, "loss": NaN}', '{"step": 1, "loss": 1e999}'])
def test_a_run_of_no_steps_or_no_numbers_is_shown(tmp_path, content):
    (tmp_path / "metrics.jsonl").write_text(content)
    write_page([tmp_path], tmp_path / "page.html")
    assert (tmp_path / "page.html").exists()


def test_folders_that_are_no_runs_are_named(runs, tmp_path, capsys):
    (tmp_path / "other").mkdir()
    assert main([str(tmp_path), "--out", str(tmp_path / "page.html")]) == 0
    assert one_line(capsys) == f"Skipped, as these hold no run that can be read: {tmp_path / 'other'}"


def test_a_report_of_nothing_is_refused(tmp_path, capsys):
    assert main([str(tmp_path / "nowhere")]) == 1
    assert "is no folder" in one_line(capsys)
    assert main([str(tmp_path)]) == 1
    assert "no run" in capsys.readouterr().err.splitlines()[-1]


@pytest.fixture
def locked(runs, monkeypatch):
    """A folder beside the runs that may not be entered; by hand, as root may enter any."""
    folder = runs / "locked"
    folder.mkdir()
    status = os.stat

    def refusing(path, *args, **kwargs):
        if str(folder) in str(path) and Path(path) != folder:
            raise PermissionError(errno.EACCES, "Permission denied", str(path))
        return status(path, *args, **kwargs)

    monkeypatch.setattr(os, "stat", refusing)
    return folder


def test_a_folder_that_cannot_be_read_is_named_and_hides_no_run(runs, locked, tmp_path, capsys):
    assert main([str(runs), "--out", str(tmp_path / "page.html")]) == 0
    assert one_line(capsys) == f"Skipped, as these hold no run that can be read: {locked}"
    assert (tmp_path / "page.html").read_text(encoding="utf-8").count("<details>") == 7


def test_what_cannot_be_read_is_not_blamed_on_the_page(locked, capsys):
    assert main([str(locked / "run")]) == 1
    assert one_line(capsys) == f"report: {locked / 'run'} cannot be read: Permission denied; give folders that can"


def test_a_page_that_cannot_be_written_is_one_line(runs, tmp_path, capsys):
    assert main([str(runs), "--out", str(tmp_path / "no" / "page.html")]) == 1
    assert "cannot be written: No such file" in one_line(capsys)
