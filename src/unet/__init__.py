"""The network; knows nothing of diffusion."""

from .classifier import Classifier
from .embedding import timestep_embedding
from .released_weights import RELEASED, as_state_dict, export_released, load_released, save_released
from .super_resolution import SuperResolutionUNet
from .unet import UNet

__all__ = [
    "RELEASED",
    "Classifier",
    "SuperResolutionUNet",
    "UNet",
    "as_state_dict",
    "export_released",
    "load_released",
    "save_released",
    "timestep_embedding",
]
