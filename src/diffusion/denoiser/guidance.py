"""Guidance: denoisers made of denoisers, which move what is expected towards what is asked for."""

import inspect
from collections.abc import Mapping, Sequence
from typing import Protocol

import torch
from torch import Tensor

from diffusion.denoiser.denoiser import Denoise, Denoiser, Transform, transformed
from diffusion.denoiser.diffusion import Diffusion
from diffusion.denoiser.guided_denoisers import (
    away,
    beside,
    beside_blank,
    bind,
    by_classifier,
    in_interval,
    log_probability,
)


class Guide(Protocol):
    """Another trained model, on the device of the one that it guides."""

    name: str
    classes: Sequence[str] | None
    shape: tuple[int, int, int]
    diffusion: Diffusion
    denoiser: Denoiser


class Guidance:
    """Moves what a model expects, in one of three ways, by `scale`; at scale 1 without a classifier it does nothing.

    - By a `classifier` of noisy images: along the gradient of log p(y | x_t) (Dhariwal & Nichol 2021, section 4). At
      scale 1 samples follow p(x | y), if both are exact. `clip_guided` clips the expected x_0 again after the gradient
      moved it. The original does not; but where x_t is all noise, as at the end of the cosine schedule, any error of
      the gradient moves x_0 by 1 / alpha as much.
    - Away from a weaker `model` of the same images: x_0 = weak + scale (own - weak) (Karras et al. 2024).
    - With neither, away from the model itself told nothing, which it must have heard in training
      (`train.label_dropout`): classifier-free (Ho & Salimans 2022; their w is scale - 1).

    `interval` (low, high) guides at levels of log-SNR between these alone (Kynkaanniemi et al. 2024). `rescale` (0 to
    1) brings the spread of the guided output back to that of the unguided one, so far (Lin et al. 2024, section 3.4).

    A guidance of one's own is a subclass with its own arguments, kept as attributes, and its own `__call__`; an
    argument hinted `Guide` names a run.
    """

    def __init__(
        self, *, classifier: Guide | None = None, model: Guide | None = None, scale: float = 1.0,
        interval: tuple[float, float] | None = None, rescale: float = 0.0, clip_guided: bool = True,
    ) -> None:  # fmt: skip
        if classifier is not None and model is not None:
            raise ValueError("either a classifier or a weaker model guides; leave guidance.classifier or .model out")
        if interval is not None and not (len(interval) == 2 and interval[0] < interval[1]):
            raise ValueError(
                f"interval={list(interval)} must be two log-SNR, the lower one first; set 'guidance.interval=[-3,3]'"
            )
        if not 0 <= rescale <= 1:
            raise ValueError(f"rescale={rescale} must lie between 0 and 1; set guidance.rescale=0.7")
        if classifier is None and scale == 1 and (model, interval, rescale) != (None, None, 0):
            raise ValueError("at guidance.scale=1 nothing is guided; set guidance.scale=2")
        if classifier is None and not clip_guided:
            raise ValueError(
                "clip_guided is of a classifier's gradient; set guidance.classifier=runs/NAME, or leave it out"
            )
        if classifier is not None and rescale:
            raise ValueError("a classifier's guidance is not rescaled; leave guidance.rescale out")
        self.classifier, self.model, self.scale = classifier, model, scale
        self.interval, self.rescale, self.clip_guided = interval, rescale, clip_guided

    @property
    def guides(self) -> list[Guide]:
        """The models that guide."""
        return [part for part in vars(self).values() if hasattr(part, "denoiser")]

    @property
    def name(self) -> str:
        """A part of a folder's name: what guides, and its numbers; "" where nothing is guided."""
        usual = inspect.signature(type(self)).parameters
        numbers = []
        for setting, value in vars(self).items():
            if any(value is guide for guide in self.guides):
                continue
            if setting == "scale" or (type(self) is not Guidance and type(value) in (int, float)):
                numbers.append(f"{value:g}")
            elif isinstance(value, int | float | list | tuple) and value != usual[setting].default:
                several = value if isinstance(value, list | tuple) else [value]
                numbers.append("_".join([setting, *(f"{each:g}" for each in several)]))
        if type(self) is Guidance and not self.guides and numbers == ["1"]:
            return ""
        kind = "guided" if type(self) is Guidance else type(self).__name__.lower()
        return "_".join([kind, *(guide.name for guide in self.guides), *numbers])

    def check(self, model: Guide) -> None:
        """Raise ValueError unless this can steer the model: a guide must know its images at every time."""
        if (classifier := vars(self).get("classifier")) is not None:
            check_classifier(classifier, model)
        elif (weaker := vars(self).get("model")) is not None:
            check_weaker(weaker, model)
        elif type(self) is Guidance and self.scale != 1 and not model.denoiser.blank:
            why = "knows no classes" if model.classes is None else "learned from images that all had their label"
            raise ValueError(
                f"the model {why}, so guidance.scale={self.scale:g} has nothing to move away from; train one on "
                "labelled data with train.label_dropout=0.1, or add guidance.classifier=... or guidance.model=runs/NAME"
            )

    def __call__(self, denoiser: Denoiser, condition: Mapping[str, Tensor], clip: Transform | None) -> Denoise:
        """The denoiser of a model whose network is told its part of `condition`, guided, its x_0 kept by `clip`."""
        denoise = bind(denoiser, condition, clip)
        again = clip
        if self.classifier is not None:
            guided = by_classifier(denoise, log_probability(self.classifier.denoiser, condition["y"]), self.scale)
            again = clip if self.clip_guided else None
        elif self.scale == 1:
            return denoise
        elif self.model is not None:
            pair = beside(denoiser.given(condition), self.model.denoiser.given(condition))
            guided = away(pair, self.scale, denoiser.prediction, self.rescale)
        else:
            guided = away(beside_blank(denoiser, condition), self.scale, denoiser.prediction, self.rescale)
        guided = guided if again is None else transformed(guided, again)
        return guided if self.interval is None else in_interval(self.interval, guided, denoise)


