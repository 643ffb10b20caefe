"""What is unknown of an image, given what is known."""

import pytest
import torch
from modern_cases import assert_modern, denoise_of, model_of, modern, tensors
from toy_drawing import CHAIN, correlated, drawing

from diffusion import (
    DDIM,
    Chain,
    DPMSolver,
    Epsilon,
    EvenSpacing,
    FixedSmall,
    Heun,
    Inpaint,
    KarrasSpacing,
    LeadingSpacing,
    Replacement,
    UniPC,
    draw,
    trajectory,
)
from diffusion.denoiser.denoiser import Denoiser
from diffusion.process.level import Move
from diffusion.tasks.inpaint import diffused, repaint, resampling
from diffusion.tasks.known_pixels import KnownPixels

RHO, KNOWN = 0.9, 1.5
PAIR = correlated(torch.tensor([[1, RHO], [RHO, 1]], dtype=torch.float64))
IMAGE, LEFT = torch.tensor([KNOWN, 0.0]).view(1, 1, 1, 2), torch.tensor([[1, 0]])


@pytest.mark.parametrize("case, inputs, expected", modern(24, "repaint"))
def test_repaint_of_diffusers(case, inputs, expected):
    args, inputs = case["args"], tensors(inputs)
    chain = Chain(torch.linspace(args["beta_start"], args["beta_end"], args["T"], dtype=torch.float64))
    sampler = DDIM(steps=args["n"], spacing=LeadingSpacing(), eta=args["eta"])
    levels = sampler.levels(chain)
    left = resampling(args["n"], args["jump_length"], args["jump_n_sample"])
    assert [entry * (args["T"] // args["n"]) for entry in left[1:]] == expected["timesteps"].tolist()
    denoise = denoise_of(model_of(inputs), Denoiser(lambda *_: None, Epsilon(), FixedSmall()), args["T"])
    noise, known = iter(inputs["noise"]), KnownPixels(inputs["image"], inputs["mask"] > 0)
    path = [levels[args["n"] - each] for each in left]
    steps = repaint(sampler, denoise, path, inputs["x_init"], lambda: next(noise), known)
    assert_modern(case, "trajectory", torch.stack([inputs["x_init"], *(s.x for s in steps)]), expected["trajectory"])


@pytest.mark.parametrize("steps, length, times", [(5, 2, 1), (10, 2, 2), (50, 10, 10), (7, 3, 4), (6, 5, 3)])
def test_the_way_is_the_published_list_of_times(steps, length, times):
    jumps = {turn: times - 1 for turn in range(0, steps - length, length)}
    left, way = steps, [steps]
    while left >= 1:
        left -= 1
        way.append(left)
        if jumps.get(left, 0) > 0:
            jumps[left] -= 1
            for _ in range(length):
                left += 1
                way.append(left)
    assert resampling(steps, length, times) == way


def test_a_jump_is_the_single_steps_of_the_chain_between_its_ends():
    low, high = 300, 340
    x, z = torch.tensor([2.0], dtype=torch.float64), torch.zeros(1, dtype=torch.float64)
    scale, variance = torch.ones(1, dtype=torch.float64), torch.zeros(1, dtype=torch.float64)
    for t in range(low + 1, high + 1):
        move = CHAIN.move(torch.tensor([t]))
        x = diffused(move, x, z)
        scale, variance = scale * (1 - move.upper).sqrt(), variance * (1 - move.upper) + move.upper
    whole = Move(CHAIN.level(torch.tensor([high])), CHAIN.level(torch.tensor([low])))
    assert torch.allclose(diffused(whole, 2 * torch.ones_like(x), z), x, rtol=1e-12, atol=0)
    assert torch.allclose(x, 2 * scale, rtol=1e-12, atol=0)
    assert torch.allclose(whole.upper, variance, rtol=1e-12, atol=0)


def unknown(task, sampler, count=4000):
    x = draw(task.steps(drawing(sampler, range(count), (1, 1, 2), PAIR, alike=True)))
    assert torch.equal(x[:, 0, 0, 0], torch.full((count,), KNOWN, dtype=torch.float64))
    return x[:, 0, 0, 1].mean().item(), x[:, 0, 0, 1].var().item()


def test_jumps_lead_to_the_conditional_distribution_of_which_replacement_falls_short():
    """Exactly N(rho k, 1 - rho^2). Without jumps the unknown pixel follows the known one too little: its mean is too
    near to its own, and its variance too large."""
    sampler = DDIM(steps=50, eta=1.0)
    masked = {"images": IMAGE, "mask": LEFT}
    mean, variance = RHO * KNOWN, 1 - RHO**2
    found = [unknown(Replacement(**masked), sampler)]
    found += [unknown(Inpaint(**masked, jump_n_sample=n), sampler) for n in (1, 3, 10)]
    errors = [mean - each for each, _ in found]
    assert errors[0] > 0.35 and errors[1] > 0.35  # 0.44 in both
    assert errors[1] > errors[2] + 0.1 and errors[2] > errors[3] + 0.03 and abs(errors[3]) < 0.1
    assert found[0][1] > 1.5 * variance and found[1][1] > 1.3 * variance
    assert found[3][1] == pytest.approx(variance, rel=0.1)


SAMPLERS = [
    DDIM(steps=20),
    DDIM(steps=20, eta=0.5),
    DPMSolver(steps=20),
    DPMSolver(steps=20, order=3, spacing=EvenSpacing()),
    UniPC(steps=20, order=3),
    Heun(steps=20, spacing=KarrasSpacing()),
    Heun(steps=20, spacing=KarrasSpacing(), churn=10),
]
SHAPE = (1, 2, 2)
FOUR = correlated(0.2 * torch.eye(4, dtype=torch.float64) + 0.3)
GIVEN = torch.tensor([[0.5, -0.25], [1, -1]]).repeat(2, 1, 1, 1)


@pytest.mark.parametrize("sampler", SAMPLERS, ids=lambda s: f"{type(s).__name__}")
@pytest.mark.parametrize("kind", [Inpaint, Replacement])
def test_all_known_is_the_image_and_nothing_known_is_plain_drawing_to_the_bit(kind, sampler):
    options = {"jump_n_sample": 1} if kind is Inpaint else {}
    ask = drawing(sampler, range(3), SHAPE, FOUR)
    everything = kind(images=GIVEN, mask=torch.ones(2, 2), **options)
    assert torch.equal(draw(everything.steps(ask)), GIVEN[[0, 1, 0]].double())
    nothing = kind(images=GIVEN, mask=torch.zeros(2, 2), **options)
    plain = draw(trajectory(sampler, ask.process, ask.denoise_of(range(3)), ask.noise_of(range(3))))
    assert torch.equal(draw(nothing.steps(ask)), plain)


@pytest.mark.parametrize("sampler", SAMPLERS, ids=lambda s: f"{type(s).__name__}")
def test_a_sampler_is_told_the_known_pixels_with_the_noise_of_each_level_it_asks_at(sampler):
    mask, drawn, asked = torch.tensor([[1, 0], [0, 1]]) > 0, [], []
    ask = drawing(sampler, range(2), SHAPE, FOUR)

    def noise():
        drawn.append(own())
        return drawn[-1]

    def listening(x, level):
        asked.append((x, level))
        return FOUR(x, level)

    own, levels = ask.noise_of(range(2)), sampler.levels(CHAIN)
    known = KnownPixels(GIVEN.double(), mask)
    last = draw(repaint(sampler, listening, [*levels[:-1], *levels[-6:]], noise(), noise, known))
    assert torch.equal(last[..., mask], GIVEN.double()[..., mask])
    noises = torch.stack(drawn)[:, :, :, mask]
    found = 0
    for x, level in asked:
        eps = level.eps(x, GIVEN.double())[..., mask]
        found += bool((noises - eps).abs().amax((1, 2, 3)).min() < 1e-9 * (1 + 1 / level.sigma.item()))
    own_calls = 2 if isinstance(sampler, Heun) else 1  # as often it asks at the beginning of a way, where x is its own
    assert len(asked) - 2 * own_calls <= found < len(asked)


def test_each_image_has_its_own_mask_in_turn():
    masks = torch.tensor([[[[1, 1], [0, 0]]], [[[0, 0], [1, 1]]]])
    for task in (Inpaint(images=GIVEN, mask=masks, versions=2, jump_n_sample=2, jump_length=3), Replacement(
        images=GIVEN, mask=masks, versions=2)):  # fmt: skip
        x = draw(task.steps(drawing(DDIM(steps=10, eta=1.0), range(4), SHAPE, FOUR)))
        for number, row in [(0, 0), (1, 1), (2, 0), (3, 1)]:
            assert torch.equal(x[number, 0, row], GIVEN[0, 0, row].double())
            assert not torch.equal(x[number, 0, 1 - row], GIVEN[0, 0, 1 - row].double())
        assert not torch.equal(x[0], x[2])


def test_what_cannot_be_is_refused_in_one_line():
    with pytest.raises(ValueError, match=r"task\.mask=.* are 1x3x3, and the model draws 1x2x2"):
        Inpaint(images=GIVEN, mask=torch.ones(3, 3)).check(DDIM(steps=50), CHAIN, SHAPE)
    with pytest.raises(ValueError, match=r"jumps of 10 steps do not fit into a walk of 10; set task.jump_length=2"):
        Inpaint(images=GIVEN, mask=torch.ones(2, 2)).check(DDIM(steps=10), CHAIN, SHAPE)
    with pytest.raises(ValueError, match=r"jump_n_sample=0 must be at least 1; set task.jump_n_sample=1"):
        Inpaint(images=GIVEN, mask=torch.ones(2, 2), jump_n_sample=0)
