"""Ways to spoil a checkpoint: its bytes, the records of its archive, its pickle, and what a whole file may hold."""

from __future__ import annotations

import copy
import os
import pickle
import random
import struct
import sys
import zipfile
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import torch
from runner import MARK

State = dict[str, Any]
Spoil = Callable[[Path], object]
"""Spoils the file at a path. Where it is read, the folder of the case is the working directory."""
GREEDY = 3 * 2**30


def load(path: Path) -> State:
    return torch.load(path, weights_only=True)


def holding(change: Callable[[State], object], **options: Any) -> Spoil:
    """A whole file, whose state was changed."""

    def spoil(path: Path) -> None:
        state = copy.deepcopy(load(path))
        change(state)
        limit = sys.getrecursionlimit()
        sys.setrecursionlimit(10**5)  # for what is nested deep
        torch.save(state, path, **options)
        sys.setrecursionlimit(limit)

    return spoil


def put(value: Any, *keys: Any) -> Spoil:
    """With `value`, or what it makes of what was there, where keys lead to; a number counts the keys there."""

    def change(state: State) -> None:
        *parents, last = keys
        node: Any = state
        for key in parents:
            node = node[list(node)[key] if isinstance(key, int) else key]
        last = list(node)[last] if isinstance(last, int) and last not in node else last
        node[last] = value(node[last]) if callable(value) else value

    return holding(change)


def without(*keys: Any) -> Spoil:
    def change(state: State) -> None:
        *parents, last = keys
        node: Any = state
        for key in parents:
            node = node[key]
        del node[list(node)[last] if isinstance(last, int) else last]

    return holding(change)


def renamed(*keys: Any) -> Spoil:
    return put(lambda node: {f"other.{name}": value for name, value in node.items()}, *keys)


def nested(depth: int) -> State:
    node: State = {}
    for _ in range(depth):
        node = {"deeper": node}
    return node


def shared(depth: int) -> list[Any]:
    """A list of two lists, each the same list of two lists, ...: 2^depth for who walks through it."""
    node: list[Any] = []
    for _ in range(depth):
        node = [node, node]
    return node


def circular() -> State:
    node: State = {}
    node["again"] = node
    return node


class Call:
    """Pickled, it is the wish to call a function when it is opened."""

    def __init__(self, function: Callable[..., Any], *arguments: Any) -> None:
        self.called = function, arguments

    def __reduce__(self) -> tuple[Any, ...]:
        return self.called


def bombs() -> Iterator[tuple[str, Spoil]]:
    """Pickles that leave a mark, or take all memory."""
    mark = Call(os.mkdir, MARK)
    for part in ("model", "config", "step", "extra", "optimizer", "ema"):
        yield f"a call in {part}", put(mark, part)
    for name, call in {
        "os.system": Call(os.system, f"mkdir {MARK}"), "eval": Call(eval, f"__import__('os').mkdir('{MARK}')"),
        "bytearray": Call(bytearray, GREEDY), "set": Call(set, [1, 2]), "device": Call(torch.device, "cuda"),
        "range": Call(range, GREEDY), "torch.zeros": Call(torch.zeros, GREEDY),
    }.items():  # fmt: skip
        yield f"a call of {name}", put(call, "config", "name")
        yield (
            f"a call of {name} in an old file",
            holding(partial(dict.update, extra=call), _use_new_zipfile_serialization=False),
        )
    yield "a bare pickle", lambda path: path.write_bytes(pickle.dumps(mark))
    yield (
        "a bare pickle in an archive",
        rezipped(lambda name, content: f"cos\nmkdir\n(V{MARK}\ntR.".encode() if name.endswith("data.pkl") else content),
    )
    yield "an expanded weight", put(lambda weight: weight.flatten()[:1].expand(2**20, 2**20), "model", 0)
    yield "a weight without content", put(torch.empty(GREEDY, device="meta"), "model", 0)
    yield "a sparse weight", put(lambda weight: weight.to_sparse(), "model", 0)
    yield "lists that share parts", put(shared(26), "config", "data")
    yield "lists that share parts in the optimizer", put(shared(40), "optimizer", "state")
    yield "tuples as keys", put({((1,),): 1}, "config", "data")


