"""Where a run is written down for others: Weights & Biases, and what its code was. No secret leaves with it."""

from diffusion.runs.redaction import redacted_values
from diffusion.tracking.logger import WandbLogger

__all__ = ["WandbLogger", "redacted_values"]
