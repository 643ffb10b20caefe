"""export.py up to where it needs a model."""

import errno
import importlib.util
import sys
from pathlib import Path

import pytest
import torch
from tiny_training import tiny_network

SCRIPT = Path(__file__).parents[1] / "export.py"


@pytest.fixture
def export():
    spec = importlib.util.spec_from_file_location("export", SCRIPT)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_places_that_cannot_be_written_are_refused(export, tmp_path):
    (tmp_path / "old.pt").touch()
    with pytest.raises(ValueError, match=r"must end in \.pt or \.safetensors"):
        export.check(tmp_path / "model.bin", overwrite=True)
    with pytest.raises(ValueError, match="or overwrite=true"):
        export.check(tmp_path / "old.pt", overwrite=False)
    export.check(tmp_path / "old.pt", overwrite=True)


def test_an_export_that_fails_leaves_the_old_file(export, tmp_path, monkeypatch):
    def fails(network, path):
        path.write_text("half")
        raise OSError("the disk is full")

    old = tmp_path / "old.pt"
    old.write_text("old")
    monkeypatch.setattr(export.unet, "save_released", fails)
    with pytest.raises(OSError):
        export.write(torch.nn.Identity(), old)
    assert old.read_text() == "old" and list(tmp_path.iterdir()) == [old]


@pytest.mark.skipif(sys.platform != "linux", reason="/dev/full")
def test_a_full_disk_is_said_of_the_file_and_leaves_nothing(export, tmp_path, monkeypatch):
    save, out = export.unet.save_released, tmp_path / "new" / "model.pt"
    monkeypatch.setattr(export.unet, "save_released", lambda *of: (of[1].symlink_to("/dev/full"), save(*of)))
    with pytest.raises(OSError) as caught:
        export.write(tiny_network(), out)
    assert (caught.value.filename, caught.value.errno) == (str(out), errno.ENOSPC) and not out.parent.exists()
