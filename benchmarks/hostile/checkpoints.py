"""Damaged and hostile checkpoints, opened by every command that reads one.

The laws beside those of every case: what a file is accepted as is to the bit what was saved. So images drawn are those
of the sound file; and training that goes on from the file before, where the newest is none, ends with the weights that
it ends with undisturbed.
"""

from __future__ import annotations

import random
import reprlib
import shutil
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from runner import DIGITS, MARK, Case, run, trained_run
from spoiling import Spoil, archives, bombs, circular, damages, holding, load, nested, put, renamed, shared, without

NEWEST = "step_00000004.pt"
TRAINING = ("name=run", *DIGITS, "train/schedule_sampler=loss_second_moment")
READ = ("device=cpu", "checkpoint=runs/run")
COMMANDS: dict[str, tuple[str, ...]] = {
    "sample": ("sample.py", f"{READ[1]}/checkpoints/{NEWEST}", READ[0], "sampler.steps=2", "num_images=2", "out=drawn"),
    "train": ("train.py", *TRAINING, "train.max_steps=6"),
    "evaluate": (
        "evaluate.py", f"{READ[1]}/checkpoints/{NEWEST}", READ[0], "evaluation=likelihood", "evaluation.num_images=2",
        "evaluation.steps=2", "batch_size=2",
    ),
    "export": ("export.py", f"{READ[1]}/checkpoints/{NEWEST}", READ[0], "out=weights.pt"),
    "begin": ("train.py", *TRAINING, "name=other", f"init_from=runs/run/checkpoints/{NEWEST}"),
}  # fmt: skip
PARTS = ("step", "model", "ema", "optimizer", "scaler", "schedule_sampler", "averages", "config")
WEIGHTS: tuple[tuple[Any, ...], ...] = (
    ("model", 0), ("ema", "0.9", 0), ("ema", "0.99", 0), ("optimizer", "state", 0, "exp_avg"),
    ("optimizer", "state", 3, "step"), ("schedule_sampler", "losses"), ("schedule_sampler", "counts"),
)  # fmt: skip
SHAPES = {
    "a scalar": lambda w: torch.zeros((), dtype=w.dtype), "one number": lambda w: w.flatten()[:1],
    "empty": lambda w: w.flatten()[:0], "an axis more": lambda w: w[None], "whole numbers": lambda w: w.int(),
    "text": "text",
}  # fmt: skip
HOSTILE = (
    "os.system", "builtins.eval", "subprocess.Popen", "pathlib.Path.touch", "torch.load", "torch.hub.load", "os.mkdir",
    "shutil.rmtree", "hydra.utils.instantiate", "importlib.import_module", "diffusion.cli.command.os.system",
    "diffusion.config.build.instantiate", "diffusion.runs.files.os.mkdir", "unet:os.system", "torch.optim.os.system",
    "diffusion.TorchvisionImages", "diffusion.Trainer", "", 3, ["os.mkdir"],
)  # fmt: skip
SETTINGS: dict[str, tuple[Any, ...]] = {
    "model.base_channels": ("wide", 0, -8, 8.5, 10**9, 2**62, None, True), "model.blocks_per_level": (10**7, 0, "many"),
    "model.channel_mult": ([], "12", [1] * 4000, [[1, 2]], [10**7]), "model.image_size": (7, 0, 10**18),
    "model.more": (1,), "model.depth": (nested(100),), "model.heads": (0, 10**9), "model.norm_groups": (0, 3, 10**9),
    "model.num_classes": (0, 10**12, -1, "ten"), "model.dims": (1, 3, 9), "model.attention_resolutions": ([3], 4),
    "diffusion": ("cosine", None, [], {}), "diffusion.loss": (None, {"_target_": "diffusion.Classification"}),
    "diffusion.steps": (0, 1, 3 * 10**8, 2 * 10**9, "${oc.env:HOME}", "${diffusion.steps}", 1e400, "\x1b[31m"),
    "diffusion.schedule": ({"_target_": 3}, {"_target_": "diffusion.Cosine", "_args_": [1]}, shared(25)),
    "diffusion.schedule.offset": (-1.0, 1e400, "${oc.env:HOME}"), "diffusion.variance": ({"_target_": "unet.UNet"},),
    "shape": ("abc", [1], [3, 0, 0], [1, 10**6, 10**6], [3, 8, 8], [1, 8.0, 8], None, [1, 7, 7]),
    "classes": (5, [1, 2], None, ["x"] * 99, ["\x1b[31mred", *"123456789"], [], ["${oc.env:HOME}"] * 10, shared(30)),
    "conditions": (None, [], "y", {"y": None}, {"z": {"_target_": "diffusion.Label"}}),
    "train": (None, "text", 3), "train.label_dropout": ("text", None, [1]), "name": ("\x1b]0;title\x07", nested(5000)),
    "data": (
        None, "digits", {}, 5, nested(5000), circular(), {"_target_": "diffusion.ImageFolder", "root": 5},
        {"_target_": "diffusion.ImageFolder"}, {"_target_": "diffusion.Synthetic", "image_size": 10**6},
        {"_target_": "diffusion.Synthetic", "image_size": 8, "channels": 1, "num_images": 10**9},
        {"_target_": "diffusion.TorchvisionImages", "dataset": "LSUNClass", "root": "."},
        {"_target_": "diffusion.TorchvisionImages", "dataset": "MNIST", "root": "\x1b[2J"},
        {"_target_": "diffusion.Digits", "image_size": "${oc.env:HOME}"}, {"_target_": "diffusion.Digits", "more": 1},
    ),
}  # fmt: skip


