"""Which classes a configuration may name."""

import pytest
import torch
from omegaconf import OmegaConf

from diffusion.config import build, load
from diffusion.config.trust import check_targets
from diffusion.data.images import Images
from diffusion.data.torchvision_images import TorchvisionImages

NETWORK = {
    "_target_": "unet.unet.UNet", "image_size": 8, "in_channels": 1, "out_channels": 1, "base_channels": 8,
    "channel_mult": [1], "attention_resolutions": [], "norm_groups": 4,
}  # fmt: skip


@pytest.mark.parametrize("target", ["os.system", "diffusion.config.build.os", "torch.load", "unet"])
def test_only_classes_of_this_program_may_be_named_at_any_depth(target):
    with pytest.raises(ValueError, match=r"_target_=.* (is refused|does not exist)"):
        check_targets({"model": [{"channel_mult": {"_target_": target}}]})
    check_targets({"model": [NETWORK]})


def test_what_a_checkpoint_calls_its_network_may_not_be_something_else(monkeypatch):
    monkeypatch.setattr(TorchvisionImages, "__init__", lambda self, **settings: pytest.fail("it was built"))
    images = {"_target_": "diffusion.data.TorchvisionImages", "dataset": "CIFAR10", "root": "/", "download": True}
    for model in (images, {**NETWORK, "channel_mult": images}):
        with pytest.raises(ValueError, match="TorchvisionImages is refused: it does not belong there"):
            build.instantiate(OmegaConf.create(model), (torch.nn.Module,))
        state = {"step": 1, "config": {"model": model, "diffusion": {"_target_": "unet.unet.UNet"}}}
        with pytest.raises(ValueError, match="does not belong there"):
            load.restored(state, ema=None, device="cpu")
    with pytest.raises(ValueError, match="does not belong there"):
        check_targets({"_target_": "diffusion.data.readers.Readers", "count": 9}, (Images,))
