"""Solvers that turn noise into images."""

from diffusion.denoiser.classifier_guidance import ClassifierGuidance
from diffusion.samplers.ancestral import Ancestral
from diffusion.samplers.ddim import DDIM
from diffusion.samplers.draw import draw
from diffusion.samplers.sampler import Sampler, Step
from diffusion.samplers.spacing import kept_steps

__all__ = ["DDIM", "Ancestral", "ClassifierGuidance", "Sampler", "Step", "draw", "kept_steps"]
