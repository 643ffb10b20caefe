"""The stream of batches: resumed or unbroken, on one process or many, it is the same."""

import multiprocessing
import os
import signal
import subprocess
import sys
import textwrap
import threading
import time
from itertools import islice
from pathlib import Path

import pytest
import torch
from PIL import Image

from diffusion.data.folder import ImageFolder
from diffusion.data.images import Images
from diffusion.data.loader import Batch, batches
from diffusion.data.synthetic import Synthetic
from diffusion.pictures.pixels import from_uint8


class Numbered(Images):
    """Image i is i everywhere but in its first column, which is 0; its label is i."""

    shape = (1, 2, 2)

    def __init__(self, length: int, *, workers: int = 0, flip: bool = False, broken: int | None = None) -> None:
        self.length, self.workers, self.flip, self.broken = length, workers, flip, broken
        self.classes = tuple(str(i) for i in range(length))

    def __len__(self) -> int:
        return self.length

    def __getitem__(self, index: int) -> tuple[torch.Tensor, int]:
        if index == self.broken:
            raise ValueError("cannot read 7.png")
        return torch.tensor([[[0, index], [0, index]]], dtype=torch.uint8), index


def first(images: Images, count: int, **options) -> list[Batch]:
    stream = batches(images, **{"batch_size": 4, "seed": 0, **options})
    taken = list(islice(stream, count))
    stream.close()
    return taken


def assert_same(ours: list[Batch], theirs: list[Batch]) -> None:
    assert len(ours) == len(theirs)
    for one, other in zip(ours, theirs, strict=True):
        assert torch.equal(one.x_0, other.x_0) and torch.equal(one.positions, other.positions)
        assert torch.equal(one.condition["y"], other.condition["y"])


def joined(parts: tuple[Batch, ...]) -> Batch:
    """The slices of one global batch put together again."""
    y = torch.cat([part.condition["y"] for part in parts])
    return Batch(torch.cat([part.x_0 for part in parts]), {"y": y}, torch.cat([part.positions for part in parts]))


@pytest.mark.parametrize("workers", [0, 2])
def test_a_resumed_stream_continues_the_unbroken_one(workers):
    unbroken = first(Numbered(10, flip=True), 9)
    assert_same(first(Numbered(10, flip=True, workers=workers), 5, start=4), unbroken[4:])


@pytest.mark.parametrize("world", [2, 4])
def test_processes_share_the_images_of_one(world):
    images = Numbered(10, flip=True)
    ranks = [first(images, 6, world=world, rank=rank) for rank in range(world)]
    assert_same([joined(step) for step in zip(*ranks, strict=True)], first(images, 6))


def test_positions_count_from_the_start_of_training():
    seen = torch.cat([batch.positions for batch in first(Numbered(10), 3, start=5)])
    assert torch.equal(seen, torch.arange(20, 32))


def test_an_epoch_shows_every_image_once():
    seen = torch.cat([batch.condition["y"] for batch in first(Numbered(10), 5)])
    assert torch.equal(seen[:10].sort().values, torch.arange(10))
    assert torch.equal(seen[10:20].sort().values, torch.arange(10))
    assert not torch.equal(seen[:10], seen[10:20])


def test_batches_hold_the_images_of_their_labels_in_floats():
    images = Synthetic(image_size=8, num_classes=10, num_images=10)
    for x_0, condition, _ in first(images, 3):
        assert torch.equal(x_0, from_uint8(images.pixels[condition["y"]])) and x_0.dtype == torch.float32


def test_a_flip_mirrors_some_images_and_no_others():
    plain = torch.cat([batch.x_0 for batch in first(Numbered(200), 25, batch_size=8)])
    turned = torch.cat([batch.x_0 for batch in first(Numbered(200, flip=True), 25, batch_size=8)])
    mirrored = torch.tensor([torch.equal(a, b.flip(-1)) for a, b in zip(plain, turned, strict=True)])
    same = torch.tensor([torch.equal(a, b) for a, b in zip(plain, turned, strict=True)])
    assert (mirrored | same).all()
    assert 65 < mirrored.sum() < 135  # 100 expected, five standard deviations


def test_an_unconditional_set_gives_no_classes():
    assert first(Synthetic(image_size=8, num_images=4), 1)[0].condition == {}


def test_reading_draws_nothing_from_the_global_generator():
    torch.manual_seed(0)
    before = torch.get_rng_state()
    first(Numbered(10, flip=True), 3)
    first(Numbered(10, workers=1), 3)
    assert torch.equal(torch.get_rng_state(), before)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"batch_size": 11}, "10 images do not fill a batch of 11; set train.batch_size=10 or less"),
        ({"batch_size": 10, "world": 4}, "4 processes cannot share 10 images evenly; set train.batch_size=8"),
        ({"batch_size": 0}, "set train.batch_size=1"),
    ],
)
def test_impossible_batches_are_refused_at_once(options, message):
    with pytest.raises(ValueError, match=message):
        batches(Numbered(10), **{"seed": 0, **options})


def test_closing_ends_the_processes_that_read():
    stream = batches(Numbered(10, workers=2), batch_size=4, seed=0)
    next(stream)
    assert len(multiprocessing.active_children()) == 2
    stream.close()
    assert multiprocessing.active_children() == []


