"""Guided outputs and trajectories of diffusers, guided-diffusion and EDM2, and guidance against its definition."""

import pytest
import torch
from modern_cases import PREDICTIONS, assert_modern, chain_of, denoise_of, exact_x_0, model_of, modern, tensors

from diffusion import (
    DDIM,
    Chain,
    Continuum,
    Cosine,
    DPMSolver,
    Epsilon,
    EvenSpacing,
    Exploding,
    FixedSmall,
    Guidance,
    Heun,
    KarrasSpacing,
    LeadingSpacing,
    Previous,
    Start,
    TrailingSpacing,
    Velocity,
)
from diffusion.denoiser.denoiser import Denoised, Denoiser, clip, transformed
from diffusion.denoiser.guided_denoisers import away, beside, by_classifier, in_interval
from diffusion.process.level import as_factor
from diffusion.process.log_snr import EvenLogSNR

LEFT_OUT = {
    "the projection of one package": ["cfg_projected"],
    "an interval by the number of the step, which both calls of Heun's follow": ["guidance_interval_edm"],
}
SKIPPED = [case for cases in LEFT_OUT.values() for case in cases]


class ByLabel:
    """A network of two denoisers: class 0 is the conditional one, class 1 what stands for nothing."""

    def __init__(self, denoises, prediction):
        self.denoises, self.prediction, self.level, self.calls = denoises, prediction, None, 0

    def __call__(self, x, time, y):
        self.calls += 1
        parts = []
        for number, denoise in enumerate(self.denoises):
            mine = x[y == number]
            x_0 = denoise(mine, self.level).x_0
            parts.append(self.prediction.target(self.level, x_0, self.level.eps(mine, x_0)))
        output = torch.empty_like(x)
        for number, part in enumerate(parts):
            output[y == number] = part
        return output


def told_its_level(network, denoise):
    def listening(x, level):
        network.level = level
        return denoise(x, level)

    return listening


@pytest.mark.parametrize("case, inputs, expected", modern(24, "guided_trajectory"))
def test_guided_trajectories(case, inputs, expected):
    args, inputs = case["args"], tensors(inputs)
    prediction = PREDICTIONS[args["network_predicts"]]
    plain = Denoiser(lambda *_: None, prediction, FixedSmall())
    chain, ddim = chain_of(args), "ddim" in case["id"]
    spacings = {
        "linspace": EvenSpacing(skip_first=True),
        "leading": LeadingSpacing(skip_first=not ddim),
        "trailing": TrailingSpacing(),
    }
    options = {"steps": args["n"], "spacing": spacings[args["timestep_spacing"]]}
    sampler = DDIM(**options) if ddim else DPMSolver(**options)
    levels = sampler.levels(chain)
    own = denoise_of(model_of(inputs, "cond_model_"), plain)
    if "gain" in args:
        log_p = lambda x, level: -args["gain"] / 2 * ((x - inputs["classifier_mu"]) ** 2).flatten(1).sum(1)  # noqa: E731
        denoise = by_classifier(own, log_p, args["scale"])
    else:
        network = ByLabel((own, denoise_of(model_of(inputs, "uncond_model_"), plain)), prediction)
        denoiser = Denoiser(network, prediction, FixedSmall(), ("y",), {"y": torch.ones(1, dtype=torch.long)})
        interval = None
        if "interval_steps" in args:
            first, last = (levels[step].log_snr.item() for step in args["interval_steps"])
            interval = (first, last)
        guidance = Guidance(scale=args["scale"], interval=interval, rescale=args.get("rescale_phi", 0.0))
        labels = {"y": torch.zeros(len(inputs["x_init"]), dtype=torch.long)}
        denoise = told_its_level(network, guidance(denoiser, labels, None))
    outputs = []

    def listening(x, level):
        said = denoise(x, level)
        outputs.append(prediction.target(level, said.x_0, level.eps(x, said.x_0)))
        return said

    steps = list(sampler.walk(listening, levels, inputs["x_init"], None))
    if "gain" not in args:
        assert network.calls == len(steps)  # with the label and without it in one call
    assert [level.time.item() for level in levels[:-1]] == expected["timesteps"].tolist()
    assert_modern(case, "guided", torch.stack(outputs), expected["guided"])
    got = torch.stack([inputs["x_init"], *(step.x for step in steps)])
    assert_modern(case, "trajectory", got, expected["trajectory"])


@pytest.mark.parametrize("case, inputs, expected", modern(24, "cfg"))
def test_the_combination_of_outputs(case, inputs, expected):
    # Read as x_0 at some level, the outputs are combined as they are.
    args, inputs = case["args"], tensors(inputs)
    level, start = Chain(Cosine().betas(100)).level(torch.tensor([50])), Start()
    said = [lambda x, level, x_0=inputs[name]: Denoised(x_0, None) for name in ("conditional", "unconditional")]
    x = torch.zeros_like(inputs["conditional"])
    for name, rescale in (("guided", 0.0), ("rescaled", args["rescale_phi"])):
        got = away(beside(*said), args["scale"], start, rescale)(x, level).x_0
        assert_modern(case, name, got, expected[name])


