"""Images made out of images, with a model whose exact denoiser is known."""

import math
from itertools import pairwise

import numpy as np
import pytest
import torch
from modern_cases import assert_modern, denoise_of, model_of, modern, tensors
from PIL import Image
from toy_gaussian import Called

from diffusion import (
    DDIM,
    Ancestral,
    Chain,
    ContinuousDiffusion,
    Cosine,
    CosineLogSNR,
    DPMSolver,
    Epsilon,
    FixedSmall,
    Guidance,
    Heun,
    ImageToImage,
    Inpaint,
    Interpolate,
    LeadingSpacing,
    Simple,
    Task,
    Trained,
    VariancePreserving,
    Velocity,
)
from diffusion.denoiser.denoiser import Denoised, Denoiser
from diffusion.inference.film import Film, check_format
from diffusion.inference.prompts import Prompts
from diffusion.process.level import as_factor
from diffusion.samplers.sampler import draw
from diffusion.tasks.inpaint import repainted, there_and_back
from diffusion.tasks.interpolate import slerp

SHAPE = (1, 4, 6)


@pytest.mark.parametrize("case, inputs, expected", modern(24, "repaint"))
def test_repaint(case, inputs, expected):
    args, inputs = case["args"], tensors(inputs)
    chain = Chain(torch.linspace(args["beta_start"], args["beta_end"], args["T"], dtype=torch.float64))
    sampler = DDIM(steps=args["n"], spacing=LeadingSpacing())
    levels = there_and_back(sampler.levels(chain), args["jump_length"], args["jump_n_sample"])
    assert [level.time.item() for level in levels[:-1]] == expected["timesteps"].tolist()
    denoise = denoise_of(model_of(inputs), Denoiser(lambda *_: None, Epsilon(), FixedSmall()))
    noise = iter(inputs["noise"])
    steps = repainted(
        denoise, sampler, levels, inputs["x_init"], lambda: next(noise), inputs["image"], inputs["mask"]
    )
    got = torch.stack([inputs["x_init"], *(step.x for step in steps)])
    assert_modern(case, "trajectory", got, expected["trajectory"])


def test_the_way_there_and_back():
    # Levels 5 .. 0, by two, each twice: an up-move wherever a number rises; the last ones, to the image, once.
    path = there_and_back([5, 4, 3, 2, 1, 0], 2, 2)
    assert path == [5, 4, 3, 4, 5, 4, 3, 2, 1, 2, 3, 2, 1, 0]
    assert there_and_back([5, 4, 3, 2, 1, 0], 2, 1) == [5, 4, 3, 2, 1, 0]
    assert all(abs(a - b) == 1 for a, b in pairwise(path))


def pair_denoiser(covariance):
    """The exact denoiser of two correlated pixels of mean 0."""

    def denoise(x, level):
        alpha, sigma = level.alpha.item(), level.sigma.item()
        gain = alpha * covariance @ torch.linalg.inv(alpha**2 * covariance + sigma**2 * torch.eye(2).double())
        return Denoised((x.flatten(1) @ gain.T).view_as(x), None)

    return denoise


def test_resampling_brings_what_is_drawn_to_agree_with_what_is_known():
    # Two pixels of correlation 0.9: given that one is 1, the other is N(0.9, 0.19).
    covariance = torch.tensor([[1.0, 0.9], [0.9, 1.0]], dtype=torch.float64)
    chain, sampler = Chain(Cosine().betas(1000)), DDIM(steps=40, eta=1.0)
    image, known = torch.ones(1, 1, 1, 2, dtype=torch.float64), torch.tensor([1.0, 0.0]).double().view(1, 1, 1, 2)
    means = []
    for resample in (1, 10):
        chance = torch.Generator().manual_seed(0)
        noise = lambda: torch.randn(2000, 1, 1, 2, generator=chance, dtype=torch.float64)  # noqa: B023, E731
        levels = there_and_back(sampler.levels(chain), 5, resample)
        x = draw(repainted(pair_denoiser(covariance), sampler, levels, noise(), noise, image, known))
        assert torch.equal(x[:, 0, 0, 0], torch.ones(2000).double())
        means.append(x[:, 0, 0, 1].mean().item())
    assert means[0] < 0.7 < 0.79 < means[1] < 0.93  # too little of it without, nearly all with


@pytest.fixture
def model():
    """Draws independent pixels N(0.2, 0.3^2), exactly."""
    diffusion = ContinuousDiffusion(
        schedule=CosineLogSNR(), path=VariancePreserving(), prediction=Velocity(), loss=Simple()
    )

    def network(x, time):
        level = diffusion.process.level(diffusion.process.t(time.double() / 1000))
        alpha, sigma = as_factor(level.alpha, x), as_factor(level.sigma, x)
        x_0 = 0.2 + alpha * 0.09 / (alpha**2 * 0.09 + sigma**2) * (x - alpha * 0.2)
        return Velocity().target(level, x_0, level.eps(x, x_0))

    return Trained(
        network=Called(network), diffusion=diffusion, shape=SHAPE, classes=None, config={}, step=1, weights="raw",
        device=torch.device("cpu"), guidance=Guidance(), conditions={},
    )  # fmt: skip


@pytest.fixture
def files(tmp_path):
    """Two images, and masks of all that is known, of nothing, and of another size."""
    pixels = np.random.default_rng(0).integers(60, 200, (2, *SHAPE[1:]), dtype=np.uint8)
    for name, array in {"a": pixels[0], "b": pixels[1], "all": np.full(SHAPE[1:], 255, np.uint8)}.items():
        Image.fromarray(array).save(tmp_path / f"{name}.png")
    Image.fromarray(np.zeros(SHAPE[1:], np.uint8)).save(tmp_path / "nothing.png")
    Image.fromarray(np.zeros((2, 2), np.uint8)).save(tmp_path / "small.png")
    return tmp_path