def test_a_signal_to_the_whole_job_leaves_the_readers_alive():
    stream = batches(Numbered(10, workers=1), batch_size=4, seed=0)
    taken = [next(stream)]
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGUSR1):
        os.kill(multiprocessing.active_children()[0].pid, number)
    taken += islice(stream, 5)  # more than are read ahead
    stream.close()
    assert_same(taken, first(Numbered(10), 6))


@pytest.mark.parametrize("workers", [1, 2])
def test_a_killed_reader_is_one_clear_line_after_the_images_in_order(workers):
    stream = batches(Numbered(10, workers=workers), batch_size=4, seed=0)
    taken = [next(stream)]
    os.kill(multiprocessing.active_children()[0].pid, signal.SIGKILL)
    with pytest.raises(ChildProcessError, match=r"died.*; set data\.workers=0 .*the same command goes on") as caught:
        for batch in stream:
            taken.append(batch)
    assert "\n" not in str(caught.value) and multiprocessing.active_children() == []
    assert_same(taken, first(Numbered(10), len(taken)))


def test_readers_leave_the_handling_of_signals_alone():
    handler = signal.getsignal(signal.SIGCHLD)
    first(Numbered(10, workers=1), 2)
    assert signal.getsignal(signal.SIGCHLD) is handler  # torch's own raises in any line when a reader dies


class Hanging(Numbered):
    """Lies on a disk that answers for the first few images, and then no more."""

    def __getitem__(self, index):
        if index > 5:
            threading.Event().wait()
        return super().__getitem__(index)


@pytest.mark.parametrize("workers", [0, 1])
def test_images_that_do_not_come_are_waited_for_until_told_otherwise(workers, monkeypatch):
    monkeypatch.setattr("diffusion.compute.daemon_thread.PATIENCE", 0.1)
    monkeypatch.setattr("diffusion.data.stream.indices", lambda positions, **_: torch.tensor(positions))
    asked = []
    reads = batches(
        Hanging(10, workers=workers), batch_size=2, seed=0, stop=lambda: asked.append(1) is None and len(asked) > 2
    )
    assert len(list(reads)) == 3 and len(asked) == 3
    assert multiprocessing.active_children() == []


def test_readers_that_are_frozen_do_not_keep_a_stream_from_its_end():
    reads = batches(Numbered(10, workers=2), batch_size=2, seed=0, stop=lambda: True)
    next(reads)
    for process in multiprocessing.active_children():
        os.kill(process.pid, signal.SIGSTOP)
    list(reads)
    assert multiprocessing.active_children() == []


class Slow(Numbered):
    def __getitem__(self, index):
        time.sleep(1)
        return super().__getitem__(index)


def test_closing_does_not_wait_for_slow_readers():
    stream = batches(Slow(100, workers=2), batch_size=1, seed=0)
    next(stream)
    begun = time.monotonic()
    stream.close()
    assert time.monotonic() - begun < 0.5


class Faulty(Numbered):
    def __getitem__(self, index):
        raise RuntimeError("a bug")


def test_a_bug_in_a_reader_shows_its_traceback():
    with pytest.raises(RuntimeError, match="a bug") as caught:
        first(Faulty(10, workers=1), 1)
    assert "in __getitem__" in str(caught.value.__cause__)


@pytest.mark.parametrize("workers", [0, 1])
def test_an_error_in_a_reader_keeps_its_words(workers):
    with pytest.raises(ValueError, match=r"^cannot read 7\.png$"):
        first(Numbered(10, workers=workers, broken=7), 3)


def test_readers_together_name_an_unreadable_image_and_agree(tmp_path):
    for i in range(6):
        Image.new("L", (4, 4), 40 * i).save(tmp_path / f"{i}.png")
    (tmp_path / "3.png").write_text("no image")
    folders = [ImageFolder(root=str(tmp_path), image_size=4, on_error="skip", workers=workers) for workers in (0, 1, 2)]
    alone, *others = [torch.cat([batch.x_0 for batch in first(images, 6, batch_size=3)]) for images in folders]
    assert all(torch.equal(alone, other) for other in others)
    assert [images.unreadable.nonzero().tolist() for images in folders] == [[[3]]] * 3


def test_readers_end_with_a_parent_that_is_killed():
    program = """
        import multiprocessing, os, signal
        from diffusion.data.loader import batches
        from test_loader import Numbered
        stream = batches(Numbered(10, workers=3), batch_size=4, seed=0)
        next(stream)
        print(*(process.pid for process in multiprocessing.active_children()), flush=True)
        os.kill(os.getpid(), signal.SIGKILL)
    """
    # The readers hold the pipe of what is printed: its end is theirs.
    ended = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(program)], cwd=Path(__file__).parent, stdout=subprocess.PIPE, timeout=60
    )
    assert len(ended.stdout.split()) == 3


@pytest.mark.parametrize("workers", ["0", "1"])
def test_a_program_that_forgets_to_close_still_ends(tmp_path, workers):
    program = """
        import sys
        from PIL import Image
        from diffusion.data.folder import ImageFolder
        from diffusion.data.loader import batches
        Image.new("L", (4, 4)).save(sys.argv[1] + "/a.png")
        stream = batches(ImageFolder(root=sys.argv[1], image_size=4, workers=int(sys.argv[2])), batch_size=1, seed=0)
        next(stream)
        raise SystemExit(7)
    """
    command = [sys.executable, "-c", textwrap.dedent(program), tmp_path, workers]
    ended = subprocess.run(command, capture_output=True, text=True, timeout=60)
    assert (ended.returncode, ended.stdout, ended.stderr) == (7, "", "")
