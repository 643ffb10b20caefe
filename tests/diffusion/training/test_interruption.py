"""Requests to stop."""

import os
import signal
import subprocess
import sys
import threading
import time

import pytest
from tiny_training import tiny_run, tiny_trainer

from diffusion.compute import distributed
from diffusion.data.synthetic import Synthetic
from diffusion.runs import checkpoints
from diffusion.training.interruption import SIGNALS, Interruption
from diffusion.training.loop import fit


@pytest.mark.parametrize("number", SIGNALS)
def test_a_signal_is_noted_and_reported_as_a_shell_would(number):
    with Interruption() as interruption:
        assert not interruption.agreed and interruption.exit_code == 0
        os.kill(os.getpid(), number)
        assert interruption.agreed and interruption.exit_code == 128 + number


def test_afterwards_signals_do_what_they_did_before():
    before = [signal.getsignal(number) for number in SIGNALS]
    with Interruption():
        assert [signal.getsignal(number) for number in SIGNALS] != before
    assert [signal.getsignal(number) for number in SIGNALS] == before


def test_a_signal_that_comes_while_the_others_are_asked_is_not_forgotten(monkeypatch):
    def asked(mine):
        os.kill(os.getpid(), signal.SIGUSR1)
        return mine

    with Interruption() as interruption:
        monkeypatch.setattr(distributed, "all_max", asked)
        assert not interruption.agreed  # the others know nothing of it yet, and take another step
        monkeypatch.setattr(distributed, "all_max", lambda mine: mine)
        assert interruption.agreed and interruption.exit_code == 128 + signal.SIGUSR1


def test_who_heard_of_it_from_another_may_get_the_signal_too_while_it_saves(monkeypatch):
    monkeypatch.setenv("WORLD_SIZE", "2")
    monkeypatch.setattr(distributed, "all_max", lambda mine: signal.SIGTERM)
    monkeypatch.setattr(os, "_exit", lambda code: pytest.fail("it was ended"))
    with Interruption() as interruption:
        assert interruption.agreed
        os.kill(os.getpid(), signal.SIGTERM)
        assert interruption.agreed and interruption.exit_code == 128 + signal.SIGTERM


class Hanging(Synthetic):
    """Has a disk that no longer answers once `left` lists of images were read."""

    left = 3

    def read(self, indices):
        if not self.left:
            threading.Event().wait()
        self.left -= 1
        return super().read(indices)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_training_that_waits_for_images_in_vain_hears_a_signal_and_saves(tmp_path, monkeypatch, number):
    for place in ("training.interruption", "compute.daemon_thread"):
        monkeypatch.setattr(f"diffusion.{place}.PATIENCE", 0.2)
    run = tiny_run(tmp_path / "run", images=Hanging(image_size=8, channels=1, num_classes=2, num_images=12))
    lines = run.folder / "metrics.jsonl"

    def signal_after_the_third_step():
        while not lines.exists() or len(lines.read_text().splitlines()) < 3:
            time.sleep(0.01)
        os.kill(os.getpid(), number)

    other = threading.Thread(target=signal_after_the_third_step)
    other.start()
    assert fit(tiny_trainer(max_steps=9), run) == 128 + number
    other.join()
    assert checkpoints.load_newest(run.folder)["step"] == 3


def test_a_second_signal_ends_the_process_at_once():
    program = """if True:
        import os, signal
        from diffusion.training.interruption import Interruption
        with Interruption():
            os.kill(os.getpid(), signal.SIGINT)
            print("still here", flush=True)
            os.kill(os.getpid(), signal.SIGTERM)
            print("never here")
    """
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert done.returncode == 128 + signal.SIGTERM and done.stdout == "still here\n"
