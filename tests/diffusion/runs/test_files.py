"""Files and folders that are whole, or as they were before."""

import fcntl
import multiprocessing
import sys

import pytest

from diffusion.runs.files import atomic_write, lock_folder, make_folder, remove_if_empty


def test_a_file_is_whole_or_the_old_one(tmp_path):
    file = tmp_path / "a.npz"
    with atomic_write(file) as path:
        path.write_text("old")
    with pytest.raises(OSError), atomic_write(file) as path:
        path.write_text("ne")
        raise OSError("the disk is full")
    assert file.read_text() == "old" and list(tmp_path.iterdir()) == [file]


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
