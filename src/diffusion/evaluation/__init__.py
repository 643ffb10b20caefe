"""Measures of a trained model."""

from diffusion.evaluation.likelihood import Likelihood
from diffusion.evaluation.recognition import Recognition
from diffusion.evaluation.subject import Evaluation, Subject

__all__ = ["Evaluation", "Likelihood", "Recognition", "Subject"]