@pytest.mark.parametrize("case, inputs, expected", modern(24, "openai_guided_ddim"))
def test_classifier_guided_ddim_of_guided_diffusion(case, inputs, expected):
    args, inputs = case["args"], tensors(inputs)
    denoiser = Denoiser(lambda *_: None, Epsilon(), FixedSmall())
    denoise = denoise_of(model_of(inputs), denoiser, args["T"])
    denoise = transformed(denoise, clip) if args["clip"] else denoise
    log_p = lambda x, level: -args["gain"] / 2 * ((x - inputs["classifier_mu"]) ** 2).flatten(1).sum(1)  # noqa: E731
    sampler = DDIM(steps=args["keep"])
    levels = sampler.levels(chain_of(args))
    steps = list(sampler.walk(by_classifier(denoise, log_p), levels, inputs["x_init"], None))
    assert_modern(case, "x0_predictions", torch.stack([step.x_0 for step in steps]), expected["x0_predictions"])
    got = torch.stack([inputs["x_init"], *(step.x for step in steps)])
    assert_modern(case, "trajectory", got[-len(expected["trajectory"]) :], expected["trajectory"])


@pytest.mark.parametrize("case, inputs, expected", modern(24, "edm_guided", without=SKIPPED))
def test_guidance_by_a_weaker_model(case, inputs, expected):
    args, inputs = case["args"], tensors(inputs)
    own, weak = (exact_x_0(model_of(inputs, f"{name}_model_")) for name in ("good", "bad"))
    pair = beside(*(lambda x, level, exact=exact: Denoised(exact(x, level), None) for exact in (own, weak)))
    sampler = Heun(steps=args["num_steps"], spacing=KarrasSpacing(low=0.002, high=80.0))
    levels = sampler.levels(Continuum(EvenLogSNR(), Exploding(data_std=0.5)))
    asked = []

    def denoise(x, level):
        asked.append((x, level))
        return away(pair, args["guidance"], Velocity())(x, level)

    *_, end = sampler.walk(denoise, levels, inputs["latents"] * levels[0].sigma, None)
    assert_modern(case, "asked_x", torch.stack([x for x, _ in asked]), expected["asked_x"])
    assert_modern(case, "asked_sigma", [level.sigma.item() for _, level in asked], expected["asked_sigma"])
    assert_modern(case, "sample", end.x, expected["sample"])


def normal(mean, var):
    """The exact denoiser of N(mean, var)."""

    def denoise(x, level):
        alpha, spread = as_factor(level.alpha, x), as_factor(level.alpha**2 * var + level.sigma**2, x)
        return Denoised(mean + alpha * var / spread * (x - alpha * mean), None)

    return denoise


def test_guidance_is_the_score_of_the_tilted_density():
    # Of p(x | y)^w p(x)^(1 - w) at every level; where all variances are equal, also the denoiser of the tilted data.
    chain, w = Chain(Cosine().betas(100)), 2.5
    level, x = chain.level(torch.tensor([40])), torch.linspace(-3, 3, 7, dtype=torch.float64).view(-1, 1, 1, 1)
    guided = away(beside(normal(0.4, 0.09), normal(-0.1, 0.25)), w, Epsilon())(x, level).x_0
    alpha, sigma = level.alpha, level.sigma

    def score(mean, var):
        return -(x - alpha * mean) / (alpha**2 * var + sigma**2)

    tilted = w * score(0.4, 0.09) + (1 - w) * score(-0.1, 0.25)
    assert torch.allclose((x + sigma**2 * tilted) / alpha, guided, rtol=0, atol=1e-9)
    alike = away(beside(normal(0.4, 0.09), normal(-0.1, 0.09)), w, Epsilon())(x, level).x_0
    assert torch.allclose(alike, normal(-0.1 + w * 0.5, 0.09)(x, level).x_0, rtol=0, atol=1e-10)


def test_an_interval_guides_at_its_levels_alone_and_its_ends_are_inside():
    chain = Chain(Cosine().betas(10))
    level = chain.level(torch.tensor([4]))
    here, x = level.log_snr.item(), torch.zeros(1, 1, 1, 1)
    guided, plain = (lambda x, level, n=n: Denoised(torch.full_like(x, n), None) for n in (1.0, 0.0))
    for interval, inside in (((here, here + 1), 1), ((here - 1, here), 1), ((here + 0.01, here + 1), 0)):
        assert in_interval(interval, guided, plain)(x, level).x_0.item() == inside


def test_a_network_that_names_the_mean_itself_is_guided_in_its_mean():
    chain, prediction = Chain(Cosine().betas(20)), Previous()
    move, x = chain.move(torch.tensor([9])), torch.randn(3, 1, 2, 2, dtype=torch.float64)
    network = lambda x, time, y: x * (1 + y.view(-1, 1, 1, 1))  # noqa: E731
    denoiser = Denoiser(network, prediction, FixedSmall(), ("y",), {"y": torch.ones(1, dtype=torch.long)})
    labels = {"y": torch.zeros(3, dtype=torch.long)}
    mean = Guidance(scale=3.0)(denoiser, labels, clip)(x, move.here).reverse(move).mean
    assert torch.allclose(mean, 2 * x + 3.0 * (x - 2 * x), rtol=0, atol=1e-12)


@pytest.mark.parametrize(
    "settings, message",
    [
        ({"interval": (3.0, -3.0), "scale": 2.0}, r"guidance\.interval=\[-3,3\]"),
        ({"rescale": 1.5, "scale": 2.0}, r"guidance\.rescale=0\.7"),
        ({"interval": (-3.0, 3.0)}, r"guidance\.scale=2"),
        ({"classifier": object(), "model": object()}, r"leave guidance\.classifier or \.model out"),
    ],
)
def test_what_cannot_guide_is_refused_in_one_line(settings, message):
    with pytest.raises(ValueError, match=rf"^[^\n]*{message}[^\n]*$"):
        Guidance(**settings)


def test_what_guides_names_the_folder():
    assert Guidance(scale=2.0).name == "guided_2"
    assert Guidance(scale=2.0, interval=(-3.0, 2.5), rescale=0.7).name == "guided_2_interval_-3_2.5_rescale_0.7"
