"""Chains as schedulers of diffusers, both ways: the tables of the library are those of this program, in float32."""

import json

import pytest
import torch

from diffusion import (
    Chain,
    ContinuousDiffusion,
    Cosine,
    Epsilon,
    Exploding,
    FixedLarge,
    FixedSmall,
    Flow,
    GaussianDiffusion,
    Hybrid,
    KarrasLogSNR,
    Learned,
    LearnedRange,
    Linear,
    Previous,
    ScaledLinear,
    Sigmoid,
    Simple,
    Start,
    Velocity,
    ZeroTerminal,
)
from diffusion.interchange.scheduler import diffusion_of, scheduler_config
from diffusion.process.process import MOST_STEPS

diffusers = pytest.importorskip("diffusers")


def a_diffusion(**changes):
    variance = changes.get("variance", FixedSmall())
    usual = dict(
        steps=1000, schedule=Linear(), prediction=Epsilon(), variance=variance,
        loss=Hybrid() if variance.outputs else Simple(),
    )  # fmt: skip
    return GaussianDiffusion(**usual | changes)


KINDS = {
    "linear": {},
    "linear, 4000 steps": {"steps": 4000},
    "scaled linear": {"schedule": ScaledLinear(), "prediction": Velocity()},
    "cosine": {"schedule": Cosine(), "variance": LearnedRange(), "steps": 4000},
    "another cosine": {"schedule": Cosine(offset=0.02), "variance": FixedLarge()},
    "sigmoid": {"schedule": Sigmoid(), "prediction": Start()},
    "pure noise": {"schedule": ZeroTerminal(of=Linear()), "prediction": Velocity(), "variance": FixedLarge()},
}


@pytest.mark.parametrize("name", KINDS)
def test_the_library_has_the_same_chain_and_so_has_what_is_read_back(name):
    ours = a_diffusion(**KINDS[name])
    config = json.loads(json.dumps(scheduler_config(ours)))
    theirs = diffusers.DDPMScheduler.from_config(config)
    # Their product of 1 - beta runs in float32: an error of 2^-24 a step, on numbers of at most 1.
    assert torch.allclose(theirs.alphas_cumprod.double(), ours.process.alpha_bar, rtol=0, atol=ours.steps * 2**-24)
    assert theirs.config.prediction_type == config["prediction_type"]
    again = diffusion_of(config, time_scale=1000 / ours.steps)
    assert torch.allclose(again.process.alpha_bar, ours.process.alpha_bar, rtol=1e-12, atol=0)
    assert torch.equal(again.process.times, ours.process.times)
    assert (type(again.prediction), type(again.variance)) == (type(ours.prediction), type(ours.variance))


@pytest.mark.parametrize(
    "config",
    [
        {"beta_schedule": "sigmoid"},
        {"beta_schedule": "linear", "rescale_betas_zero_snr": True, "prediction_type": "v_prediction"},
        {"trained_betas": [0.1, 0.2, 0.9], "num_train_timesteps": 3},
        {"beta_schedule": "scaled_linear", "beta_start": 0.00085, "beta_end": 0.012, "num_train_timesteps": 500},
    ],
)
def test_their_schedules_are_read(config):
    theirs = diffusers.DDPMScheduler(**config)
    ours = diffusion_of(json.loads(theirs.to_json_string()))
    assert torch.allclose(theirs.alphas_cumprod.double(), ours.process.alpha_bar, rtol=0, atol=ours.steps * 2**-24)


def test_the_network_is_told_the_steps_as_they_were():
    told = [
        diffusion_of({"_class_name": "DDPMScheduler", "num_train_timesteps": 4000}, time_scale=s) for s in (1, 0.25)
    ]
    assert [each.process.times[-1].item() for each in told] == [3999, 999.75]


CONTINUOUS = ContinuousDiffusion(
    schedule=KarrasLogSNR(), path=Exploding(), prediction=Velocity(), loss=Simple(), variance=FixedSmall()
)
REFUSED = {
    "continuous": (lambda: CONTINUOUS, "made of steps, and ContinuousDiffusion has none"),
    "flow": (lambda: a_diffusion(prediction=Flow()), "knows no Flow, only Epsilon, Velocity, Start"),
    "previous": (lambda: a_diffusion(prediction=Previous()), "knows no Previous"),
    "learned": (lambda: a_diffusion(variance=Learned()), "knows no Learned, only FixedSmall, FixedLarge, LearnedRange"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_a_process_that_has_no_counterpart_is_refused(name):
    build, said = REFUSED[name]
    with pytest.raises(ValueError, match=f"cannot be a DDPMScheduler of diffusers: .*{said}"):
        scheduler_config(build())


WRONG = {
    "_class_name": "FlowMatchEulerDiscreteScheduler", "prediction_type": "flow_prediction", "variance_type": "learned",
    "beta_schedule": ["linear"], "num_train_timesteps": 10**12, "beta_start": "0", "trained_betas": [0.1, "x"],
    "rescale_betas_zero_snr": "yes",
}  # fmt: skip


@pytest.mark.parametrize("key", WRONG)
def test_a_scheduler_of_another_kind_is_refused_by_its_setting(key):
    with pytest.raises(ValueError, match=key):
        diffusion_of({"_class_name": "DDPMScheduler", key: WRONG[key]})
    with pytest.raises(ValueError, match=r"time_scale=0.5 must be 1"):
        diffusion_of({"_class_name": "DDPMScheduler"}, time_scale=0.5)


def test_a_list_of_betas_belongs_to_its_steps():
    with pytest.raises(ValueError, match=r"2 betas are listed for 1000 steps; set diffusion\.steps"):
        diffusion_of({"_class_name": "DDPMScheduler", "trained_betas": [0.1, 0.2]})
    with pytest.raises(ValueError, match="a beta of nan"):
        diffusion_of({"_class_name": "DDPMScheduler", "trained_betas": [0.1, float("nan")], "num_train_timesteps": 2})
    assert isinstance(diffusion_of({"_class_name": "PNDMScheduler"}).process, Chain)


def test_the_longest_chain_is_read_back():
    assert diffusion_of(scheduler_config(a_diffusion(steps=MOST_STEPS))).steps == MOST_STEPS
