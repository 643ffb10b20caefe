"""How fast images are drawn: python benchmarks/sampling.py [overrides of train.py] [--compile] [--bf16]

python benchmarks/sampling.py experiment=cifar10_hybrid sampler.steps=25 train.batch_size=64 --compile --original FOLDER

The first row draws as sample.py does, with `train.batch_size` images at once; --compile and --bf16 add rows with
those settings, --original the released code, ancestral, on the same weights. All take steps of the sampler in turns;
`images/s` counts steps of an image. Bf16 rounds what is drawn: its row is preceded by the mean difference of whole
images drawn from the same noise, in levels of 255. The other columns are those of train_step.py.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Iterator
from functools import partial
from itertools import islice

import torch
from original import Original, require_same
from race import Contestant, machine, race, report
from recipe import Recipe, recipe
from torch import Tensor

from diffusion.cli.command import report_errors
from diffusion.config import instantiate
from diffusion.denoiser.denoiser import clip, transformed
from diffusion.inference.fast_network import FastNetwork
from diffusion.process.respacing import kept_steps
from diffusion.samplers.sampler import Noise, Sampler, Step, draw, trajectory


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("overrides", nargs="*", help="what you would give to train.py")
    parser.add_argument("--compile", action="store_true", help="compiled to fused kernels as well")
    parser.add_argument("--bf16", action="store_true", help="in bf16 as well, compiled if --compile")
    parser.add_argument("--original", metavar="FOLDER", help="a checkout of improved-diffusion")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--steps", type=int, default=3, help="of each in a round")
    return parser.parse_intermixed_args()


def main() -> None:
    chosen = arguments()
    ours = recipe(chosen.overrides)
    sampler, noise = instantiate.instantiate(ours.config.sampler), torch.randn_like(ours.x_0)
    ours.network.eval()
    networks = {"ours": FastNetwork(ours.network, ours.device)}
    if chosen.compile:
        networks["compiled"] = FastNetwork(ours.network, ours.device, compile=True)
    if chosen.bf16:
        networks["bf16"] = FastNetwork(ours.network, ours.device, compile=chosen.compile, precision="bf16")
    contestants = [
        contestant(name, ours, partial(steps_of, sampler, ours, network, lambda: noise), chosen.steps)
        for name, network in networks.items()
    ]
    if chosen.original:
        contestants.append(original_sampling(chosen.original, ours, sampler, noise, chosen.steps))
    if chosen.bf16:
        print(f"bf16 changes images by {rounding(sampler, ours, networks, noise):.2f} of 255 levels", flush=True)
    times, peaks = race(contestants, ours.device, rounds=chosen.rounds, steps=1)
    report("sampling", contestants, times, peaks, **machine(ours.device), overrides=chosen.overrides)


def steps_of(sampler: Sampler, ours: Recipe, network: FastNetwork, noise: Noise) -> Iterator[Step]:
    """A drawing, step by step."""
    denoise = ours.denoiser(network)
    return trajectory(sampler, ours.diffusion.process, transformed(denoise, clip) if sampler.clip else denoise, noise)


def contestant(name: str, ours: Recipe, begin: Callable[[], Iterator], steps: int) -> Contestant:
    """The first `steps` steps of a drawing; its images count once a step."""
    precision = "bf16" if name == "bf16" else "float32"
    return Contestant(name, lambda: list(islice(begin(), steps)), steps * len(ours.x_0), ours.flops, precision)


def original_sampling(checkout: str, ours: Recipe, sampler: Sampler, noise: Tensor, steps: int) -> Contestant:
    """Theirs, after a look at whether it computes the same."""
    kept = kept_steps(len(ours.diffusion.process), sampler.steps)
    theirs = Original(checkout, ours, kept=kept)
    require_same("the means of a step", difference(theirs, ours, kept, noise))
    return contestant("original", ours, lambda: theirs.sampling(noise), steps)


@torch.no_grad()
def difference(theirs: Original, ours: Recipe, kept: list[int], x_t: Tensor) -> float:
    """The largest difference between p(x_{t-1} | x_t)'s mean in theirs and in ours, half-way."""
    t = torch.full((len(x_t),), len(kept) // 2, device=x_t.device)
    move = ours.diffusion.process.respace(kept).move(t)
    mine = ours.denoiser(ours.network)(x_t, move.here).reverse(move).mean
    given = theirs.diffusion.p_mean_variance(
        theirs.model.eval(), x_t, t, clip_denoised=False, model_kwargs=ours.condition
    )
    return (given["mean"] - mine).abs().max().item()


def rounding(sampler: Sampler, ours: Recipe, networks: dict[str, FastNetwork], noise: Tensor) -> float:
    """The mean difference of images drawn in bf16 and in float32 from the same noise, in levels of 255."""
    drawn = []
    for name in ("ours", "bf16"):
        chance = torch.Generator(noise.device).manual_seed(0)
        like_noise = lambda: torch.randn(noise.shape, generator=chance, device=noise.device)  # noqa: B023, E731
        drawn.append(draw(steps_of(sampler, ours, networks[name], like_noise)))
    return 127.5 * (drawn[0] - drawn[1]).abs().mean().item()


if __name__ == "__main__":
    with report_errors("sampling"):
        main()
