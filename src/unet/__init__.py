"""The network; knows nothing of diffusion."""

from .classifier import Classifier
from .ddpm_unet import DDPMUNet
from .embedding import timestep_embedding
from .released_weights import RELEASED, as_state_dict, export_released, load_released, save_released
from .super_resolution import SuperResolutionUNet
from .unet import UNet
from .unet2d_config import image_sides, unet2d_config
from .unet2d_weights import read_unet2d, unet2d_tensors

__all__ = [
    "RELEASED",
    "Classifier",
    "DDPMUNet",
    "SuperResolutionUNet",
    "UNet",
    "as_state_dict",
    "export_released",
    "image_sides",
    "load_released",
    "read_unet2d",
    "save_released",
    "timestep_embedding",
    "unet2d_config",
    "unet2d_tensors",
]
