"""Number formats, and which device computes in them."""

import pytest
import torch

from diffusion.compute.precision import autocast, check_precision

CPU, GPU = torch.device("cpu"), torch.device("cuda")


def test_an_unknown_format_is_named_with_the_known_ones():
    with pytest.raises(ValueError, match=r"train\.precision=fp8 is none of float32, tf32, bf16, fp16"):
        check_precision("fp8", setting="train.precision")
    with pytest.raises(ValueError, match=r"^precision=fp16 is none of float32, bf16$"):
        check_precision("fp16", CPU, setting="precision", known=("float32", "bf16"))


def test_a_format_that_the_device_does_not_have_is_refused(monkeypatch):
    with pytest.raises(ValueError, match=r"precision=tf32 needs an NVIDIA GPU .*set precision=float32"):
        check_precision("tf32", CPU, setting="precision")
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda device: (7, 5))
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda device: "Tesla T4")
    monkeypatch.setattr(torch.cuda, "is_bf16_supported", lambda including_emulation: False)
    with pytest.raises(ValueError, match="needs an NVIDIA GPU"):
        check_precision("tf32", GPU, setting="precision")
    with pytest.raises(ValueError, match="precision=bf16 is more than Tesla T4 can; set precision=float32"):
        check_precision("bf16", GPU, setting="precision")
    check_precision("fp16", GPU, setting="precision")
    check_precision("bf16", CPU, setting="precision")


@pytest.fixture
def as_before():
    backends = torch.backends.cuda.matmul, torch.backends.cudnn.conv
    found = [backend.fp32_precision for backend in backends]
    yield
    for backend, rounding in zip(backends, found, strict=True):
        backend.fp32_precision = rounding


def test_float32_is_float32_on_gpus_too_unless_tf32_is_asked_for(monkeypatch, as_before):
    monkeypatch.setattr(torch, "autocast", lambda kind, dtype, enabled: (dtype, enabled))
    for kind, rounding in [("tf32", "tf32"), ("float32", "ieee"), ("tf32", "tf32"), ("bf16", "ieee")]:
        assert autocast(kind, GPU)[1] == (kind == "bf16")
        assert torch.backends.cuda.matmul.fp32_precision == torch.backends.cudnn.conv.fp32_precision == rounding
