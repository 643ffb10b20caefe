import json
import os
import subprocess

import pytest

from diffusion.runs import provenance
from diffusion.runs.redaction import redact, redact_values
from diffusion.runs.small_files import read_plain

KEY = "0123456789abcdef" * 2 + "01234567"


def git(folder, *words: str) -> str:
    who = ["-c", "user.name=a", "-c", "user.email=a@b"]
    return subprocess.run(["git", "-C", str(folder), *who, *words], capture_output=True, text=True, check=True).stdout


@pytest.fixture
def code(tmp_path, monkeypatch):
    """A repository of one file, which is where this code says it is."""
    (tmp_path / "code").mkdir()
    file = tmp_path / "code" / "method.py"
    file.write_text("steps = 1000\n")
    git(file.parent, "init", "-q")
    git(file.parent, "add", ".")
    git(file.parent, "commit", "-qm", "first")
    monkeypatch.setattr(provenance, "HERE", file)
    return file


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "run").mkdir()
    return tmp_path / "run"


def test_a_start_records_its_command_and_commit(code, folder):
    entry = provenance.record_provenance(
        folder, command=["python", "train.py", "model.heads=2", "data.root=/my images"]
    )
    assert entry["command"] == "python train.py model.heads=2 'data.root=/my images'"
    assert entry["commit"] == git(code.parent, "rev-parse", "HEAD").strip() and entry["diff"] is None
    assert read_plain(folder / "provenance.json", list) == [entry] and not (folder / "code.diff").exists()


def test_what_differs_from_the_commit_is_kept_and_makes_the_code_of_the_run(code, folder):
    code.write_text("steps = 4000\n")
    (code.parent / "new.py").write_text("")
    entry = provenance.record_provenance(folder, command=["python", "train.py"])
    assert entry["diff"] == "code.diff" and entry["untracked"] == ["new.py"]
    git(code.parent, "stash", "-qu")
    git(code.parent, "apply", str(folder / "code.diff"))
    assert code.read_text() == "steps = 4000\n"


def test_sources_that_git_does_not_know_are_kept_and_come_back(code, folder):
    new = {
        "a/new method.py": b"steps = 1\n", "a/no_end.yaml": b"lr: 1\n\nwidth: 2", "empty.py": b"",
        "latin.txt": b"\xe9\n", "windows.md": b"a\r\nb\r\n", "größe.py": b"x = 1",
    }  # fmt: skip
    for name, content in new.items():
        (code.parent / name).parent.mkdir(exist_ok=True)
        (code.parent / name).write_bytes(content)
    entry = provenance.record_provenance(folder, command=["python", "train.py"])
    assert sorted(entry["untracked"]) == sorted(new) and entry["left_out"] == []
    git(code.parent, "clean", "-qdf")
    git(code.parent, "apply", str(folder / "code.diff"))
    assert {name: (code.parent / name).read_bytes() for name in new} == new


def test_what_is_no_source_or_too_long_is_named(code, folder, monkeypatch):
    monkeypatch.setattr(provenance, "MOST_BYTES_OF_A_FILE", 100)
    monkeypatch.setattr(provenance, "MOST_BYTES", 150)
    (code.parent / "copy").mkdir()
    for name, content in {
        "a.py": b"x" * 90, "b.py": b"x" * 101, "copy/c.py": b"x" * 90, "d.png": b"", "e.py": b"\0", "f\".py": b"",
    }.items():  # fmt: skip
        (code.parent / name).write_bytes(content)
    (code.parent / "zeros.py").symlink_to("/dev/zero")
    entry = provenance.record_provenance(folder, command=["python"])
    assert entry["untracked"] == ["a.py"]
    assert entry["left_out"] == ["b.py", "d.png", "e.py", 'f".py', "zeros.py", "copy/c.py"]
    monkeypatch.setattr(provenance, "MOST_NAMES", 2)
    assert provenance.record_provenance(folder, command=["python"])["left_out"] == ["b.py", "d.png", "and 4 more"]


def test_a_pipe_in_the_place_of_a_diff_stops_nobody(code, folder):
    os.mkfifo(folder / "code.diff")
    code.write_text("steps = 4000\n")
    assert provenance.record_provenance(folder, command=["python"])["diff"] == "code_2.diff"


def test_every_start_keeps_its_own_difference(code, folder):
    for text in ("steps = 1\n", "steps = 2\n", "steps = 1\n"):
        code.write_text(text)
        provenance.record_provenance(folder, command=["python", "train.py"])
    starts = read_plain(folder / "provenance.json", list)
    assert [start["diff"] for start in starts] == ["code.diff", "code_2.diff", "code.diff"]


def test_code_outside_of_a_repository_has_no_commit(folder, monkeypatch):
    monkeypatch.setattr(provenance, "HERE", folder / "method.py")
    assert provenance.record_provenance(folder, command=["python"])["commit"] is None


def test_no_key_is_written(code, folder, monkeypatch):
    monkeypatch.setenv("HF_TOKEN", "a-secret-of-the-environment")
    code.write_text(f"key = '{KEY}'\napi_key = 'short'\ntold = 'a-secret-of-the-environment'\n")
    (code.parent / "new.ipynb").write_text(f'{{"api_key": "short", "x": "hf_{"a" * 30}"}}\n')
    (code.parent / "key.txt").write_text(
        f"-----BEGIN PRIVATE KEY-----\n{'MII+' * 16}\nQ{'a=' * 8}\n-----END PRIVATE KEY-----\n"
    )
    provenance.record_provenance(folder, command=["python", "train.py", f"logger.notes={KEY}", "api_key=short"])
    written = "".join(file.read_text() for file in folder.iterdir())
    for secret in (KEY, "short", "a-secret-of-the-environment", "aaaa", "MII", "a=a="):
        assert secret not in written
    git(code.parent, "stash", "-qu")
    git(code.parent, "apply", str(folder / "code.diff"))
    assert (
        "logger.notes=[removed] api_key=[removed]" in json.loads((folder / "provenance.json").read_text())[0]["command"]
    )


def test_no_start_is_lost(code, folder):
    for number in range(3):
        provenance.record_provenance(folder, command=["python", str(number)])
    file = folder / "provenance.json"
    assert [entry["command"] for entry in json.loads(file.read_text())] == ["python 0", "python 1", "python 2"]
    torn = file.read_text()[:-10]
    file.write_text(torn)
    provenance.record_provenance(folder, command=["python", "again"])
    assert len(json.loads(file.read_text())) == 1 and (folder / "provenance.damaged").read_text() == torn


def test_a_full_disk_costs_one_warning(code, tmp_path, caplog):
    provenance.record_provenance(tmp_path / "gone", command=["python"])
    assert [record.levelname for record in caplog.records] == ["WARNING"]


def test_redaction_leaves_the_rest_alone():
    assert redact("train.lr=1e-4 commit 0123abc") == "train.lr=1e-4 commit 0123abc"
    assert redact(f"data.root=/hub/snapshots/{KEY}/images") == f"data.root=/hub/snapshots/{KEY}/images"
    assert redact(f"wandb_v1_{'a' * 30} x") == "[removed] x"
    assert redact_values({"a": [1, f"{KEY}!"], "b": None}) == {"a": [1, "[removed]!"], "b": None}