def cases(place: Path, seed: int) -> Iterator[Case]:
    """Each file by one of the commands, in turn."""
    sound, expected = trained_run(place / "sound", *TRAINING), place / "expected"
    shutil.copytree(sound, expected / "runs" / "run")
    for words in (COMMANDS["sample"], COMMANDS["train"]):
        code, *_ = run(words, expected, seconds=120)
        assert code == 0, expected.with_suffix(".err").read_text()
    turns = ("sample", "train", "evaluate", "train", "sample", "export", "train", "begin")
    for number, (kind, name, spoil) in enumerate(spoilt(random.Random(seed))):
        command = turns[number % len(turns)]
        yield Case(
            kind=f"checkpoints: {kind}", name=f"{command}, {name}", words=COMMANDS[command],
            prepare=partial(prepare, sound, spoil), may=("refused", "accepted"),
            complaint=partial(complaint, expected),
        )  # fmt: skip


WRONG: tuple[Any, ...] = ("text", [], 7.5, None, nested(3), {1: 2})
WITHOUT: tuple[tuple[str | int, ...], ...] = (
    ("model", 0), ("ema", "0.9", 0), ("ema", 0), ("optimizer", "state", 0), ("optimizer", "state"),
)  # fmt: skip


def spoilt(chance: random.Random) -> Iterator[tuple[str, str, Spoil]]:
    """(kind, name, how) of every way to spoil a checkpoint."""
    yield "sound", "as it was", lambda path: None
    yield from (("pickles", *each) for each in bombs())
    yield from (("archives", *each) for each in archives())
    yield from (("bytes", *each) for each in damages(chance, 60))
    for part in PARTS:
        yield "parts", f"{part} missing", without(part)
        for value in WRONG:
            yield "parts", f"{part}={value!r}", put(value, part)
    for part, *first in WEIGHTS:
        for name, shape in SHAPES.items():
            yield "weights", f"{part} {first} {name}", put(shape, part, *first)
    for part in ("model", "ema", "optimizer", "config", "schedule_sampler", "averages"):
        yield "weights", f"other names in {part}", renamed(part)
    yield "weights", "other names in an average", renamed("ema", 0)
    for keys in WITHOUT:
        yield "weights", f"{keys} missing", without(*keys)
    yield "weights", "a moment of no weight", put(lambda kept: {**kept, 999: kept[0]}, "optimizer", "state")
    yield "weights", "a moment lacking", without("optimizer", "state", 0, "exp_avg")
    yield "weights", "an average of no rate", holding(lambda state: state["ema"].update({"0.9/../x": state["model"]}))
    for step in (-1, 10**30, 2**47, True, 3):
        yield "weights", f"step={step}", put(step, "step")
    for at, values in SETTINGS.items():
        for number, value in enumerate(values):
            yield "settings", f"{at} no. {number}: {reprlib.repr(value)}", put(value, "config", *at.split("."))
    for part, target in [(part, each) for part in ("diffusion.schedule", "model", "data") for each in HOSTILE]:
        wish = {"_target_": target, "_args_": [f"mkdir {MARK}" if "system" in str(target) else MARK]}
        yield "targets", f"{part}={target}", put(wish, "config", *part.split("."))


def prepare(sound: Path, spoil: Spoil, folder: Path) -> None:
    shutil.copytree(sound, folder / "runs" / "run")
    spoil(folder / "runs" / "run" / "checkpoints" / NEWEST)


def complaint(expected: Path, folder: Path, said: str) -> str | None:
    """What is not as undisturbed, of what a command has made; and what it must not have printed."""
    if "\x1b" in said or Path.home().as_posix() in said.replace(folder.as_posix(), ""):
        return f"shows what it must not: {said!r}"
    if (drawn := folder / "drawn" / "samples.npz").is_file():
        ours, theirs = (np.load(each)["arr_0"] for each in (drawn, expected / "drawn" / "samples.npz"))
        return None if np.array_equal(ours, theirs) else "draws other images"
    last = Path("runs/run/checkpoints/step_00000006.pt")
    if (folder / last).is_file():
        ours, theirs = (load(each / last)["model"] for each in (folder, expected))
        return None if all(torch.equal(ours[name], theirs[name]) for name in theirs) else "trains to other weights"
    return None
