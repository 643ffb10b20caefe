"""DDIM, on Gaussian data whose exact denoiser and transport are known."""

import math

import pytest
import torch
from toy_gaussian import ToyGaussian

from diffusion import DDIM, Cosine, Epsilon, FixedSmall, GaussianDiffusion, Simple
from diffusion.process.continuum import Continuum, Straight, VariancePreserving
from diffusion.process.level import as_factor
from diffusion.process.log_snr import CosineLogSNR, EvenLogSNR, StraightTime
from diffusion.samplers.sampler import draw, trajectory

TOY = ToyGaussian(mean=0.3, std=0.4, steps=4000)
PROCESSES = {
    "chain": TOY.process,
    "preserving": Continuum(CosineLogSNR(), VariancePreserving()),
    "straight": Continuum(StraightTime(), Straight()),
    "even_log_snr": Continuum(EvenLogSNR(), VariancePreserving()),
}
everywhere = pytest.mark.parametrize("process", PROCESSES.values(), ids=PROCESSES)
X = torch.linspace(-2, 2, 5, dtype=torch.float64).view(-1, 1, 1, 1)


def transported(x, here, there):
    """Where the probability flow takes x: it keeps each point's place in the distribution."""
    place = (x - as_factor(here.alpha, x) * TOY.mean) / as_factor(TOY.spread(here).sqrt(), x)
    return as_factor(there.alpha, x) * TOY.mean + as_factor(TOY.spread(there).sqrt(), x) * place


@everywhere
def test_twice_the_steps_halve_the_distance_to_the_exact_transport(process):
    def error(steps):
        levels = DDIM(steps=steps).levels(process)[:-1]
        *_, end = DDIM().walk(TOY.denoise, levels, X, None)
        return (end.x - transported(X, levels[0], levels[-1])).abs().max().item()

    assert math.log2(error(200) / error(400)) == pytest.approx(1, abs=0.05)
    assert error(400) < 0.01


@everywhere
def test_what_ddim_encodes_it_decodes(process):
    x_0 = TOY.mean + TOY.std * X

    def error(steps):
        sampler = DDIM(steps=steps)
        *_, end = sampler.encode(TOY.denoise, process, x_0)
        assert (end.x - X).abs().max() < 0.05  # it is the noise of the same place
        return (draw(trajectory(sampler, process, TOY.denoise, lambda: end.x)) - x_0).abs().mean().item()

    # The first level is a little noisier than an image, and the last a little clearer than noise.
    assert error(600) < 2 / 255 and error(600) < 0.6 * error(300)


@everywhere
def test_encoding_ends_at_the_noise_itself(process):
    # As many steps as decoding takes; the last one leads from the noisiest level to where nothing but noise is left.
    steps = [*DDIM(steps=5).encode(TOY.denoise, process, TOY.mean + TOY.std * X)]
    noisiest = DDIM(steps=5).levels(process)[0]
    assert len(steps) == 5
    assert torch.allclose(steps[-1].x, noisiest.eps(steps[-2].x, steps[-1].x_0), rtol=0, atol=1e-12)


def test_only_a_path_without_chance_can_be_walked_backwards():
    with pytest.raises(ValueError, match=r"sampler\.eta=0"):
        next(DDIM(eta=0.5).encode(TOY.denoise, TOY.process, torch.zeros(1, 1, 2, 2)))
    with pytest.raises(ValueError, match=r"eta lies between 0"):
        DDIM(eta=1.5)


@pytest.mark.parametrize("total, steps", [(4000, 4), (4000, 6), (4000, 20), (1000, 2), (1000, 3), (1000, 8)])
def test_eta_1_stays_finite_where_nothing_is_left_for_eps(total, steps):
    diffusion = GaussianDiffusion(
        steps=total, schedule=Cosine(), prediction=Epsilon(), variance=FixedSmall(), loss=Simple()
    )
    chance = torch.Generator().manual_seed(0)
    noise = lambda: torch.randn(2, 1, 4, 4, generator=chance)  # noqa: E731
    denoise = diffusion.denoiser(lambda x, time: x)
    assert draw(trajectory(DDIM(steps=steps, eta=1.0), diffusion.process, denoise, noise)).isfinite().all()
