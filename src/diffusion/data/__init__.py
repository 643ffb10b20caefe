"""Sets of images, and the endless stream of batches made from them."""

from diffusion.data.conditions import Upsampling, downsampled, low_res_shape
from diffusion.data.digits import Digits
from diffusion.data.folder import ImageFolder
from diffusion.data.images import Images, Labelled
from diffusion.data.loader import Batch, batches
from diffusion.data.prompts import Prompts
from diffusion.data.synthetic import Synthetic
from diffusion.data.torchvision_images import TorchvisionImages

__all__ = [
    "Batch",
    "Digits",
    "ImageFolder",
    "Images",
    "Labelled",
    "Prompts",
    "Synthetic",
    "TorchvisionImages",
    "Upsampling",
    "batches",
    "downsampled",
    "low_res_shape",
]
