"""Files of tensors by torch.save or safetensors, read without running anything or taking more than they hold."""

import zipfile
from io import BufferedReader
from itertools import pairwise
from pathlib import Path
from typing import IO, Any

import safetensors.torch
import torch
from torch import Tensor

from diffusion.runs.plain_pickle import NotPlain, PlainPickle, UnknownDtype
from diffusion.runs.printable import reason
from diffusion.runs.small_files import open_regular

OLD_MAGIC = 0x1950A86A20F9469CFC6C  # torch.save's before torch 1.6


def read_tensor_file(path: Path) -> Any:
    """What a .pt or .safetensors file holds: tensors, or dicts, lists, text and numbers around them.

    ValueError in one line if it is missing, damaged, or holds more than that.
    """
    try:
        with open_regular(path) as file:
            return read_open_file(file, path)
    except OSError as error:
        raise ValueError(
            f"{path} does not exist, or is no file that can be read ({error.strerror}); "
            "give the path of a .pt or .safetensors file"
        ) from None


def is_archive(file: BufferedReader) -> bool:
    """True for what torch.save writes since torch 1.6: it begins like a zip archive, even when the rest is damaged."""
    return file.peek(2)[:2] in (b"PK", b"")


def read_open_file(file: BufferedReader, path: Path) -> Any:
    """The same of a file that is open, and lies at `path`."""
    try:
        if path.suffix == ".safetensors":
            return safetensors.torch.load_file(path)
        return read_archive(file) if is_archive(file) else read_old(file)
    except NotPlain as error:
        raise ValueError(
            f"{path} holds more than tensors and plain values ({reason(error)}), and was not opened, as that could run "
            "code; save the plain state dict with torch.save"
        ) from None
    except UnknownDtype as error:
        raise ValueError(
            f"{path} holds tensors of {reason(error)}, which are not read; save them as floating point or whole numbers"
        ) from None
    except Exception as error:  # What is no such file can fail in any way: BadZipFile, IndexError, ...
        raise ValueError(f"{path} is truncated, damaged or of another format ({reason(error)})") from None


def read_archive(file: IO[bytes]) -> Any:
    """What an archive by torch.save holds, its bytes checked against their checksums."""
    with zipfile.ZipFile(file) as archive:
        check_records(archive)
        (pickled,) = [name for name in archive.namelist() if name.endswith("data.pkl")]
        folder = pickled.removesuffix("data.pkl")
        if f"{folder}byteorder" in archive.namelist() and archive.read(f"{folder}byteorder") != b"little":
            raise ValueError("its numbers are stored in another order of bytes")
        found: dict[str, Tensor] = {}

        def storage(dtype: torch.dtype, key: str, size: int) -> Tensor:
            if key not in found:
                found[key] = record(archive, f"{folder}data/{key}")
            values = found[key].view(dtype)
            if len(values) != size:
                raise ValueError(f"its record {key} holds {len(values)} numbers, not {size}")
            return values

        with archive.open(pickled) as stream:
            return PlainPickle(storage).read(stream)


def check_records(archive: zipfile.ZipFile) -> None:
    """ValueError if the records of an archive could hold more than its file."""
    records = archive.infolist()
    if any(
        record.compress_type != zipfile.ZIP_STORED or record.compress_size != record.file_size for record in records
    ):
        raise ValueError("its records are compressed, and could be of any size")
    if len({record.filename for record in records}) < len(records):
        raise ValueError("two of its records have one name")
    places = sorted((record.header_offset, record.file_size) for record in records)
    if any(at + size > later for (at, size), (later, _) in pairwise([*places, (archive.start_dir, 0)])):
        raise ValueError("its records overlap")


def record(archive: zipfile.ZipFile, name: str) -> Tensor:
    """The bytes of a record, uint8 (N,), which match its checksum."""
    content = torch.empty(archive.getinfo(name).file_size, dtype=torch.uint8)
    with archive.open(name) as stream:
        if not fill(content, stream):
            raise ValueError(f"its record {name} is too short")
    return content


def fill(content: Tensor, stream: IO[bytes]) -> bool:
    """Read bytes into `content`, uint8 (N,); False if there are fewer."""
    return stream.readinto(content.numpy().data) == len(content)  # type: ignore[attr-defined]


def read_old(file: IO[bytes]) -> Any:
    """What a file by torch.save holds, as that wrote it before torch 1.6: pickles, then the contents of the tensors."""
    left = file.seek(0, 2)
    file.seek(0)
    found: dict[str, Tensor] = {}

    def storage(dtype: torch.dtype, key: str, size: int) -> Tensor:
        nonlocal left
        if key not in found:
            left -= size * dtype.itemsize
            if size < 0 or left < 0:
                raise ValueError("it is shorter than its tensors")
            found[key] = torch.empty(size, dtype=dtype)
        return found[key]

    if PlainPickle(storage).read(file) != OLD_MAGIC or PlainPickle(storage).read(file) != 1001:
        raise ValueError("it is none of torch.save")
    _, content, keys = (PlainPickle(storage).read(file) for _ in range(3))
    for key in keys:
        size = int.from_bytes(file.read(8), "little")
        if size != len(found[key]) or not fill(found[key].view(torch.uint8), file):
            raise ValueError("it is shorter than its tensors")
    return content
