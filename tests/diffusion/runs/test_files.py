"""Files and folders that are whole, or as they were before."""

import fcntl
import multiprocessing
import sys

import numpy as np
import pytest
import safetensors.torch
import torch
from PIL import Image

from diffusion.runs.files import atomic_write, lock_folder, make_folder, remove_if_empty


def test_a_file_is_whole_or_the_old_one(tmp_path):
    file = tmp_path / "a.npz"
    with atomic_write(file) as path:
        path.write_text("old")
    with pytest.raises(OSError), atomic_write(file) as path:
        path.write_text("ne")
        raise OSError("the disk is full")
    assert file.read_text() == "old" and list(tmp_path.iterdir()) == [file]


def with_torch(path):
    with open("/dev/full", "wb") as file:
        torch.save({"weight": torch.zeros(99)}, file)


def with_safetensors(path):
    safetensors.torch.save_file({"weight": torch.zeros(99)}, path / "no folder")


def with_numpy(path):
    with open("/dev/full", "wb") as file:
        np.savez(file, np.zeros(99))


def with_pillow(path):
    with open("/dev/full", "wb") as file:
        Image.new("L", (9, 9)).save(file, "png")


@pytest.mark.skipif(sys.platform != "linux", reason="/dev/full")
@pytest.mark.parametrize("write", [with_torch, with_safetensors, with_numpy, with_pillow])
def test_an_error_of_the_disk_names_the_file_whichever_library_writes_it(tmp_path, write):
    with pytest.raises(OSError) as caught, atomic_write(tmp_path / "a.npz") as path:
        write(path)
    assert caught.value.filename == str(tmp_path / "a.npz") and caught.value.strerror
    assert not list(tmp_path.iterdir())


def test_an_error_of_another_file_or_of_no_disk_stays_as_it_is(tmp_path):
    for error in (FileNotFoundError(2, "No such file", "other.png"), ChildProcessError("a reader died")):
        with pytest.raises(type(error)) as caught, atomic_write(tmp_path / "a.npz"):
            raise error
        assert caught.value is error


def test_folders_stay_if_something_came_to_lie_in_them_or_if_they_were_there(tmp_path):
    (tmp_path / "old").mkdir()
    for place in ("old", "old/new", "a/b"):
        with pytest.raises(ValueError), make_folder(tmp_path / place):
            raise ValueError
    with make_folder(tmp_path / "c" / "d"):
        (tmp_path / "c" / "d" / "file").touch()
    assert sorted(str(path.relative_to(tmp_path)) for path in tmp_path.rglob("*")) == ["c", "c/d", "c/d/file", "old"]


@pytest.mark.skipif(sys.platform != "linux", reason="forks")
def test_a_process_that_was_forked_does_not_hold_the_folder_of_the_one_that_forked_it(tmp_path):
    fork = multiprocessing.get_context("fork")
    runs, ends = fork.Event(), fork.Event()
    with lock_folder(tmp_path):
        child = fork.Process(target=lambda: (runs.set(), ends.wait()))
        child.start()
        assert runs.wait(60)
        with pytest.raises(ValueError, match="another process is training"), lock_folder(tmp_path):
            pass
    with lock_folder(tmp_path):
        assert child.is_alive()
    ends.set()
    child.join()


def test_an_empty_folder_is_removed_unless_a_process_has_locked_it(tmp_path):
    folder = tmp_path / "run"
    with lock_folder(folder):
        remove_if_empty(folder)
        assert folder.exists()
    remove_if_empty(folder)
    assert not folder.exists()
    remove_if_empty(folder)
    assert not folder.exists()


def test_the_lock_is_on_the_folder_that_is_there_when_it_is_held(tmp_path, monkeypatch):
    """Another process may remove an empty folder between its making and its locking."""
    folder, flock = tmp_path / "run", fcntl.flock

    def remove_and_lock(*arguments):
        monkeypatch.setattr(fcntl, "flock", flock)
        folder.rmdir()
        flock(*arguments)

    monkeypatch.setattr(fcntl, "flock", remove_and_lock)
    with lock_folder(folder), pytest.raises(ValueError, match="another process is training"), lock_folder(folder):
        pass
