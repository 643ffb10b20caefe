"""A chain, and what its network predicts, as the configuration of a scheduler of diffusers, and back."""

from collections.abc import Callable, Mapping
from typing import Any

import torch

from diffusion.denoiser.diffusion import Diffusion, GaussianDiffusion
from diffusion.denoiser.predictions import Epsilon, Prediction, Start, Velocity
from diffusion.denoiser.variances import FixedLarge, FixedSmall, LearnedRange, Variance
from diffusion.losses.losses import Hybrid, Simple
from diffusion.process.process import MOST_STEPS
from diffusion.process.schedules import Cosine, Linear, ListedBetas, ScaledLinear, Schedule, ZeroTerminal

Config = Mapping[str, Any]

PREDICTIONS: dict[str, Callable[[], Prediction]] = {"epsilon": Epsilon, "v_prediction": Velocity, "sample": Start}
VARIANCES: dict[str, Callable[[], Variance]] = {
    "fixed_small": FixedSmall, "fixed_large": FixedLarge, "learned_range": LearnedRange
}  # fmt: skip
BETWEEN: dict[str, Callable[..., Schedule]] = {
    "linear": Linear,
    "scaled_linear": ScaledLinear,
}  # two betas; ours are those of 1000 steps
COSINE = "squaredcos_cap_v2"
GEODIFF = "sigmoid"  # beta is a sigmoid, not alpha_bar (Xu et al. 2022)
# What these have in common says how a network was trained; which of them draws is left to the sampler.
SCHEDULERS = (
    "DDPMScheduler", "DDIMScheduler", "PNDMScheduler", "DPMSolverMultistepScheduler", "UniPCMultistepScheduler",
)  # fmt: skip
DEFAULTS: dict[str, Any] = {
    "num_train_timesteps": 1000,
    "beta_schedule": "linear",
    "beta_start": 0.0001,
    "beta_end": 0.02,
    "trained_betas": None,
    "rescale_betas_zero_snr": False,
    "prediction_type": "epsilon",
    "variance_type": "fixed_small",
}


def scheduler_config(diffusion: Diffusion) -> dict[str, Any]:
    """The configuration of the DDPMScheduler that draws as `Ancestral` does; ValueError says why there is none.

    A schedule that it does not know by name becomes a list of betas.
    """
    if not isinstance(diffusion, GaussianDiffusion):
        raise no_scheduler(f"it is made of steps, and {type(diffusion).__name__} has none")
    return {
        "_class_name": "DDPMScheduler",
        **DEFAULTS,
        "num_train_timesteps": diffusion.steps,
        **betas_config(diffusion.schedule, diffusion.steps),
        "prediction_type": name_of(diffusion.prediction, PREDICTIONS),
        "variance_type": name_of(diffusion.variance, VARIANCES),
        "clip_sample": True,
        "timestep_spacing": "linspace",
    }


def betas_config(schedule: Schedule, steps: int) -> dict[str, Any]:
    """What names the betas of so many steps, or lists them."""
    if isinstance(schedule, Linear | ScaledLinear) and type(schedule) in BETWEEN.values():
        scale = 1000 / steps
        start, end = schedule.start * scale, schedule.end * scale
        return {"beta_schedule": name_of(schedule, BETWEEN), "beta_start": start, "beta_end": end}
    if type(schedule) is Cosine and vars(schedule) == vars(Cosine()):
        return {"beta_schedule": COSINE}
    return {"trained_betas": schedule.betas(steps).tolist()}


def name_of(choice: object, names: Mapping[str, Callable[..., object]]) -> str:
    """The name of the class of `choice`; ValueError for one that has none there."""
    found = [name for name, kind in names.items() if type(choice) is kind]
    if not found:
        known = ", ".join(kind.__name__ for kind in names.values() if isinstance(kind, type))
        raise no_scheduler(f"it knows no {type(choice).__name__}, only {known}")
    return found[0]


def no_scheduler(why: str) -> ValueError:
    return ValueError(f"this process cannot be a DDPMScheduler of diffusers: {why}; out=model.pt keeps the weights")


def diffusion_of(config: Config, *, time_scale: float = 1.0) -> GaussianDiffusion:
    """What a network was trained on that a scheduler of this configuration draws from, told t times `time_scale`.

    ValueError for a scheduler of another kind, or a value that none of this program has. The loss is what such a
    network is commonly trained on.
    """
    given = {**DEFAULTS, **{key: config[key] for key in DEFAULTS if config.get(key) is not None}}
    check_kind(config, given)
    steps = given["num_train_timesteps"]
    if time_scale not in (1, 1000 / steps):
        raise ValueError(f"time_scale={time_scale!r:.60} must be 1 or {1000 / steps:g}")
    variance = VARIANCES[given["variance_type"]]()
    return GaussianDiffusion(
        steps=steps, schedule=schedule_of(given), prediction=PREDICTIONS[given["prediction_type"]](), variance=variance,
        loss=Hybrid() if variance.outputs else Simple(), rescale_times=time_scale == 1000 / steps,
    )  # fmt: skip


def check_kind(config: Config, given: Config) -> None:
    """Raise ValueError unless the scheduler is of a known kind, and its values are of theirs."""
    if config.get("_class_name") not in SCHEDULERS:
        raise ValueError(f"_class_name={config.get('_class_name')!r:.60} is none of {', '.join(SCHEDULERS)}")
    for key, known in (
        ("prediction_type", list(PREDICTIONS)),
        ("variance_type", list(VARIANCES)),
        ("beta_schedule", [*BETWEEN, COSINE, GEODIFF]),
        ("rescale_betas_zero_snr", [True, False]),
    ):
        if given[key] not in known:
            raise ValueError(f"{key}={given[key]!r:.60} is none of {', '.join(map(str, known))}")
    steps, betas = given["num_train_timesteps"], given["trained_betas"]
    if type(steps) is not int or not 2 <= steps <= MOST_STEPS:
        raise ValueError(f"num_train_timesteps={steps!r:.60} must be a number from 2 to {MOST_STEPS}")
    numbers = [given["beta_start"], given["beta_end"], *(betas if isinstance(betas, list) else [])]
    if not all(type(number) in (int, float) for number in numbers) or not isinstance(betas, list | None):
        raise ValueError("beta_start, beta_end and trained_betas must be numbers")


def schedule_of(given: Config) -> Schedule:
    """The schedule of a configuration that is whole."""
    steps, name, start, end = (given[key] for key in ("num_train_timesteps", "beta_schedule", "beta_start", "beta_end"))
    schedule: Schedule
    if given["trained_betas"] is not None:
        schedule = ListedBetas(values=given["trained_betas"])
    elif name in BETWEEN:
        schedule = BETWEEN[name](start=start * steps / 1000, end=end * steps / 1000)
    elif name == COSINE:
        schedule = Cosine()
    else:
        ramp = torch.linspace(-6, 6, steps, dtype=torch.float64).sigmoid()
        schedule = ListedBetas(values=torch.lerp(ramp.new_tensor(start), ramp.new_tensor(end), ramp).tolist())
    return ZeroTerminal(of=schedule) if given["rescale_betas_zero_snr"] else schedule