def check_classifier(classifier: Guide, model: Guide) -> None:
    """Raise ValueError unless a classifier saw the images of `model`, with its noise, at its times."""
    if not classifier.diffusion.loss.classifies:
        raise ValueError(
            f"{classifier.name} holds no classifier; train one: python train.py experiment=digits_classifier"
        )
    place = f"the classifier {classifier.name}"
    if model.classes is not None and classifier.classes != model.classes:
        raise ValueError(f"{place} knows other classes than the model; give one that was trained on the same data")
    check_same_noise(place, classifier, model)


def check_weaker(weaker: Guide, model: Guide) -> None:
    """Raise ValueError unless a weaker model draws the images of `model`, is told no more, and sees the same noise."""
    place = f"the model {weaker.name}"
    if weaker.diffusion.loss.classifies:
        raise ValueError(f"{weaker.name} holds a classifier; set guidance.classifier to it, or give a weaker model")
    if more := sorted({*weaker.denoiser.takes} - {*model.denoiser.takes}):
        raise ValueError(f"{place} is told {', '.join(more)}, which the model is not; give one that is told as much")
    if "y" in weaker.denoiser.takes and weaker.classes != model.classes:
        raise ValueError(f"{place} knows other classes than the model; give one that was trained on the same data")
    check_same_noise(place, weaker, model)


def check_same_noise(place: str, guide: Guide, model: Guide) -> None:
    """Raise ValueError unless a guide saw images of the model's shape, with its noise, at its times."""
    if guide.shape != model.shape:
        shapes = ["x".join(map(str, shape)) for shape in (guide.shape, model.shape)]
        raise ValueError(
            f"{place} knows images of {shapes[0]}, the model draws {shapes[1]}; give one trained on the same data"
        )
    theirs, ours = (each.diffusion.process.level(each.diffusion.process.evenly(None)) for each in (guide, model))
    if not torch.equal(theirs.time.float(), ours.time.float()):
        raise ValueError(
            f"{place} was told other times than the model ({len(theirs.time)} steps, 0 to {theirs.time.max():g}, not "
            f"{len(ours.time)}, 0 to {ours.time.max():g}); train one with the model's diffusion.steps and rescale_times"
        )
    if not (torch.equal(theirs.alpha, ours.alpha) and torch.equal(theirs.sigma, ours.sigma)):
        raise ValueError(
            f"{place} saw other noise at each time than the model; train one with the model's diffusion.schedule"
        )
