"""Guidance: denoisers made of denoisers, which move what is expected towards what is asked for."""

from collections.abc import Mapping, Sequence
from typing import Protocol

import torch
from torch import Tensor

from diffusion.denoiser.denoiser import Denoise, Denoised, Denoiser, ReverseGaussian, Transform, transformed
from diffusion.denoiser.diffusion import Diffusion
from diffusion.process.level import Level, Move, as_factor


class Guide(Protocol):
    """Another trained model, on the device of the one that it guides."""

    name: str
    classes: Sequence[str] | None
    shape: tuple[int, int, int]
    diffusion: Diffusion
    denoiser: Denoiser


class Guidance:
    """Towards a class, by the gradient of a `classifier` of noisy images (Dhariwal & Nichol 2021, section 4).

    At scale 1 samples follow p(x | y), if model and classifier are exact; larger scales favour what is surely of class
    y over variety. `clip_guided` clips the expected x_0 again after the gradient moved it. The original does not; but
    where x_t is all noise, as at the end of the cosine schedule, any error of the gradient moves x_0 by 1 / alpha as
    much. Without a classifier nothing is guided.

    A guidance of one's own is a subclass with its own arguments, kept as attributes, and its own `__call__`; an
    argument hinted `Guide` names a run.
    """

    def __init__(self, *, classifier: Guide | None = None, scale: float = 1.0, clip_guided: bool = True) -> None:
        if classifier is None and scale != 1:
            raise ValueError(f"guidance.scale={scale} scales nothing; add guidance.classifier=runs/NAME")
        self.classifier, self.scale, self.clip_guided = classifier, scale, clip_guided

    @property
    def guides(self) -> list[Guide]:
        """The models that guide."""
        return [part for part in vars(self).values() if hasattr(part, "denoiser")]

    @property
    def name(self) -> str:
        """A part of a folder's name: what guides, and its numbers; "" where nothing is guided."""
        kind = "guided" if type(self) is Guidance else type(self).__name__.lower()
        numbers = [f"{value:g}" for value in vars(self).values() if type(value) in (int, float)]
        parts = [kind, *(guide.name for guide in self.guides), *numbers]
        return "_".join(parts) if self.guides or kind != "guided" else ""

    def check(self, model: Guide) -> None:
        """Raise ValueError unless this can steer the model: a classifier must know its images at every time."""
        if (classifier := vars(self).get("classifier")) is not None:
            check_classifier(classifier, model)

    def __call__(self, denoiser: Denoiser, condition: Mapping[str, Tensor], clip: Transform | None) -> Denoise:
        """The denoiser of a model whose network is told its part of `condition`, guided, its x_0 kept by `clip`."""
        denoise = bind(denoiser, condition, clip)
        if self.classifier is None:
            return denoise
        guided = by_classifier(denoise, log_probability(self.classifier.denoiser, condition["y"]), self.scale)
        return guided if clip is None or not self.clip_guided else transformed(guided, clip)


def check_classifier(classifier: Guide, model: Guide) -> None:
    """Raise ValueError unless a classifier saw the images of `model`, with its noise, at its times."""
    place = f"the classifier {classifier.name}"
    if not classifier.diffusion.loss.classifies:
        raise ValueError(
            f"{classifier.name} holds no classifier; train one: python train.py experiment=digits_classifier"
        )
    if classifier.shape != model.shape:
        shapes = ["x".join(map(str, shape)) for shape in (classifier.shape, model.shape)]
        raise ValueError(
            f"{place} knows images of {shapes[0]}, the model draws {shapes[1]}; give one trained on the same data"
        )
    if model.classes is not None and classifier.classes != model.classes:
        raise ValueError(f"{place} knows other classes than the model; give one that was trained on the same data")
    theirs, ours = (each.diffusion.process.level(each.diffusion.process.evenly(None)) for each in (classifier, model))
    if not torch.equal(theirs.time.float(), ours.time.float()):
        raise ValueError(
            f"{place} was told other times than the model ({len(theirs.time)} steps, 0 to {theirs.time.max():g}, not "
            f"{len(ours.time)}, 0 to {ours.time.max():g}); train one with the model's diffusion.steps and rescale_times"
        )
    if not torch.equal(theirs.alpha, ours.alpha):
        raise ValueError(
            f"{place} saw other noise at each time than the model; train one with the model's diffusion.schedule"
        )


def bind(denoiser: Denoiser, condition: Mapping[str, Tensor], clip: Transform | None) -> Denoise:
    """The denoiser told what its network takes of `condition`, its x_0 kept by `clip`."""
    denoise = denoiser.given(condition)
    return denoise if clip is None else transformed(denoise, clip)


def log_probability(classifier: Denoiser, y: Tensor):
    """(x_t, level) -> log p(y | x_t) of the classes y, (N,)."""

    def log_p(x: Tensor, level: Level) -> Tensor:
        return classifier.output(x, level).float().log_softmax(dim=1).gather(1, y[:, None]).squeeze(1)

    return log_p


def by_classifier(denoise: Denoise, log_p, scale: float = 1.0) -> Denoise:
    """Moved by `scale` times the gradient in x_t of log_p(x_t, level) (N,).

    What draws from p(x_s | x_t) has its mean moved by variance * gradient (algorithm 1); others walk by an x_0 that
    moves by sigma^2 / alpha * gradient, which moves eps by -sigma * gradient (algorithm 2).
    """

    def guiding(x: Tensor, level: Level) -> Denoised:
        said = denoise(x, level)
        with torch.enable_grad():
            leaf = x.detach().requires_grad_()
            # Images do not see each other, so one backward pass of the sum gives each its own gradient.
            gradient = scale * torch.autograd.grad(log_p(leaf, level).sum(), leaf)[0]
        reach = torch.where(level.alpha > 0, level.sigma**2 / level.alpha, 0)  # pure noise says nothing of the class

        def moved(move: Move, _: Tensor) -> ReverseGaussian:
            reverse = said.reverse(move)
            return reverse._replace(mean=reverse.mean + reverse.variance * gradient)

        return Denoised(said.x_0 + as_factor(reach, x) * gradient, moved)

    return guiding
