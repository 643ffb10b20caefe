"""Files of tensors are read as torch reads them; what could run code, or take more than the file holds, is refused."""

import io
import os
import pickle
import struct
import zipfile

import pytest
import torch
from safetensors.torch import save_file

from diffusion.runs import plain_pickle
from diffusion.runs.plain_pickle import NotPlain, PlainPickle
from diffusion.runs.tensor_files import read_tensor_file

HUGE = 3 * 2**30


def same(ours, theirs):
    if isinstance(theirs, torch.Tensor):
        return torch.equal(ours, theirs) and (ours.dtype, ours.stride()) == (theirs.dtype, theirs.stride())
    if isinstance(theirs, dict):
        return ours.keys() == theirs.keys() and all(same(ours[key], theirs[key]) for key in theirs)
    if isinstance(theirs, list | tuple):
        return type(ours) is type(theirs) and len(ours) == len(theirs) and all(map(same, ours, theirs))
    return type(ours) is type(theirs) and ours == theirs


def contents(archive):
    model = torch.nn.Sequential(torch.nn.Linear(3, 4), torch.nn.BatchNorm1d(4))
    dtypes = {
        str(dtype): torch.arange(5).to(dtype)
        for dtype in (plain_pickle.DTYPES if archive else plain_pickle.TYPED.values())
    }
    shared = [torch.randn(2, 3, 4, 4).to(memory_format=torch.channels_last)]
    plain = (1, -5, 300, 2**40, 0.5, float("inf"), None, True, False, "ü", torch.Size([1, 2]))
    views = {
        "part": torch.arange(9)[2:5],
        "turned": torch.randn(2, 3).T,
        "empty": torch.zeros(0),
        "one": torch.ones(()),
    }
    return {
        **dtypes,
        **views,
        "model": model.state_dict(),
        "weight": model[0].weight,
        "twice": [shared, shared],
        3: plain,
    }


@pytest.mark.parametrize("archive", [True, False], ids=["archive", "before torch 1.6"])
def test_a_file_is_read_as_torch_reads_it(tmp_path, archive):
    torch.save(contents(archive), tmp_path / "file.pt", _use_new_zipfile_serialization=archive)
    ours = read_tensor_file(tmp_path / "file.pt")
    assert same(ours, torch.load(tmp_path / "file.pt", weights_only=True))
    assert not ours["weight"].requires_grad


@pytest.mark.parametrize("protocol", [3, 4, 5])
def test_any_protocol_of_pickles_is_read(tmp_path, protocol):
    torch.save(contents(True), tmp_path / "file.pt", pickle_protocol=protocol)
    assert same(read_tensor_file(tmp_path / "file.pt"), torch.load(tmp_path / "file.pt", weights_only=False))
    torch.save({"weight": Call(os.mkdir, "exploded")}, tmp_path / "call.pt", pickle_protocol=protocol)
    with pytest.raises(ValueError, match=r"it names posix\.mkdir"):
        read_tensor_file(tmp_path / "call.pt")


@pytest.mark.parametrize("protocol", [2, 4])
def test_a_dtype_that_is_not_read_is_named(tmp_path, protocol):
    torch.save({"weight": torch.zeros(2, dtype=torch.bits8)}, tmp_path / "file.pt", pickle_protocol=protocol)
    with pytest.raises(ValueError, match=r"holds tensors of bits8, which are not read; save them as"):
        read_tensor_file(tmp_path / "file.pt")


def test_safetensors_are_read(tmp_path):
    save_file({"a": torch.arange(3)}, tmp_path / "file.safetensors")
    assert torch.equal(read_tensor_file(tmp_path / "file.safetensors")["a"], torch.arange(3))


class Call:
    """Pickled, it is the wish to call a function when it is opened."""

    def __init__(self, function, *arguments):
        self.called = function, arguments

    def __reduce__(self):
        return self.called


CALLS = [
    Call(os.mkdir, "exploded"),
    Call(bytearray, HUGE),
    Call(set, [1]),
    Call(complex, 1, 2),
    Call(torch.device, "cpu"),
]


@pytest.mark.parametrize("archive", [True, False], ids=["archive", "before torch 1.6"])
@pytest.mark.parametrize("call", CALLS, ids=lambda call: call.called[0].__name__)
def test_nothing_that_a_file_names_is_called(tmp_path, monkeypatch, call, archive):
    monkeypatch.chdir(tmp_path)
    torch.save({"weight": call}, "file.pt", _use_new_zipfile_serialization=archive)
    with pytest.raises(ValueError, match=r"^\S*file.pt holds more than tensors .*could run code[^\n]*$"):
        read_tensor_file(tmp_path / "file.pt")
    assert not (tmp_path / "exploded").exists()


