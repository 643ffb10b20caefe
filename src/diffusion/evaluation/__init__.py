"""Measures of a trained model."""

from diffusion.evaluation.features import Features, Pixels, Recogniser
from diffusion.evaluation.inception import Inception
from diffusion.evaluation.likelihood import Likelihood
from diffusion.evaluation.memorisation import Memorisation
from diffusion.evaluation.quality import Quality
from diffusion.evaluation.recognition import Recognition
from diffusion.evaluation.subject import Evaluation, Findings, Subject

__all__ = [
    "Evaluation",
    "Features",
    "Findings",
    "Inception",
    "Likelihood",
    "Memorisation",
    "Pixels",
    "Quality",
    "Recogniser",
    "Recognition",
    "Subject",
]
