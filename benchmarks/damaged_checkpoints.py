"""What damaged and hostile checkpoints do: python benchmarks/damaged_checkpoints.py [--files 200]

Trains a tiny network, spoils its last checkpoint in every way below, and with each opens it as sample.py does and
resumes from it as train.py does. The law: no code of the file's runs, which would leave a mark; the file is refused in
one line, or what it loads is to the bit what was saved; and train.py falls back to the sound file before it, with a
warning, when the newest is none. A file that is whole but describes what is impossible is refused, and not passed over.
Prints how many of each kind were refused, and by whom; ends with one line of JSON.
"""

from __future__ import annotations

import argparse
import copy
import io
import json
import logging
import os
import pickle
import random
import shutil
import sys
import tempfile
import zipfile
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

import hydra
import torch
from hydra.errors import HydraException
from omegaconf.errors import OmegaConfBaseException

from diffusion.cli.command import one_line
from diffusion.config import build, load
from diffusion.config.resolvers import register_resolvers
from diffusion.runs import checkpoints, resuming
from diffusion.runs.checkpoints import CHECKPOINT_FORMAT, write_checkpoint
from diffusion.training.loop import fit

CONF = Path(__file__).resolve().parents[1] / "conf"
TINY = (
    "name=run", "device=cpu", "logger.mode=disabled", "logger.group=null", "data.image_size=8", "diffusion.steps=8",
    "model.base_channels=8", "model.channel_mult=[1,2]", "model.norm_groups=4", "model.attention_resolutions=[4]",
    "train=debug", "train.max_steps=4", "train.anneal_steps=null", "train.preview.every=0",
    "train/schedule_sampler=loss_second_moment",
)  # fmt: skip
CLEAR = (ValueError, OSError, HydraException, OmegaConfBaseException)  # what command.report_errors says in one line
State = dict[str, Any]
Spoil = Callable[[Path, "Bench"], None]

WRONG: tuple[Any, ...] = ("text", [], 7.5, None)


class Bench:
    """A trained run, and what happens to those who open a copy of its last checkpoint that was spoilt."""

    def __init__(self, place: Path) -> None:
        self.place, self.mark = place, place / "mark"
        register_resolvers()
        with hydra.initialize_config_dir(str(CONF), version_base="1.3"):
            self.config = hydra.compose("train", overrides=[*TINY, f"runs={place}"])
        self.run = place / "run"
        self.trainer, run = build.training(self.config, self.run)
        self.run.mkdir()
        fit(self.trainer, run)
        self.files = checkpoints.list_checkpoints(run.checkpoints)
        self.before, self.state = map(checkpoints.read_checkpoint, self.files)

    def spoil(self, how: Spoil) -> Path:
        """A run folder whose newest checkpoint is spoilt."""
        folder = self.place / "spoilt"
        shutil.rmtree(folder, ignore_errors=True)
        shutil.copytree(self.run, folder)
        how(folder / "checkpoints" / self.files[-1].name, self)
        return folder

    def opened(self, folder: Path) -> str:
        """What sample.py gets from the file alone: "refused", "the same", or what is wrong."""
        return self.outcome(lambda: self.drawn(folder / "checkpoints" / self.files[-1].name))

    def drawn(self, path: Path) -> str:
        model = load.load_model(str(path), device="cpu")
        rate = model.weights.removeprefix("ema_")
        same = model.step == self.state["step"] and equal(dict(model.network.state_dict()), self.state["ema"][rate])
        return "the same" if same else "loads wrongly"

    def resumed(self, folder: Path) -> str:
        """What train.py gets from the run: "refused", "the one before", "the same", or what is wrong."""
        return self.outcome(lambda: self.trained_on(folder))

    def trained_on(self, folder: Path) -> str:
        said = Warnings()
        logging.getLogger().addHandler(said)
        try:
            state = checkpoints.load_newest(folder)
        finally:
            logging.getLogger().removeHandler(said)
        assert state is not None
        if state["step"] == self.before["step"] and equal(state, self.before):
            return "the one before" if said.number == 1 else f"falls back with {said.number} warnings"
        trainer, run = build.training(self.config, folder)
        resuming.check_resumable(state["config"], run.config)
        learner = trainer.learner(run)
        trainer.learner = lambda _: learner  # type: ignore[assignment, method-assign]
        fit(trainer, run, state)
        now, then = ({**kept, "optimizer": kept["optimizer"]["state"]} for kept in (learner.state_dict(), self.state))
        return "the same" if all(equal(now[part], then[part]) for part in now) else "loads wrongly"

    def outcome(self, tried: Callable[[], str]) -> str:
        try:
            end = tried()
        except CLEAR as error:
            line = one_line(error)
            end = "refused" if line and "\n" not in line else f"says {line!r:.200}"
        except BaseException as error:
            end = f"{type(error).__name__}: {str(error).partition(chr(10))[0]:.120}"
        return "runs code" if self.mark.exists() else end


