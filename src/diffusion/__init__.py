"""Denoising diffusion (Nichol & Dhariwal 2021): the method, its training and its samplers."""

import os

# Set before torch starts its threads: they sleep while they wait for each other. Spinning, the default, makes training
# ten times slower as soon as any other process uses a core.
os.environ.setdefault("OMP_WAIT_POLICY", "passive")

from diffusion.data.conditions import Condition, Label, SmallImage
from diffusion.denoiser.diffusion import GaussianDiffusion
from diffusion.denoiser.predictions import Epsilon, Previous, Start, Velocity
from diffusion.denoiser.variances import FixedLarge, FixedSmall, Learned, LearnedRange
from diffusion.losses.losses import VLB, Classification, Hybrid, Simple
from diffusion.losses.schedule_samplers import LossSecondMoment, Uniform
from diffusion.process.chain import Chain
from diffusion.process.respacing import kept_steps
from diffusion.process.schedules import Cosine, Linear
from diffusion.samplers.ancestral import Ancestral
from diffusion.samplers.ddim import DDIM

__all__ = [
    "DDIM",
    "VLB",
    "Ancestral",
    "Chain",
    "Classification",
    "Condition",
    "Cosine",
    "Epsilon",
    "FixedLarge",
    "FixedSmall",
    "GaussianDiffusion",
    "Hybrid",
    "Label",
    "Learned",
    "LearnedRange",
    "Linear",
    "LossSecondMoment",
    "Previous",
    "Simple",
    "SmallImage",
    "Start",
    "Uniform",
    "Velocity",
    "kept_steps",
]  # fmt: skip
