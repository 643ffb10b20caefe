"""What the loss costs beside its network: python benchmarks/loss_cost.py [overrides of train.py] --original FOLDER

Noising the images, the loss and its backward are timed around a network of one multiplication: ours, and that of the
released code in a checkout of the user's, if the two losses agree; the same images, in turns. The difference is printed
as a share of a whole training step by the same recipe, timed in the same turns.
"""

from __future__ import annotations

import diffusion.cli  # as in train.py before torch: it settles how threads wait  # noqa: F401

# isort: split
import argparse
import statistics
from collections.abc import Callable

import torch
from original import Original, require_same
from race import machine
from recipe import Recipe, recipe
from torch import Tensor, nn
from train_step import step_of

from diffusion.cli.command import report_errors
from diffusion.compute.flops import elapsed
from diffusion.losses.losses import noised


class Scale(nn.Module):
    """A network that multiplies: as many channels out as a recipe needs."""

    def __init__(self, copies: int) -> None:
        super().__init__()
        self.copies, self.weight = copies, nn.Parameter(torch.ones(1))

    def forward(self, x: Tensor, time: Tensor) -> Tensor:
        return torch.cat(self.copies * [x * self.weight], dim=1)


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("overrides", nargs="*", help="what you would give to train.py")
    parser.add_argument("--original", metavar="FOLDER", required=True, help="a checkout of improved-diffusion")
    parser.add_argument("--rounds", type=int, default=50)
    return parser.parse_intermixed_args()


def main() -> None:
    chosen = arguments()
    if chosen.rounds < 1:
        raise ValueError(f"--rounds {chosen.rounds} leaves no median; give 1 or more")
    ours = recipe(chosen.overrides)
    if ours.trainer.microbatch:
        raise ValueError("a step of micro-batches computes several losses; leave train.microbatch out")
    theirs = Original(chosen.original, ours)
    require_same("the losses, in parts of their size,", theirs.difference())
    network = Scale(1 + ours.diffusion.variance.outputs).to(ours.device)
    works = {
        "ours": loss_of_ours(ours, network),
        "original": loss_of_original(ours, theirs, network),
        "step": step_of(ours),
    }
    taken: dict[str, list[float]] = {name: [] for name in works}
    for turn in range(chosen.rounds + 1):
        for name, work in works.items():
            work()  # what the other's work left in the caches is not its own
            seconds = elapsed(work, ours.device)
            if turn:
                taken[name].append(1e3 * seconds)
    mine, other, step = (statistics.median(taken[name]) for name in works)
    more = statistics.median(a - b for a, b in zip(taken["ours"], taken["original"], strict=True))
    print(f"{machine(ours.device)['device']}, {len(ours.x_0)} images; medians of {chosen.rounds} rounds")
    print(f"the loss without its network: ours {mine:.2f} ms, the original's {other:.2f} ms")
    print(f"the difference, {more:+.2f} ms, is {abs(more) / step:.2%} of a step of {step:.0f} ms")


def loss_of_ours(ours: Recipe, network: nn.Module) -> Callable[[], None]:
    t, eps = draws(ours)
    denoiser = ours.diffusion.denoiser(network, frozenset())

    def work() -> None:
        example = noised(ours.diffusion.process, ours.x_0, t, eps, ours.condition.get("y"))
        ours.diffusion.loss(ours.diffusion, denoiser, example)["loss"].mean().backward()

    return work


def loss_of_original(ours: Recipe, theirs: Original, network: nn.Module) -> Callable[[], None]:
    t, eps = draws(ours)
    return lambda: theirs.diffusion.training_losses(network, ours.x_0, t, noise=eps)["loss"].mean().backward()


def draws(ours: Recipe) -> tuple[Tensor, Tensor]:
    """t of each image, evenly spread, and its noise."""
    t = torch.linspace(0, len(ours.diffusion.process) - 1, len(ours.x_0), device=ours.device).long()
    return t, torch.randn(ours.x_0.shape, generator=torch.Generator().manual_seed(0)).to(ours.device)


if __name__ == "__main__":
    with report_errors("loss_cost"):
        main()