class Warnings(logging.Handler):
    number = 0

    def emit(self, record: logging.LogRecord) -> None:
        self.number += 1


def equal(one: Any, other: Any) -> bool:
    """True for the same values, to the bit, in the same order."""
    if isinstance(other, torch.Tensor):
        return isinstance(one, torch.Tensor) and one.dtype == other.dtype and torch.equal(one, other)
    if isinstance(other, dict):
        return isinstance(one, dict) and one.keys() == other.keys() and all(equal(one[k], other[k]) for k in other)
    if isinstance(other, list | tuple):
        return type(one) is type(other) and len(one) == len(other) and all(map(equal, one, other))
    return type(one) is type(other) and one == other


# What befalls bytes.


def truncated(share: float) -> Spoil:
    return lambda path, _: os.truncate(path, int(share * path.stat().st_size))


def shortened(bytes_: int) -> Spoil:
    return lambda path, _: os.truncate(path, path.stat().st_size - bytes_)


def flipped(share: float, bit: int) -> Spoil:
    def spoil(path: Path, _: Bench) -> None:
        content = bytearray(path.read_bytes())
        content[min(int(share * len(content)), len(content) - 1)] ^= 1 << bit
        path.write_bytes(content)

    return spoil


def zeroed(share: float, size: int) -> Spoil:
    def spoil(path: Path, _: Bench) -> None:
        content = bytearray(path.read_bytes())
        begin = int(share * (len(content) - size))
        content[begin : begin + size] = bytes(size)
        path.write_bytes(content)

    return spoil


def lengthened(path: Path, _: Bench) -> None:
    path.write_bytes(path.read_bytes() + bytes(1000))


# What a whole file may hold instead.


def holding(change: Callable[[State], None]) -> Spoil:
    def spoil(path: Path, bench: Bench) -> None:
        state = copy.deepcopy(bench.state)
        change(state)
        limit = sys.getrecursionlimit()
        sys.setrecursionlimit(10**5)  # for what is nested deep
        write_checkpoint(path, state)
        sys.setrecursionlimit(limit)

    return spoil


def put(value: Any, *keys: Any) -> Spoil:
    """With `value` in the place that `keys` lead to; an int counts the keys there."""

    def change(state: State) -> None:
        node: Any = state
        for key in keys[:-1]:
            node = node[list(node)[key] if isinstance(key, int) and isinstance(node, dict) else key]
        last = list(node)[keys[-1]] if isinstance(keys[-1], int) and isinstance(node, dict) else keys[-1]
        node[last] = value(node[last]) if callable(value) else value

    return holding(change)


def without(*keys: Any) -> Spoil:
    def change(state: State) -> None:
        node: Any = state
        for key in keys[:-1]:
            node = node[key]
        del node[list(node)[keys[-1]] if isinstance(keys[-1], int) else keys[-1]]

    return holding(change)


def renamed(*keys: Any) -> Spoil:
    return put(lambda node: {f"other.{name}": value for name, value in node.items()}, *keys)


def nested(depth: int) -> dict[str, Any]:
    node: dict[str, Any] = {}
    for _ in range(depth):
        node = {"deeper": node}
    return node


def circular() -> dict[str, Any]:
    node: dict[str, Any] = {}
    node["again"] = node
    return node


class Bomb:
    """Pickled, it is the wish to leave a mark when it is opened."""

    def __init__(self, mark: Path) -> None:
        self.mark = mark

    def __reduce__(self) -> tuple[Any, ...]:
        return os.mkdir, (str(self.mark),)


def bomb_in(*keys: str) -> Spoil:
    return lambda path, bench: put(Bomb(bench.mark), *keys)(path, bench)


def raw_pickle(path: Path, bench: Bench) -> None:
    path.write_bytes(pickle.dumps(Bomb(bench.mark)))


def old_torch(path: Path, bench: Bench) -> None:
    torch.save({"format": CHECKPOINT_FORMAT, "model": Bomb(bench.mark)}, path, _use_new_zipfile_serialization=False)