def rezipped(change: Callable[[str, bytes], bytes | None], kind: int = zipfile.ZIP_STORED) -> Spoil:
    """The file with other records, sound as an archive."""

    def spoil(path: Path) -> None:
        with zipfile.ZipFile(path) as old:
            records = {info.filename: old.read(info) for info in old.infolist()}
        with zipfile.ZipFile(path, "w", kind) as new:
            for name, content in records.items():
                if (changed := change(name, content)) is not None:
                    new.writestr(name, changed)

    return spoil


def sized(path: Path) -> None:
    """The first weight's number of elements, wherever it stands, said to be nearly 2^31."""
    count = next(iter(load(path)["model"].values())).numel()
    path.write_bytes(path.read_bytes().replace(b"M" + struct.pack("<H", count), b"J" + struct.pack("<i", 2**31 - 1)))


def swapped(path: Path) -> None:
    """The bytes of one weight in the place of another's of the same size, under the checksums of before."""
    content = path.read_bytes()
    with zipfile.ZipFile(path) as archive:
        sizes = [each for each in archive.infolist() if "/data/" in each.filename and each.file_size > 64]
        one, other = next((a, b) for a in sizes for b in sizes if a.file_size == b.file_size and a.CRC != b.CRC)
        a, b = archive.read(one), archive.read(other)
    path.write_bytes(content.replace(a, b"\0" * len(a)).replace(b, a).replace(b"\0" * len(a), b))


def another_zip(path: Path) -> None:
    with zipfile.ZipFile(path, "w") as records:
        records.writestr("hello.txt", "hello")


def replaced(make: Callable[[Path], object]) -> Spoil:
    """Something else under the file's name."""

    def spoil(path: Path) -> None:
        path.unlink()
        make(path)

    return spoil


def archives() -> Iterator[tuple[str, Spoil]]:
    """Other records, and what is no archive of ours."""
    yield "a record missing", rezipped(lambda name, content: None if name.endswith("data/0") else content)
    yield "a record too short", rezipped(lambda name, content: content[:8] if name.endswith("data/1") else content)
    yield "compressed", rezipped(lambda _, content: content, zipfile.ZIP_DEFLATED)
    yield "a great size", sized
    yield "swapped records", swapped
    yield "another zip", another_zip
    yield "another program's", lambda path: torch.save({"state_dict": {"weight": torch.zeros(3)}, "epoch": 3}, path)
    yield "a list", lambda path: torch.save([1, 2], path)
    yield "empty", lambda path: os.truncate(path, 0)
    yield "a text", lambda path: path.write_text("hello\n")
    yield "a folder", replaced(os.mkdir)
    yield "a FIFO", replaced(os.mkfifo)
    yield "a link to nowhere", replaced(lambda path: path.symlink_to("nowhere"))
    yield "a link to zeros", replaced(lambda path: path.symlink_to("/dev/zero"))


CHANGES: tuple[tuple[str, Callable[..., bytes]], ...] = (
    ("truncated", lambda content, at, bit, size: content[:at]),
    ("a bit flipped", lambda content, at, bit, size: content[:at] + bytes([content[at] ^ bit]) + content[at + 1 :]),
    ("a block zeroed", lambda content, at, bit, size: content[:at] + bytes(size) + content[at + size :]),
)


def damages(chance: random.Random, count: int) -> Iterator[tuple[str, Spoil]]:
    """What befalls bytes, drawn by chance."""
    for number in range(count):
        share, bit, size = chance.random(), 1 << chance.randrange(8), 2 ** chance.randrange(3, 14)
        if number % 2:  # near the ends, where the archive's directory and the pickle lie
            share = chance.choice((share * 0.05, 1 - share * 0.05))
        kind, change = CHANGES[number % len(CHANGES)]
        yield f"{kind} at {share:.4f}", damaged(change, share, bit, size)


def damaged(change: Callable[..., bytes], share: float, bit: int, size: int) -> Spoil:
    def spoil(path: Path) -> None:
        content = path.read_bytes()
        path.write_bytes(change(content, min(int(share * len(content)), len(content) - 1), bit, size))

    return spoil
