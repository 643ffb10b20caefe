"""export.py: where it may write, and what it writes for whom."""

import errno
import importlib.util
import sys
from pathlib import Path

import hydra
import pytest
import torch
from tiny_training import tiny_diffusion, tiny_network

from diffusion import Trained
from diffusion.config import load
from diffusion.config.resolvers import register_resolvers

ROOT = Path(__file__).parents[1]


@pytest.fixture
def export():
    spec = importlib.util.spec_from_file_location("export", ROOT / "export.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture
def model():
    config = {"train": {"label_dropout": 0.0}}
    return Trained(
        tiny_network().eval(), tiny_diffusion(), (1, 8, 8), ["cat", "dog"], config, 3, "ema_0.9", torch.device("cpu")
    )


def test_places_that_cannot_be_written_are_refused(export, tmp_path):
    (tmp_path / "old.pt").touch()
    with pytest.raises(ValueError, match=r"must end in \.pt or \.safetensors; a folder is written with format="):
        export.check_file(tmp_path / "model.bin", overwrite=True)
    with pytest.raises(ValueError, match="or overwrite=true"):
        export.check_file(tmp_path / "old.pt", overwrite=False)
    export.check_file(tmp_path / "old.pt", overwrite=True)


def test_a_folder_is_written_into_a_new_or_empty_one_unless_asked(export, tmp_path):
    export.check_folder(tmp_path / "new", overwrite=False)
    export.check_folder(tmp_path, overwrite=False)
    (tmp_path / "file").touch()
    with pytest.raises(ValueError, match=r"exists; give another out=\.\.\., or overwrite=true"):
        export.check_folder(tmp_path, overwrite=False)
    export.check_folder(tmp_path, overwrite=True)
    with pytest.raises(ValueError, match=r"exists; give another out=\.\.\.$"):
        export.check_folder(tmp_path / "file", overwrite=True)


def test_an_export_that_fails_leaves_the_old_file(export, model, tmp_path, monkeypatch):
    def fails(network, path):
        path.write_text("half")
        raise OSError("the disk is full")

    old = tmp_path / "old.pt"
    old.write_text("old")
    monkeypatch.setattr(export.unet, "save_released", fails)
    with pytest.raises(OSError):
        export.write_file(model, old)
    assert old.read_text() == "old" and list(tmp_path.iterdir()) == [old]


@pytest.mark.skipif(sys.platform != "linux", reason="/dev/full")
def test_a_full_disk_is_said_of_the_file_and_leaves_nothing(export, model, tmp_path, monkeypatch):
    save, out = export.unet.save_released, tmp_path / "new" / "model.pt"
    monkeypatch.setattr(export.unet, "save_released", lambda *of: (of[1].symlink_to("/dev/full"), save(*of)))
    with pytest.raises(OSError) as caught:
        export.write_file(model, out)
    assert (caught.value.filename, caught.value.errno) == (str(out), errno.ENOSPC) and not out.parent.exists()


def test_an_export_that_cannot_be_leaves_nothing(export, model, tmp_path):
    refused = model._replace(network=torch.nn.Identity())
    with pytest.raises(ValueError, match=r"Identity is no unet\.UNet"):
        export.write_folder(refused, tmp_path / "deep" / "model")
    assert list(tmp_path.iterdir()) == []


def test_a_card_names_the_folder_and_not_where_it_lies(export, model, tmp_path):
    export.write_folder(model, tmp_path / "digits")
    card = (tmp_path / "digits" / "README.md").read_text()
    assert "# digits\n" in card and "from_pretrained('digits'" in card and str(tmp_path) not in card


def test_an_export_over_an_old_one_leaves_what_is_not_its_own(export, model, tmp_path):
    out = tmp_path / "model"
    export.write_folder(model, out)
    (out / "samples").mkdir()
    (out / "samples" / "grid.png").touch()
    (out / "unet" / "config.json").write_text("old")
    export.write_folder(model, out)
    assert "UNet2DModel" in (out / "unet" / "config.json").read_text()
    assert (out / "samples" / "grid.png").exists() and list(tmp_path.iterdir()) == [out]


@pytest.fixture
def composed(export, model, tmp_path):
    """composed(script, override, ...) -> its configuration, where checkpoint is a folder of diffusers."""
    register_resolvers()
    export.write_folder(model, tmp_path / "model")
    words = [f"checkpoint={tmp_path / 'model'}", "device=cpu"]
    with hydra.initialize_config_dir(str(ROOT / "conf"), version_base="1.3"):
        yield lambda script, *more: hydra.compose(script, [*words, *more])


def test_a_folder_is_a_checkpoint(composed, model):
    again = load.load_choice(composed("sample"))
    assert (again.classes, again.shape, again.origin) == (model.classes, model.shape, "model")
    assert all(torch.equal(a, b) for a, b in zip(again.network.parameters(), model.network.parameters(), strict=True))
    with pytest.raises(ValueError, match="describes its own network; leave out model, data or experiment"):
        load.load_choice(composed("sample", "model=unet_tiny", "data=digits"))
    with pytest.raises(ValueError, match=r"one set of weights; leave ema=0\.9 out"):
        load.load_choice(composed("export", "ema=0.9", "out=x.pt"))


def test_a_folder_is_measured_on_the_images_that_are_named(composed):
    named = load.load_choice(composed("evaluate", "data=synthetic", "data.num_images=8"), reads_data=True)
    assert named.config["data"]["_target_"] == "diffusion.Synthetic"
    assert load.load_choice(composed("evaluate"), reads_data=True).config["data"] is None


def test_a_folder_guides(composed, model, tmp_path):
    guide = load.load_guide(str(tmp_path / "model"), "cpu", ())
    assert guide.name == "model" and guide.classes == model.classes
