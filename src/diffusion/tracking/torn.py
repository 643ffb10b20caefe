"""Mending what a killed process leaves of W&B's files, which `wandb sync` would refuse together with all later parts.

A part's .wandb file is a log as LevelDB writes it: 7 bytes of header, then blocks of 32 KiB. A record is one chunk, or
several that begin with a FIRST and end with a LAST one. A chunk is a checksum, its length and its kind, then the data.
"""

from __future__ import annotations

import os
import shutil
import struct
from pathlib import Path

BLOCK = 32 * 1024
HEADER = 7  # bytes, of the file as of a chunk
FULL, LAST = 1, 4


def mend(part: Path) -> None:
    """Cuts a half-written record off the end of a part; removes a part that holds no whole record."""
    for file in part.glob("*.wandb"):
        whole = whole_length(file.read_bytes())
        if whole <= HEADER:
            shutil.rmtree(part)
        elif whole < file.stat().st_size:
            os.truncate(file, whole)


def whole_length(log: bytes) -> int:
    """How many bytes of a log are its header and whole records."""
    position = whole = min(HEADER, len(log))
    while True:
        left = BLOCK - position % BLOCK
        if left < HEADER:  # too small for a chunk's header, so filled with zeros
            position += left
        if position + HEADER > len(log):
            return whole
        _, length, kind = struct.unpack_from("<IHB", log, position)
        position += HEADER + length
        if not FULL <= kind <= LAST or position > len(log):
            return whole
        if kind in (FULL, LAST):
            whole = position
