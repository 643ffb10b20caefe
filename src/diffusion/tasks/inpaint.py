"""RePaint: what is unknown of an image, drawn by going to and fro between noise and the image."""

from collections.abc import Iterator, Sequence
from itertools import pairwise

from torch import Tensor

from diffusion.denoiser.denoiser import Denoise, Denoised
from diffusion.process.level import Level, Move, as_factor
from diffusion.process.process import Process
from diffusion.samplers.sampler import Noise, Sampler, Step, descent
from diffusion.tasks.from_images import Images
from diffusion.tasks.known_pixels import FromMasked, KnownPixels
from diffusion.tasks.task import Drawing


class Inpaint(FromMasked):
    """The pixels that `mask` leaves unknown, by RePaint (Lugmayr et al. 2022, algorithm 1).

    At each level the known pixels are drawn from q(x_t | x_0). After every `jump_length` steps the walk goes so many
    back towards noise and down again, until each stretch was walked `jump_n_sample` times, so that both parts come to
    agree; 1 never goes back. The paper takes 10 and 10, in 250 steps.
    """

    def __init__(
        self, *, images: Images, mask: Images, versions: int = 1, jump_length: int = 10, jump_n_sample: int = 10
    ) -> None:
        super().__init__(images=images, mask=mask, versions=versions)
        for name, value in (("jump_length", jump_length), ("jump_n_sample", jump_n_sample)):
            if value < 1:
                raise ValueError(f"{name}={value} must be at least 1; set task.{name}=1")
        self.jump_length, self.jump_n_sample = jump_length, jump_n_sample

    def check(self, sampler: Sampler, process: Process, shape: tuple[int, int, int]) -> None:
        super().check(sampler, process, shape)
        steps = len(sampler.levels(process)) - 1
        if self.jump_n_sample > 1 and self.jump_length >= steps:
            raise ValueError(
                f"jumps of {self.jump_length} steps do not fit into a walk of {steps}; "
                f"set task.jump_length={max(steps // 5, 1)}, or task.jump_n_sample=1 for none"
            )

    def num_steps(self, sampler: Sampler, process: Process) -> int:
        return len(resampling(len(sampler.levels(process)) - 1, self.jump_length, self.jump_n_sample)) - 1

    def steps(self, drawing: Drawing) -> Iterator[Step]:
        levels, denoise = drawing.levels, drawing.denoise_of(drawing.numbers)
        noise, last = drawing.noise_of(drawing.numbers), len(levels) - 1
        path = [levels[last - left] for left in resampling(last, self.jump_length, self.jump_n_sample)]
        x = noise()
        x = as_factor(path[0].std, x) * x
        return repaint(drawing.sampler, denoise, path, x, noise, self.known(drawing))


def resampling(steps: int, jump_length: int, jump_n_sample: int) -> list[int]:
    """How many of `steps` steps are left at each place of RePaint's way, from `steps` to 0.

    Where 0, jump_length, 2 jump_length, ... are left, less than steps - jump_length, it goes back jump_length steps,
    jump_n_sample - 1 times.
    """
    way, left = [steps], steps
    for turn in reversed(range(0, steps - jump_length, jump_length)):
        for _ in range(jump_n_sample - 1):
            way += [*range(left - 1, turn - 1, -1), *range(turn + 1, turn + jump_length + 1)]
            left = turn + jump_length
    return [*way, *range(left - 1, -1, -1)]


def repaint(
    sampler: Sampler, denoise: Denoise, path: Sequence[Level], x: Tensor, noise: Noise, known: KnownPixels
) -> Iterator[Step]:
    """Every step from x at path[0] to path[-1], down by the sampler and up by q(x_t | x_s), level by level.

    What is known is put in at each level that a step down leads to.
    """
    x_0 = x
    for levels in segments(path):
        if rises(*levels[:2]):
            for there, here in pairwise(levels):
                x = diffused(Move(here, there), x, noise())
                yield Step(x, x_0)
        else:
            for step in merging_descent(sampler, denoise, levels, x, noise, known):
                x, x_0 = step
                yield step


def merging_descent(
    sampler: Sampler, denoise: Denoise, levels: Sequence[Level], x: Tensor, noise: Noise, known: KnownPixels
) -> Iterator[Step]:
    """Every step of the sampler, whose denoiser sees the known pixels in all but the first x_t.

    A sampler computes each pixel from what the denoiser says of it, so that the unknown ones come out as if it had seen
    them too. One noise serves both parts of a step: no pixel is in both.
    """
    drawn: list[Tensor] = []
    z: Tensor | None = None

    def remembered() -> Tensor:
        drawn.append(noise())
        return drawn[-1]

    def seeing(x: Tensor, level: Level) -> Denoised:
        return denoise(x if z is None else known.merged(x, level, z), level)

    for there, step in zip(levels[1:], descent(sampler, seeing, levels, x, remembered), strict=True):
        z = drawn[-1] if drawn else noise()
        drawn.clear()
        yield Step(known.merged(step.x, there, z), step.x_0)


def segments(path: Sequence[Level]) -> list[list[Level]]:
    """The path cut where it turns; each part begins with the level that the one before it ends with."""
    parts = [list(path[:2])]
    for here, there in pairwise(path[1:]):
        if rises(here, there) == rises(*parts[-1][-2:]):
            parts[-1].append(there)
        else:
            parts.append([here, there])
    return parts


def rises(here: Level, there: Level) -> bool:
    """Whether a step leads towards noise."""
    return bool((there.log_snr < here.log_snr).all())


def diffused(move: Move, x: Tensor, z: Tensor) -> Tensor:
    """x_t of x_s and the noise z, (N, C, ...): against the direction of `move`, by q(x_t | x_s)."""
    return as_factor(move.here.alpha / move.there.alpha, x) * x + as_factor(move.upper.sqrt(), x) * z
