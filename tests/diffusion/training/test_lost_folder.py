"""A run whose folder is removed while it trains says so, and saves where the folder was."""

import shutil
from contextlib import nullcontext

import pytest
from tiny_training import tiny_run, tiny_trainer

from diffusion.runs import checkpoints
from diffusion.runs.files import lock_folder
from diffusion.training.loop import fit
from diffusion.training.lost_folder import rescue
from diffusion.training.not_finite import NotFinite
from diffusion.training.preview import Preview


class Removing(Preview):
    """Has something done to the run folder after the second step."""

    def __init__(self, remove):
        super().__init__(every=2)
        self.remove = remove

    def pictures(self, *_):
        self.remove()
        return []


@pytest.mark.parametrize("how", ["removed", "moved", "made anew"])
def test_the_steps_since_are_saved_where_the_folder_was(tmp_path, how):
    folder = tmp_path / "run"

    def remove():
        shutil.move(folder, tmp_path / "elsewhere") if how == "moved" else shutil.rmtree(folder)
        if how == "made anew":
            folder.mkdir()

    run, trainer = tiny_run(folder), tiny_trainer(max_steps=8, save_every=8, preview=Removing(remove))
    with pytest.raises(OSError, match=r"run was removed or moved while it trained, .*; step 3 is saved there anew"):
        fit(trainer, run)
    assert checkpoints.load_newest(folder)["step"] == 3
    assert fit(tiny_trainer(max_steps=8), tiny_run(folder), checkpoints.load_newest(folder)) == 0


def test_a_folder_in_which_another_trains_now_is_left_to_it(tmp_path):
    folder, lock = tmp_path / "run", nullcontext()

    def replace():
        nonlocal lock
        shutil.rmtree(folder)
        lock = lock_folder(folder)
        lock.__enter__()

    with pytest.raises(OSError, match="another process trains there now: step 3 is not saved"):
        fit(tiny_trainer(max_steps=8, save_every=8, preview=Removing(replace)), tiny_run(folder))
    lock.__exit__(None, None, None)
    assert checkpoints.last_step(folder / "checkpoints") < 3


def test_what_keeps_the_step_from_being_saved_is_said(tmp_path):
    def save():
        raise NotFinite("the weights of step 4 are not finite")

    with pytest.raises(NotFinite, match="step 4"):
        rescue(tmp_path / "run", 4, save)
