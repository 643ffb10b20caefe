"""Where a run is written down for others: Weights & Biases, and what its code was. No secret leaves with it."""

from diffusion.tracking.logger import WandbLogger
from diffusion.tracking.redaction import redacted_values

__all__ = ["WandbLogger", "redacted_values"]
