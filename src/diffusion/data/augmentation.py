"""Augmentation that does not leak: the network is told how each image was changed, and draws images that were not."""

import math
from collections.abc import Sequence

import torch
from torch import Tensor
from torch.nn.functional import affine_grid, grid_sample

from diffusion.compute.device import to_device
from diffusion.data.conditions import Condition

NUMBERS = 9


class Augmentation(Condition):
    """Each image mirrored, turned, stretched and moved at random, and 9 numbers that say how (Karras et al. 2022, F.2).

    Mirrored in x is half of the images, whatever `p`, unless it is 0. Each of five more changes happens with
    probability `p`, all zeros telling of none: mirrored in y, for half of these; scaled by 2^(s N(0, 1)), s = `scale`;
    rotated by any angle; stretched by 2^(s N(0, 1)), s = `stretch`, along x or, for half of these, any direction, and
    shrunk across it; moved by N(0, 1) times `translation` of the size in x and in y. Where the picture moved away, its
    edge is mirrored. Two things differ from the original: pixels are interpolated linearly, without its wavelet filter,
    and the direction of a stretch is told by twice its angle, since a line has no two ends.
    """

    def __init__(
        self, *, p: float = 0.12, scale: float = 0.2, stretch: float = 0.2, translation: float = 0.125
    ) -> None:
        if not 0 <= p <= 1:
            raise ValueError(f"p={p} is no probability; set conditions.augmentation.p=0.12")
        if min(scale, stretch, translation) < 0:
            raise ValueError(
                f"scale={scale}, stretch={stretch} and translation={translation} must be 0 or more; "
                "set conditions.augmentation.scale=0.2"
            )
        self.p, self.scale, self.stretch, self.translation = p, scale, stretch, translation

    def __call__(self, x_0: Tensor, labels: Tensor) -> Tensor:
        """Images as they are."""
        return torch.zeros(len(x_0), NUMBERS, device=x_0.device)

    def in_turn(self, num_classes: int | None) -> Tensor:
        return torch.zeros(1, NUMBERS)

    def change(self, x_0: Tensor, chances: Sequence[torch.Generator]) -> tuple[Tensor, Tensor]:
        told, matrices = (torch.stack(each) for each in zip(*map(self.drawn, chances), strict=True))
        numbers, x = to_device(told, x_0.device), x_0
        for axis, column in ((-1, 0), (-2, 1)):
            flipped = numbers[:, column].bool().view(-1, 1, 1, 1)
            x = torch.where(flipped, x.flip(axis), x)
        turned = (told[:, 2:] != 0).any(1).nonzero()[:, 0]
        if len(turned):
            here = to_device(turned, x.device)
            x = x.index_copy(0, here, resampled(x[here], matrices[turned]))
        return x, numbers

    def drawn(self, chance: torch.Generator) -> tuple[Tensor, Tensor]:
        """The 9 numbers of one image, and (2, 3), where each of its points comes from, in halves of its size."""
        chances = torch.rand(8, generator=chance, device=chance.device).cpu()
        (in_y, scaled, rotated, stretched, moved), (x, y, askew) = chances[:5] < self.p, (chances[5:] < 0.5).tolist()
        normal = torch.randn(4, generator=chance, device=chance.device).cpu()
        turn, direction = ((2 * torch.rand(2, generator=chance, device=chance.device).cpu() - 1) * math.pi).tolist()
        happens = torch.stack([scaled, stretched, moved, moved])
        scale, stretch, right, down = torch.where(happens, normal, 0).tolist()
        angle, doubled = turn * float(rotated), direction * float(askew)
        numbers = [
            float(x and self.p > 0), float(y and in_y), scale, math.cos(angle) - 1, math.sin(angle),
            stretch * math.cos(doubled), stretch * math.sin(doubled), right, down,
        ]  # fmt: skip
        narrower = stretching(2 ** (-self.stretch * stretch), doubled / 2)
        back = rotation(-angle) @ narrower * 2 ** (-self.scale * scale)
        shift = -2 * self.translation * back @ torch.tensor([[right], [down]])
        return torch.tensor(numbers), torch.cat([back, shift], dim=1)


def rotation(angle: float) -> Tensor:
    return torch.tensor([[math.cos(angle), -math.sin(angle)], [math.sin(angle), math.cos(angle)]])


def stretching(factor: float, axis: float) -> Tensor:
    """Wider by `factor` along an axis, narrower by it across."""
    return rotation(axis) @ torch.diag(torch.tensor([factor, 1 / factor])) @ rotation(-axis)


def resampled(x: Tensor, matrix: Tensor) -> Tensor:
    """The images x (N, C, H, W) where `matrix` (N, 2, 3) leads from each point, in pixels of one size both ways.

    The matrix is small and lies on the CPU, where its inverse is known without waiting.
    """
    height, width = x.shape[-2:]
    longer = max(height, width)
    to_pixels = torch.diag(torch.tensor([width / longer, height / longer])).to(matrix)
    matrix = torch.linalg.inv(to_pixels) @ torch.cat([matrix[:, :, :2] @ to_pixels, matrix[:, :, 2:]], dim=2)
    places = affine_grid(to_device(matrix.to(x.dtype), x.device), list(x.shape), align_corners=False)
    return grid_sample(x, places, padding_mode="reflection", align_corners=False)
