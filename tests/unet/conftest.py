"""A network small enough to run in milliseconds, with random weights: a fresh one would output zeros."""

import pytest
import torch

from unet import UNet


@pytest.fixture(autouse=True)
def one_thread():
    """These networks are too small to share: on a busy machine, threads spend the time waiting for each other."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@pytest.fixture
def tiny():
    """tiny(kind=UNet, seed=0, **options) -> the network."""

    def build(kind=UNet, seed=0, **options):
        defaults = {
            "image_size": 8,
            "in_channels": 3,
            "base_channels": 16,
            "channel_mult": (1, 2),
            "blocks_per_level": 1,
            "attention_resolutions": (4,),
            "norm_groups": 8,
        }
        if issubclass(kind, UNet):
            defaults |= {"out_channels": 3} | ({} if "channels_per_head" in options else {"heads": 2})
        network = kind(**defaults | options)
        generator = torch.Generator().manual_seed(seed)
        with torch.no_grad():
            for parameter in network.parameters():
                parameter.normal_(std=0.1, generator=generator)
        return network

    return build
