"""Sets of images, and the endless stream of batches made from them."""

from diffusion.data.digits import Digits
from diffusion.data.folder import ImageFolder
from diffusion.data.images import Images, Labelled
from diffusion.data.loader import Batch, batches
from diffusion.data.pictures import grid, save_grid, save_picture
from diffusion.data.pixels import from_uint8, to_uint8
from diffusion.data.prompts import Prompts
from diffusion.data.synthetic import Synthetic
from diffusion.data.torchvision_images import TorchvisionImages
from diffusion.data.upsampling import Upsampling, downsampled, low_res_shape

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
    "from_uint8",
    "grid",
    "low_res_shape",
    "save_grid",
    "save_picture",
    "to_uint8",
]