def made(task, model, sampler, numbers=(0, 1, 2), seed=0):
    task.open(model, sampler)
    return draw(task.steps(model, sampler, list(numbers), seed=seed, condition={}))


def test_all_known_is_the_image_and_nothing_known_is_drawn(model, files):
    image = str(files / "a.png")
    task = Inpaint(images=image, mask=str(files / "all.png"), jump=2, resample=2)
    assert torch.equal(made(task, model, Ancestral(steps=6))[0], task.x_0[0])
    nothing = Inpaint(images=image, mask=str(files / "nothing.png"), jump=2, resample=1)
    free = made(Task(), model, DDIM(steps=6))
    assert torch.allclose(made(nothing, model, DDIM(steps=6)), free, rtol=0, atol=1e-6)


def test_an_image_does_not_depend_on_the_batch_that_it_is_in(model, files):
    sampler = DPMSolver(steps=6)
    for task in (ImageToImage(images=[str(files / "a.png"), str(files / "b.png")]), Interpolate(count=5)):
        whole = made(task, model, sampler, range(5))
        assert torch.allclose(whole[3:], made(task, model, sampler, [3, 4]), rtol=0, atol=1e-6)


@pytest.mark.parametrize("sampler", [DDIM(steps=40), DPMSolver(steps=40), Heun(steps=40), Ancestral(steps=40)])
def test_strength_leaves_more_or_less_of_an_image(model, files, sampler):
    image = str(files / "a.png")
    distances = []
    for strength in (0.1, 0.5, 1.0):
        task = ImageToImage(images=image, strength=strength)
        distances.append((made(task, model, sampler) - task.x_0).abs().mean().item())
    assert distances[0] < min(distances[1:]) and distances[0] < 0.15
    assert not torch.equal(made(task, model, sampler)[0], made(task, model, sampler)[1])  # versions of one image


def test_strength_1_is_drawing_anew(model, files):
    task = ImageToImage(images=str(files / "a.png"), strength=1.0)
    # The noisiest level holds a thousandth of the image.
    drawn = made(Task(), model, DDIM(steps=20))
    assert torch.allclose(made(task, model, DDIM(steps=20)), drawn, rtol=0, atol=0.01)


@pytest.mark.parametrize("sampler", [DDIM, DPMSolver, Heun])
def test_interpolation_ends_at_its_images(model, files, sampler):
    task = Interpolate(images=[str(files / "a.png"), str(files / "b.png")], count=3)
    errors = []
    for steps in (20, 80):
        x = made(task, model, sampler(steps=steps, clip=False))
        errors.append((x[[0, 2]] - task.ends).abs().max().item())
    assert errors[1] < 0.05 and errors[1] < errors[0] / 2


def test_a_slerp_of_noise_is_as_large_as_noise():
    a, b = torch.randn(2, 1, 3, 32, 32, generator=torch.Generator().manual_seed(0)).split(1)
    between = slerp(a[0], b[0], torch.linspace(0, 1, 5))
    assert torch.allclose(between[[0, 4]], torch.cat([a[0], b[0]]), rtol=0, atol=1e-6)
    assert torch.allclose(between.flatten(1).std(1), torch.ones(5), rtol=0, atol=0.03)
    assert torch.equal(slerp(a[0], a[0], torch.tensor([0.5])), a[0])


def test_a_film_shows_every_step(model, tmp_path):
    film = Film(tmp_path / "film.gif")
    sampler = DDIM(steps=7)
    steps = film.watch(Task().steps(model, sampler, [0, 1], seed=0, condition={}), Prompts(), 7)
    plain = draw(Task().steps(model, sampler, [0, 1], seed=0, condition={}))
    assert torch.equal(draw(steps), plain)
    film.write()
    with Image.open(tmp_path / "film.gif") as written:
        assert written.n_frames >= 6  # frames that are alike become one
    with pytest.raises(ValueError, match="set film=gif or film=mp4"):
        check_format("avi")


@pytest.mark.parametrize(
    "make, message",
    [
        (lambda f: Inpaint(images=f("a"), mask=f("small")), r"mask [^\n]*small\.png is 2x2; give one of 4x6"),
        (lambda f: Inpaint(images=f("a")), r"task\.mask is missing"),
        (lambda f: Inpaint(images=f("a"), mask=f("none")), r"there is no mask [^\n]*task\.mask=FILE\.png"),
        (lambda f: Inpaint(images=f("a"), mask=f("a"), jump=0), r"task\.jump=5"),
        (lambda f: ImageToImage(), r"task\.images names no images"),
        (lambda f: ImageToImage(images=f("none")), r"there is no image"),
        (lambda f: ImageToImage(images=f("a"), strength=0.0), r"task\.strength=0\.5"),
        (lambda f: ImageToImage(images=f("a"), strength=math.nan), r"task\.strength=0\.5"),
        (lambda f: Interpolate(images=[f("a")]), r"two files"),
        (lambda f: Interpolate(count=1), r"task\.count=8"),
    ],
)
def test_what_makes_no_image_is_refused_in_one_line(model, files, make, message):
    with pytest.raises(ValueError, match=rf"^[^\n]*{message}[^\n]*$"):
        make(lambda name: str(files / f"{name}.png")).open(model, DDIM(steps=3))


@pytest.mark.parametrize("sampler, way", [(Ancestral(steps=3), "sampler=ddim"), (DDIM(eta=1.0), r"sampler\.eta=0")])
def test_interpolation_takes_a_sampler_without_noise(model, sampler, way):
    with pytest.raises(ValueError, match=way):
        Interpolate().open(model, sampler)
