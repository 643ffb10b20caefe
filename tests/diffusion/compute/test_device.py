"""Which device a name stands for."""

import pytest
import torch

from diffusion.compute.device import resolve_device


def test_each_process_has_a_gpu_of_its_own_or_says_that_there_is_none(monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    monkeypatch.setenv("WORLD_SIZE", "3")
    for rank in range(2):
        monkeypatch.setenv("LOCAL_RANK", str(rank))
        assert resolve_device("auto") == resolve_device("cuda") == torch.device("cuda", rank)
    with pytest.raises(ValueError, match="device=cuda:0 would be the GPU of all 3 processes; leave it out"):
        resolve_device("cuda:0")
    monkeypatch.setenv("LOCAL_RANK", "2")
    with pytest.raises(ValueError, match="process 2 finds 2 GPUs here; start torchrun with --nproc_per_node=2"):
        resolve_device("auto")
