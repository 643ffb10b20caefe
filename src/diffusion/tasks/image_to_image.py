"""SDEdit: an image under noise, and drawn anew from there."""

from collections.abc import Iterator

import torch

from diffusion.process.level import Level
from diffusion.process.process import Process
from diffusion.samplers.sampler import Sampler, Step, descent
from diffusion.tasks.from_images import FromImages, Images
from diffusion.tasks.task import Drawing


class ImageToImage(FromImages):
    """Given images, noised to a level and drawn back from there (Meng et al. 2022).

    The level is that of the sampler's which lies nearest to the share `strength` in (0, 1] of the way from image to
    noise, or to `log_snr` where that is given. At strength 1 hardly anything of the image is left.
    """

    def __init__(
        self, *, images: Images, versions: int = 1, strength: float = 0.5, log_snr: float | None = None
    ) -> None:
        super().__init__(images=images, versions=versions)
        self.strength, self.log_snr = require_strength(strength), log_snr

    def num_steps(self, sampler: Sampler, process: Process) -> int:
        return len(levels_from(sampler, process, self.strength, self.log_snr)) - 1

    def steps(self, drawing: Drawing) -> Iterator[Step]:
        levels = levels_from(drawing.sampler, drawing.process, self.strength, self.log_snr)
        noise = drawing.noise_of(drawing.numbers)
        x = levels[0].x(self.originals(drawing), noise())
        return descent(drawing.sampler, drawing.denoise_of(drawing.numbers), levels, x, noise)


def require_strength(strength: float) -> float:
    """`strength`, a share of the way; ValueError unless it is one."""
    if not 0 < strength <= 1:
        raise ValueError(f"strength={strength} must lie in (0, 1], 1 being pure noise; set task.strength=0.5")
    return strength


def levels_from(sampler: Sampler, process: Process, strength: float, log_snr: float | None = None) -> list[Level]:
    """The sampler's levels from that on which is nearest to a share of the way, or to a log-SNR."""
    levels = sampler.levels(process)
    ends = torch.cat([level.log_snr for level in levels[:-1]])
    target = torch.tensor([strength], dtype=torch.float64)
    if log_snr is not None:
        target = process.share(process.at(torch.tensor([log_snr], dtype=torch.float64)))
    return levels[int((process.share(process.at(ends)) - target).abs().argmin()) :]