def rezipped(change: Callable[[str, bytes], bytes | None], kind: int = zipfile.ZIP_STORED) -> Callable[..., None]:
    """The file with other records, sound as an archive."""

    def spoil(path: Path, _: Bench) -> None:
        with zipfile.ZipFile(path) as old:
            records = {info.filename: old.read(info) for info in old.infolist()}
        with zipfile.ZipFile(path, "w", kind) as new:
            for name, content in records.items():
                if (changed := change(name, content)) is not None:
                    new.writestr(name, changed)

    return spoil


def marking_pickle(name: str, content: bytes, mark: str) -> bytes:
    return b"cos\nmkdir\n(V" + mark.encode() + b"\ntR." if name.endswith("data.pkl") else content


def swapped(path: Path, bench: Bench) -> None:
    """The bytes of one weight in the place of another's of the same size, under the checksums of before."""
    content = path.read_bytes()
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        sizes = [i for i in archive.infolist() if "/data/" in i.filename and i.file_size > 64]
        one, other = next((a, b) for a in sizes for b in sizes if a.file_size == b.file_size and a.CRC != b.CRC)
        a, b = archive.read(one), archive.read(other)
    path.write_bytes(content.replace(a, b"\0" * len(a)).replace(b, a).replace(b"\0" * len(a), b))


def another_zip(path: Path, _: Bench) -> None:
    with zipfile.ZipFile(path, "w") as records:
        records.writestr("hello.txt", "hello")


def another_program(path: Path, _: Bench) -> None:
    torch.save({"state_dict": {"weight": torch.zeros(3)}, "epoch": 3}, path)


def folder(path: Path, _: Bench) -> None:
    path.unlink()
    path.mkdir()


def link_to_nowhere(path: Path, _: Bench) -> None:
    path.unlink()
    path.symlink_to("nowhere")


HOSTILE = (
    "os.system", "builtins.eval", "builtins.exec", "subprocess.Popen", "subprocess.check_output", "pathlib.Path.touch",
    "torch.load", "torch.hub.load", "shutil.rmtree", "hydra.utils.instantiate", "importlib.import_module",
    "diffusion.cli.command.os.system", "diffusion.runs.checkpoints.save", "diffusion.config.build.instantiate",
    "diffusion.runs.files.os.mkdir", "torch.optim.os.system", "unet:os.system", "torch.optim.Optimizer.__init__",
    "diffusion.training.metrics.replace_text", "diffusion.config.load.shlex.os.mkdir",
)  # fmt: skip


def hostile(target: str, *keys: str) -> Spoil:
    return lambda path, bench: put(
        {"_target_": target, "_args_": [f"mkdir {bench.mark}" if "system" in target else str(bench.mark)]},
        "config", *keys,
    )(path, bench)  # fmt: skip


def kinds(files: int) -> Iterator[tuple[str, Spoil]]:
    """`files` ways to spoil a file, by kind: all that are listed, and damaged bytes for what is left."""
    listed: list[tuple[str, Spoil]] = [
        *(("hostile _target_", hostile(target, "diffusion", "schedule")) for target in HOSTILE),
        *(("hostile _target_", hostile(target, "model")) for target in HOSTILE[:4]),
        *(("hostile _target_", hostile(target, "data")) for target in HOSTILE[:4]),
        *(("pickle bomb", bomb_in(part)) for part in ("model", "config", "step", "extra")),
        ("pickle bomb", raw_pickle), ("pickle bomb", old_torch),
        ("pickle bomb", lambda path, bench: rezipped(lambda n, c: marking_pickle(n, c, str(bench.mark)))(path, bench)),
        *(("a part of a wrong kind", put(value, part)) for part in PARTS for value in WRONG),
        *(("a part missing", without(part)) for part in PARTS),
        *(("weights of a wrong kind", put(other, part, *first)) for part, *first in WEIGHTS for other in ("text", 3)),
        *(("another shape", put(shape, part, *first)) for part, *first in WEIGHTS for shape in SHAPES),
        *(("other names", renamed(*keys)) for keys in (("model",), ("ema",), ("ema", 0), ("optimizer",), ("config",))),
        *(("a weight missing", without(*keys)) for keys in (("model", 0), ("ema", "0.9", 0), ("ema", 0))),
        *(("config incomplete", without("config", key)) for key in ("model", "diffusion", "shape", "classes", "train")),
        *(("config of wrong values", put(value, "config", *keys)) for keys, value in VALUES),
        *(("logged means of a wrong kind", put({"loss": value}, "averages")) for value in ("text", torch.zeros(3, 3))),
        *(("step of a wrong value", put(value, "step")) for value in (-1, 10**30, True)),
        ("another zip", another_zip), ("another program's", another_program), ("a folder", folder),
        ("a link to nowhere", link_to_nowhere), ("empty", truncated(0)), ("too long", lengthened),
        ("swapped records", swapped),
        ("a record missing", rezipped(lambda name, content: None if name.endswith("data/0") else content)),
        ("a record too short", rezipped(lambda name, content: content[:8] if name.endswith("data/1") else content)),
        ("compressed", rezipped(lambda _, content: content, zipfile.ZIP_DEFLATED)),
    ]  # fmt: skip
    yield from listed
    chance = random.Random(0)
    ways: list[tuple[str, Callable[[], Spoil]]] = [
        ("truncated", lambda: truncated(chance.random())),
        ("truncated", lambda: shortened(chance.randrange(1, 200))),
        ("one bit flipped", lambda: flipped(chance.random(), chance.randrange(8))),
        ("one bit flipped", lambda: flipped(chance.choice((0, 1)) + chance.uniform(-2e-3, 2e-3), chance.randrange(8))),
        ("a block zeroed", lambda: zeroed(chance.random(), 2 ** chance.randrange(3, 16))),
    ]
    for number in range(files - len(listed)):
        kind, way = ways[number % len(ways)]
        yield kind, way()


