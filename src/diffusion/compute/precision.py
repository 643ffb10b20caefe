"""The number formats that a network computes in; weights, losses and the rest stay float32."""

from collections.abc import Collection

import torch

DTYPES = {"float32": torch.float32, "tf32": torch.float32, "bf16": torch.bfloat16, "fp16": torch.float16}
AUTO = "auto"
"""Stands for the fastest of float32 and bf16 until `fastest_precision` has chosen."""
TF32_SINCE = (8, 0)  # compute capability


def check_precision(
    kind: str, device: torch.device | None = None, *, setting: str, known: Collection[str] = (*DTYPES, AUTO)
) -> None:
    """Raise ValueError unless `kind` is one of the `known` formats and, where one is given, the device computes in it.

    `setting` is what the user types.
    """
    if kind not in known:
        raise ValueError(f"{setting}={kind} is none of {', '.join(known)}")
    if device is None:
        return
    if kind == "tf32" and (device.type != "cuda" or torch.cuda.get_device_capability(device) < TF32_SINCE):
        raise ValueError(f"{setting}=tf32 needs an NVIDIA GPU of the year 2020 or later; set {setting}=float32")
    if kind == "bf16" and device.type == "cuda" and not torch.cuda.is_bf16_supported(including_emulation=False):
        raise ValueError(f"{setting}=bf16 is more than {torch.cuda.get_device_name(device)} can; set {setting}=float32")


def set_matmul_precision(kind: str, device: torch.device) -> None:
    """Set how a GPU multiplies float32: tf32 rounds the factors to 10 bits of mantissa.

    Any other `kind` is exact float32, where torch would round in convolutions.
    """
    if device.type == "cuda":
        rounding = "tf32" if kind == "tf32" else "ieee"
        torch.backends.cuda.matmul.fp32_precision = rounding
        torch.backends.cudnn.conv.fp32_precision = rounding  # type: ignore[attr-defined]


def autocast(kind: str, device: torch.device) -> torch.autocast:
    """A context in which a network's convolutions and matrix products are in the format `kind`.

    The tf32 setting stays on after the context, until another format is asked for, since backward comes after it.
    """
    set_matmul_precision(kind, device)
    dtype = DTYPES[kind]
    return torch.autocast(device.type, dtype=dtype, enabled=dtype != torch.float32)
