"""Small files of anyone's are read whole, in no time, or not at all."""

import errno
import json
import os

import pytest
import yaml

from diffusion.runs.files import atomic_write_text
from diffusion.runs.small_files import MOST_BYTES, load_plain, read_bytes, read_plain, regular

LAUGHS = "a0: &a0 [1]\n" + "".join(f"a{i}: &a{i} [{', '.join([f'*a{i - 1}'] * 9)}]\n" for i in range(1, 40))


@pytest.mark.parametrize("dump", [json.dumps, yaml.safe_dump], ids=["json", "yaml"])
def test_what_is_written_is_read(tmp_path, dump):
    content = {"seed": 3, "train": {"lr": 1e-4, "rates": [0.9, None]}, "name": "größer", "flip": True}
    path = tmp_path / f"config.{'json' if dump is json.dumps else 'yaml'}"
    path.write_text(dump(content))
    assert load_plain(path, dict) == content and read_plain(path, list) == []


def no_file(path, kind):
    if kind == "pipe":
        os.mkfifo(path)
    elif kind == "folder":
        path.mkdir()
    else:
        path.symlink_to(kind)


@pytest.mark.parametrize("kind", ["pipe", "folder", "/dev/zero", "/dev/full"])
def test_only_regular_files_are_opened(tmp_path, kind):
    path = tmp_path / "config.yaml"
    no_file(path, kind)
    for mode in ("rb", "ab"):
        with pytest.raises(OSError, match="not a regular file"), open(path, mode, opener=regular):
            pass
    assert read_plain(path, dict) == {}


def test_a_file_beyond_the_limit_is_not_read(tmp_path):
    path = tmp_path / "outcome.json"
    path.touch()
    os.truncate(path, MOST_BYTES + 1)
    with pytest.raises(OSError, match=os.strerror(errno.EFBIG)):
        read_bytes(path)


@pytest.mark.parametrize(
    "content",
    [
        "[" * 200_000,
        '{"a":' * 900 + "1" + "}" * 900,
        "a: &a\n  b: *a\n",
        LAUGHS,
        LAUGHS.replace("[1]", "{b: 1}").replace("[*", "{<<: [*").replace("]\n", "]}\n"),
        "a: 1" + ":1" * 100_000,
        "a: 0x" + "f" * 5000,
        '!!python/object/apply:os.system ["exit 1"]',
        "a: !!timestamp x",
        'a: !!int ""',
        "1: a",
        b"\xff\xfe\x00[",
        "",
    ],
)
@pytest.mark.parametrize("name", ["config.yaml", "outcome.json"])
def test_what_has_no_end_is_damaged(tmp_path, name, content):
    path = tmp_path / name
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    with pytest.raises(ValueError, match=r"^/.*(yaml|json) is damaged, or none of this program's$"):
        load_plain(path, dict)


def test_nothing_is_written_through_a_link_that_lies_in_the_way(tmp_path):
    (tmp_path / "precious").write_text("mine")
    (tmp_path / "config.partial.yaml").symlink_to("precious")
    os.mkfifo(tmp_path / "outcome.partial.json")
    for name in ("config.yaml", "outcome.json"):
        atomic_write_text(tmp_path / name, "{}")
    assert (tmp_path / "precious").read_text() == "mine"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["config.yaml", "outcome.json", "precious"]
