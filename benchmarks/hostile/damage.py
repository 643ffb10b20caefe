"""What lies in the place of a file after a power cut, or in a folder from a stranger: `KINDS` by name."""

from __future__ import annotations

import os
import shutil
import socket
from collections.abc import Callable
from pathlib import Path

from runner import MARK

Damage = Callable[[Path], object]


def laughs(line: str) -> str:
    """YAML of forty levels, each of which refers to the one before several times."""
    return "a0: &a0 {k: v}\n" + "".join(f"a{i + 1}: &a{i + 1} " + line.format(f"*a{i}") + "\n" for i in range(40))


def text(content: str) -> Damage:
    return lambda path: path.write_bytes(content.encode())


def link(target: str) -> Damage:
    return lambda path: path.symlink_to(target)


def half(path: Path) -> None:
    path.write_bytes(old(path)[: len(old(path)) // 2])


def zeros(path: Path) -> None:
    path.write_bytes(bytes(len(old(path)) or 100))


def wrong_byte(path: Path) -> None:
    content = bytearray(old(path))
    content[len(content) // 3 : len(content) // 3 + 1] = b"\x80"
    path.write_bytes(content)


def twice(path: Path) -> None:
    path.write_bytes(2 * old(path))


def sparse(path: Path) -> None:
    path.touch()
    os.truncate(path, 20 * 2**30)


def listening(path: Path) -> None:
    here = Path.cwd()
    os.chdir(path.parent)  # as the names of sockets are short
    socket.socket(socket.AF_UNIX).bind(path.name)
    os.chdir(here)


def old(path: Path) -> bytes:
    """What the file held before, which `damaged` keeps beside it."""
    kept = path.with_name(f".{path.name}")
    return kept.read_bytes() if kept.is_file() else b""


def damaged(path: Path, kind: str) -> None:
    """Put a kind of damage in the place of the file or folder `path`."""
    path.parent.mkdir(parents=True, exist_ok=True)
    kept = path.with_name(f".{path.name}")
    if path.exists():
        path.rename(kept)
    KINDS[kind](path)
    if kept.is_dir():
        shutil.rmtree(kept)
    else:
        kept.unlink(missing_ok=True)


TORN: dict[str, Damage] = {
    "nothing": lambda path: None,
    "no bytes": text(""),
    "the first half": half,
    "zeros": zeros,
    "a wrong byte": wrong_byte,
    "its content twice": twice,
}
GARBAGE: dict[str, Damage] = {
    "a word": text("word"),
    "null": text("null\n"),
    "a number": text("3"),
    "a list": text("[1, [2], null]"),
    "bytes that are no text": lambda path: path.write_bytes(b'\xff\xfe\x00{"step": \x80}\n\xc3\x28: [\n'),
    "UTF-16": lambda path: path.write_bytes('{"step": 3, "loss": 1}\n'.encode("utf-16")),
    "steering characters": text('{"step": 4, "state": "\\u001b[2J", "loss": 1, "\\u001b[31m_fid": 1, "fid\\r": 2}\n'),
    "values of other kinds": text('{"step": "x", "state": [], "train": 3, "loss": {"a": 1}, "seed": {}}\n'),
    "a step that is no number": text('{"step": null, "loss": 1}\n{"loss": 2}\n{"step": [1], "loss": 3}\n'),
    "numbers beyond all": text(f'{{"step": {"9" * 4000}, "images": 1e999, "loss": -{"9" * 4000}, "fid": NaN}}\n'),
    "steps beyond all": text('{"step": 1e308, "images": 1e308, "loss": 1e308, "fid": -1e308}\n' * 3),
    "steps below zero": text('{"step": -5, "images": -1, "loss": 1, "state": "finished"}\n'),
    "200,000 brackets": text("[" * 200_000),
    "200,000 objects": text('{"a":' * 200_000),
    "900 brackets": text("[" * 900 + "]" * 900),
    "900 objects": text('{"a":' * 900 + "1" + "}" * 900),
    "a mapping that holds itself": text("a: &a\n  b: *a\n"),
    "a list that holds itself": text("&a [*a, {seed: *a}]"),
    "lists that share parts": text(laughs("[{0},{0},{0},{0},{0},{0},{0},{0}]")),
    "mappings that merge": text(laughs("{{<<: [{0},{0},{0},{0},{0},{0},{0},{0}]}}")),
    "a number of base 60": text("seed: 1" + ":1" * 400_000),
    "a number of base 16": text("seed: 0x" + "f" * 400_000),
    "code": text(f'seed: !!python/object/apply:os.system ["touch {MARK}"]\n'),
    "tags of the language": text('a: !!timestamp x\nb: !!int ""\n'),
    "12 MB of lists": text("[" + "[]," * 4_000_000 + "[]]"),
    "lines of 5 MB": text('{"step": 3, "loss": [' + "1," * 2_500_000 + "1]}\n"),
    "2,000 names": text('{"step": 3, "images": 9, ' + ", ".join(f'"fid_{i}": 1' for i in range(2000)) + "}\n"),
}
NO_FILE: dict[str, Damage] = {
    "a pipe": lambda path: os.mkfifo(path),
    "a socket": listening,
    "a folder": lambda path: path.mkdir(),
    "20 GB of nothing": sparse,
    "a link to nothing": link("nowhere"),
    "a link to itself": lambda path: path.symlink_to(path.name),
    "a link to zeros": link("/dev/zero"),
    "a link to a full device": link("/dev/full"),
    "a link to a terminal": link("/dev/ptmx"),
    "a link to the memory": link("/proc/self/mem"),
}
KINDS = TORN | GARBAGE | NO_FILE
SOME = (  # of each sort, for files that several commands read
    "nothing", "no bytes", "the first half", "zeros", "a wrong byte", "values of other kinds", "numbers beyond all",
    "200,000 brackets", "900 objects", "a mapping that holds itself", "a pipe", "a folder", "20 GB of nothing",
    "a link to nothing", "a link to zeros", "a link to the memory",
)  # fmt: skip