PARTS = ("step", "model", "ema", "optimizer", "scaler", "schedule_sampler", "averages", "config")
WEIGHTS = (("model", 0), ("ema", "0.9", 0), ("optimizer", "state", 0, "exp_avg"), ("schedule_sampler", "losses"))
SHAPES = (lambda w: w.flatten()[:1], lambda w: w.flatten()[:0], lambda w: w[None])
VALUES: tuple[tuple[tuple[str, ...], Any], ...] = (
    (("model", "base_channels"), "wide"), (("model", "base_channels"), 0), (("model", "base_channels"), -8),
    (("model", "image_size"), 7), (("model", "channel_mult"), []), (("diffusion", "steps"), 0),
    (("diffusion", "steps"), "${oc.env:HOME}"), (("diffusion",), "cosine"), (("diffusion", "loss"), None),
    (("shape",), "large"), (("shape",), [1]), (("classes",), 10), (("model",), []), (("model", "more"), 1),
    (("data",), nested(5000)), (("data",), circular()), (("model", "depth"), nested(100)),
    (("data", "image_size"), 1e400), (("model", "heads"), 0), (("diffusion", "schedule"), {"_target_": 3}),
)  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--files", type=int, default=200)
    chosen = parser.parse_args()
    torch.set_num_threads(1)
    logging.getLogger().addHandler(logging.NullHandler())
    with tempfile.TemporaryDirectory() as place:
        bench = Bench(Path(place))
        broken, rows = tried(bench, kinds(chosen.files))
    print("                         files  drawing: refused  the same  resuming: the one before  refused  the same")
    for kind, ends in rows.items():
        numbers = (ends[end] for end in ("drawing refused", "drawing the same"))
        others = (ends[f"resuming {end}"] for end in ("the one before", "refused", "the same"))
        print("{:23}  {:5}  {:16}  {:8}  {:24}  {:7}  {:8}".format(kind, ends["files"], *numbers, *others))
    print(json.dumps({"files": sum(ends["files"] for ends in rows.values()), "broken": broken}))
    sys.exit(1 if broken else 0)


def tried(bench: Bench, ways: Iterable[tuple[str, Spoil]]) -> tuple[int, dict[str, Counter[str]]]:
    """How many break the law, each named; and what happened, by kind."""
    broken = 0
    rows: dict[str, Counter[str]] = {}
    for kind, how in ways:
        ends = rows.setdefault(kind, Counter())
        ends["files"] += 1
        spoilt = bench.spoil(how)
        for what, end in (("drawing", bench.opened(spoilt)), ("resuming", bench.resumed(spoilt))):
            ends[f"{what} {end}"] += 1
            if end not in ("refused", "the same", "the one before"):
                broken += 1
                print(f"{what}, {kind} no. {ends['files']}: {end}", flush=True)
            shutil.rmtree(bench.mark, ignore_errors=True)
    return broken, rows


if __name__ == "__main__":
    main()
