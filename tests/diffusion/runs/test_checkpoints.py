"""Checkpoint files: whole, ours and harmless, or refused in one line."""

import errno
import os
import pickle
import zipfile
from pathlib import Path

import pytest
import torch
from tiny_training import tiny_state

from diffusion.runs import checkpoints
from diffusion.runs.checkpoints import write_checkpoint


@pytest.fixture
def folder(tmp_path):
    return tmp_path / "checkpoints"


def save(folder, step, keep=100, keep_every=None):
    return checkpoints.save_checkpoint(folder, tiny_state(step), keep=keep, keep_every=keep_every)


def test_what_is_saved_is_loaded(folder):
    state = checkpoints.read_checkpoint(save(folder, 3))
    assert state["step"] == 3 and state["config"] == {"name": "x", "rates": [0.9]}
    assert torch.equal(state["model"]["weight"], torch.full((1000,), 3.0))


@pytest.mark.parametrize(
    "keep, keep_every, left",
    [(2, None, [8, 10]), (1, 4, [4, 8, 10]), (100, None, [2, 4, 6, 8, 10]), (1, 1, [2, 4, 6, 8, 10])],
)
def test_the_last_and_every_so_many_are_kept(folder, keep, keep_every, left):
    for step in (2, 4, 6, 8, 10):
        save(folder, step, keep, keep_every)
    assert [checkpoints.checkpoint_step(path) for path in checkpoints.list_checkpoints(folder)] == left
    assert {path.suffix for path in folder.iterdir()} == {".pt"}


def test_a_write_that_fails_leaves_the_old_files_and_no_half_one_that_counts(folder, monkeypatch):
    save(folder, 1)

    def fail(state, file):
        file.write(b"half")
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(torch, "save", fail)
    with pytest.raises(OSError, match="No space left"):
        save(folder, 2, keep=1)
    assert checkpoints.load_newest(folder.parent)["step"] == 1
    checkpoints.clean_up(folder, 10**6)
    assert [path.name for path in folder.iterdir()] == ["step_00000001.pt"]


@pytest.fixture
def small_disk(folder, monkeypatch):
    """Has room for two files and a half."""
    to_disk = checkpoints.write_checkpoint

    def write(path, state):
        to_disk(path, state)
        size = path.stat().st_size
        if sum(each.stat().st_size for each in folder.iterdir()) > 2.5 * size:
            path.unlink()
            raise OSError(errno.ENOSPC, "No space left on device", str(path))

    monkeypatch.setattr(checkpoints, "write_checkpoint", write)


def test_on_a_full_disk_older_files_give_way_to_the_newest_but_for_the_last_sound_one(folder, small_disk, caplog):
    for step in (2, 4, 6):
        save(folder, step, keep=3)
    assert [path.name for path in sorted(folder.iterdir())] == ["step_00000004.pt", "step_00000006.pt"]
    assert "The disk is full: step_00000002.pt gave way to " in caplog.text
    truncated(folder / "step_00000006.pt")
    save(folder, 8, keep=3)
    assert checkpoints.load_checkpoint(folder / "step_00000004.pt")["step"] == 4


def test_on_a_full_disk_the_only_sound_file_and_those_kept_for_good_stay(folder, small_disk):
    for step in (2, 4):
        save(folder, step, keep=3, keep_every=2)
    with pytest.raises(OSError, match=r"No space left on device \(.* MB are needed and .* MB free\)") as caught:
        save(folder, 5, keep=3, keep_every=2)
    assert caught.value.filename == str(folder / "step_00000005.pt")
    assert [path.name for path in sorted(folder.iterdir())] == ["step_00000002.pt", "step_00000004.pt"]


def test_a_file_appears_under_its_name_only_when_it_is_on_the_disk(folder, monkeypatch):
    events = []
    for name in ("fsync", "replace"):
        original = getattr(os, name)
        monkeypatch.setattr(os, name, lambda *a, original=original, name=name: (events.append(name), original(*a)))
    save(folder, 1)
    assert events == ["fsync", "replace", "fsync"], "the file, its name, the folder that holds the name"


def truncated(path: Path) -> None:
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


def emptied(path: Path) -> None:
    path.write_bytes(b"")


def flipped(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1  # in the middle lie the weights
    path.write_bytes(content)


def text(path: Path) -> None:
    path.write_text("model: unet\n")


def another_zip(path: Path) -> None:
    with zipfile.ZipFile(path, "w") as records:
        records.writestr("hello.txt", "hello")


def bare_weights(path: Path) -> None:
    torch.save({"weight": torch.zeros(3)}, path)


class Bomb:
    """Pickled, it is the wish to make a folder when it is opened."""

    def __reduce__(self):
        return os.mkdir, ("exploded",)


def bomb(path: Path) -> None:
    write_checkpoint(path, {"step": 1, "model": Bomb()})


def old_bomb(path: Path) -> None:
    path.write_bytes(pickle.dumps(Bomb()))


SPOILT = [truncated, emptied, flipped, text, another_zip, bare_weights, bomb, old_bomb]


@pytest.mark.parametrize("spoil", SPOILT, ids=lambda spoil: spoil.__name__)
def test_a_file_that_is_not_whole_ours_and_harmless_is_refused_in_one_line(folder, monkeypatch, spoil):
    path = save(folder, 1)
    monkeypatch.chdir(folder)
    spoil(path)
    with pytest.raises(ValueError) as error:
        checkpoints.read_checkpoint(path)
    assert str(path) in str(error.value) and "\n" not in str(error.value)
    assert not (folder / "exploded").exists()


def test_a_checkpoint_that_lacks_a_part_is_refused_by_its_name(tmp_path):
    write_checkpoint(tmp_path / "step_00000003.pt", {"step": 3, "config": {}})
    with pytest.raises(ValueError, match=r"lacks .*model"):
        checkpoints.read_checkpoint(tmp_path / "step_00000003.pt")


@pytest.mark.parametrize("spoil", SPOILT, ids=lambda spoil: spoil.__name__)
def test_the_newest_sound_file_is_taken_and_the_damaged_one_named(folder, spoil, caplog):
    save(folder, 1)
    spoil(save(folder, 2))
    assert checkpoints.load_newest(folder.parent)["step"] == 1
    assert "step_00000002.pt" in caplog.text and "trying the one before" in caplog.text


def test_a_run_begins_anew_without_files_but_not_if_none_can_be_read(folder):
    assert checkpoints.load_newest(folder.parent) is None
    truncated(save(folder, 1))
    with pytest.raises(ValueError, match="none of the 1 checkpoints"):
        checkpoints.load_newest(folder.parent)


def test_a_run_folder_stands_for_its_newest_file(folder):
    first, _ = save(folder, 1), save(folder, 2)
    assert checkpoints.load_checkpoint(folder.parent)["step"] == 2 and checkpoints.load_checkpoint(first)["step"] == 1
    with pytest.raises(ValueError, match=r"no checkpoint at .*nowhere"):
        checkpoints.load_checkpoint(folder / "nowhere")
    with pytest.raises(ValueError, match="has no checkpoint yet; train there first"):
        checkpoints.load_checkpoint(folder)
