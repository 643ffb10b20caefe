"""Copying tensors to a device, and their order in memory."""

import torch
from torch import Tensor, nn


def to_device(values: Tensor, device: torch.device) -> Tensor:
    """`values` on `device`, without waiting for what a GPU still has to do."""
    return values.pin_memory().to(device, non_blocking=True) if device.type == "cuda" else values.to(device)


def channels_last(network: nn.Module) -> nn.Module:
    """The network with each image's channels beside each other in memory, which convolutions read fastest."""
    for weight in network.parameters():
        if weight.ndim == 4:  # others know no such order, or another
            weight.data = weight.data.to(memory_format=torch.channels_last)
    return network