GREEDY = {
    "a shape beyond its content": torch.zeros(1).expand(2**20, 2**20),
    "a tensor without content": torch.empty(HUGE, device="meta"),
    "a sparse tensor": torch.sparse_coo_tensor(torch.zeros(1, 1).long(), torch.ones(1), (HUGE,), check_invariants=True),
    "a key that is a tuple": {(1, 2): 3},
}


@pytest.mark.parametrize("content", GREEDY.values(), ids=GREEDY)
def test_no_tensor_is_larger_than_its_file(tmp_path, content):
    torch.save({"weight": content}, tmp_path / "file.pt")
    with pytest.raises(ValueError, match="holds more than tensors"):
        read_tensor_file(tmp_path / "file.pt")


def test_a_size_is_not_believed(tmp_path):
    """A file that says its tensor is longer, in the pickle, the archive's directory, or before torch 1.6."""
    told, other = struct.pack("<i", 123456), struct.pack("<i", 2**31 - 1)
    for archive in (True, False):
        path = tmp_path / "file.pt"
        torch.save(torch.zeros(123456, dtype=torch.uint8), path, _use_new_zipfile_serialization=archive)
        sound = path.read_bytes()
        places = [at for at in range(len(sound)) if sound.startswith(told, at)]
        refused = []
        for at in places:
            path.write_bytes(sound[:at] + other + sound[at + 4 :])
            try:  # Where it stands twice, only one is read.
                assert read_tensor_file(path).shape == (123456,)
            except ValueError as error:
                refused.append(str(error))
        assert len(refused) > 2


def rezipped(path, change, **options):
    with zipfile.ZipFile(path) as old:
        records = {info.filename: old.read(info) for info in old.infolist()}
    with zipfile.ZipFile(path, "w", **options) as new:
        for name, content in records.items():
            for each in change(name, content):
                new.writestr(name, each)


@pytest.mark.filterwarnings("ignore:Duplicate name")
@pytest.mark.parametrize(
    "change, options, said",
    [
        (
            lambda name, content: [content],
            {"compression": zipfile.ZIP_DEFLATED},
            "compressed, and could be of any size",
        ),
        (lambda name, content: [content, content], {}, "two of its records have one name"),
        (lambda name, content: [content[: len(content) // 2] if "/data/" in name else content], {}, "damaged"),
        (lambda name, content: [b"big" if "byteorder" in name else content], {}, "another order of bytes"),
        (lambda name, content: [] if "/data/" in name else [content], {}, "no item named"),
    ],
)
def test_an_archive_of_other_records_is_refused(tmp_path, change, options, said):
    torch.save({"weight": torch.zeros(9)}, tmp_path / "file.pt")
    rezipped(tmp_path / "file.pt", change, **options)
    with pytest.raises(ValueError, match=said):
        read_tensor_file(tmp_path / "file.pt")


OPCODES = {
    "too many parts": b"\x80\x02(" + b"K\x01" * 200 + b"t.",
    "a shape of many axes": b"\x80\x02ctorch\nSize\n(" + b"K\x01" * 90 + b"t\x85R.",
    "text for a size": b"\x80\x02ctorch\nSize\nX\x01\x00\x00\x00a\x85\x85R.",
    "a call of a tensor type": b"\x80\x02ctorch\nFloatStorage\n)R.",
    "a new kind of opcode": pickle.dumps(bytearray(3), protocol=5),
    "a name that is no text": b"\x80\x04K\x01K\x01\x93.",
    "nothing": b"",
    "a stack that is empty": b"\x80\x02a.",
    "a value that was never remembered": b"\x80\x02h\x05.",
}


@pytest.mark.parametrize("pickled", OPCODES.values(), ids=OPCODES)
def test_a_pickle_of_other_things_ends_in_an_error(monkeypatch, pickled):
    monkeypatch.setattr(plain_pickle, "MOST_OPCODES", 100)
    with pytest.raises((ValueError, LookupError)):
        PlainPickle(lambda *_: pytest.fail("it has no tensor")).read(io.BytesIO(pickled))
    assert issubclass(NotPlain, ValueError)


@pytest.mark.parametrize("suffix", ["pt", "safetensors"])
@pytest.mark.parametrize(
    "content",
    [b"", b"<html>not found</html>", b"hello\n", pickle.dumps("text", protocol=2), b"PK\x03\x04 broken"],
    ids=["empty", "html", "text", "pickle", "zip"],
)
def test_a_damaged_file_is_one_clear_line(tmp_path, suffix, content):
    path = tmp_path / f"file.{suffix}"
    path.write_bytes(content)
    with pytest.raises(ValueError, match=rf"^{path} is truncated, damaged or of another format[^\n]*$"):
        read_tensor_file(path)


def test_what_is_no_file_is_named(tmp_path):
    os.mkfifo(tmp_path / "fifo.pt")
    for name in ("model.pt", "fifo.pt", "."):
        with pytest.raises(ValueError, match="does not exist, or is no file"):
            read_tensor_file(tmp_path / name)
