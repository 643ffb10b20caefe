"""Denoisers made of denoisers, of which a guidance is put together."""

from collections.abc import Callable, Mapping

import torch
from torch import Tensor

from diffusion.denoiser.denoiser import Denoise, Denoised, Denoiser, ReverseGaussian, Transform, transformed
from diffusion.denoiser.predictions import Prediction
from diffusion.process.level import Level, Move, as_factor


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


Pair = Callable[[Tensor, Level], tuple[Denoised, Denoised]]
"""(x_t, level) -> (what is moved, what it moves away from)"""


def beside(good: Denoise, bad: Denoise) -> Pair:
    """Two denoisers, each called."""
    return lambda x, level: (good(x, level), bad(x, level))


def beside_blank(denoiser: Denoiser, condition: Mapping[str, Tensor]) -> Pair:
    """The denoiser told `condition`, and told nothing, in one call of the network with twice the batch."""
    blank = {**condition, **denoiser.blank}
    both = denoiser.given(
        {name: torch.cat([values, blank[name].to(values).expand_as(values)]) for name, values in condition.items()}
    )

    def pair(x: Tensor, level: Level) -> tuple[Denoised, Denoised]:
        own, blank = both.output(torch.cat([x, x]), level).chunk(2)
        return denoiser.read(x, level, own), denoiser.read(x, level, blank)

    return pair


def away(pair: Pair, scale: float, prediction: Prediction, rescale: float = 0.0) -> Denoise:
    """bad + scale (good - bad), of the expected images, of the means that a network names itself, and of the noise."""

    def guiding(x: Tensor, level: Level) -> Denoised:
        good, bad = pair(x, level)
        x_0 = torch.lerp(bad.x_0, good.x_0, scale)
        x_0 = rescaled(prediction, level, x, x_0, good.x_0, rescale) if rescale else x_0

        def gaussian(move: Move, x_0: Tensor) -> ReverseGaussian:
            own, other = good.gaussian(move, x_0), bad.gaussian(move, x_0)
            return own._replace(mean=torch.lerp(other.mean, own.mean, scale))

        def eps() -> Tensor:
            assert good.eps is not None and bad.eps is not None
            return torch.lerp(bad.eps(), good.eps(), scale)

        return Denoised(x_0, gaussian, None if good.eps is None or bad.eps is None else eps)

    return guiding


def rescaled(prediction: Prediction, level: Level, x: Tensor, x_0: Tensor, own: Tensor, share: float) -> Tensor:
    """x_0 whose output has, in the space that the network predicts, `share` of the way back to the spread of `own`."""
    guided, plain = (prediction.target(level, each, level.eps(x, each)) for each in (x_0, own))
    axes = tuple(range(1, x.ndim))
    factor = share * plain.std(axes, keepdim=True) / guided.std(axes, keepdim=True) + (1 - share)
    return prediction.x_0(level, guided * factor, x)


def in_interval(interval: tuple[float, float], guided: Denoise, plain: Denoise) -> Denoise:
    """`guided` where the log-SNR lies in the interval, its ends included, `plain` elsewhere."""
    low, high = interval

    def choosing(x: Tensor, level: Level) -> Denoised:
        inside = bool(((low <= level.log_snr) & (level.log_snr <= high)).all())
        return (guided if inside else plain)(x, level)

    return choosing
