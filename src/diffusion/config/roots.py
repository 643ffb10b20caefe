"""The typed configuration: schemas read off constructors, the roots, and the command line around them."""

from __future__ import annotations

import dataclasses
import inspect
import typing
from collections.abc import Callable
from typing import Any

from hydra.core.config_store import ConfigStore
from hydra.core.hydra_config import HydraConfig
from hydra.types import RunMode
from omegaconf import MISSING, OmegaConf
from omegaconf.errors import OmegaConfBaseException

import diffusion
import unet
from diffusion.config import data_choice
from diffusion.data import conditions, digits, folder, synthetic, torchvision_images
from diffusion.evaluation import features, inception, likelihood, memorisation, quality, recognition
from diffusion.runs import naming
from diffusion.tracking.logger import WandbLogger
from diffusion.training.optimizer import adamw
from diffusion.training.preview import Preview
from diffusion.training.trainer import Trainer

GROUPS: dict[str, dict[str, type]] = {
    "diffusion/schedule": {"linear": diffusion.Linear, "cosine": diffusion.Cosine},
    "diffusion/prediction": {
        "epsilon": diffusion.Epsilon,
        "start": diffusion.Start,
        "velocity": diffusion.Velocity,
        "previous": diffusion.Previous,
    },
    "diffusion/variance": {
        "fixed_small": diffusion.FixedSmall,
        "fixed_large": diffusion.FixedLarge,
        "learned": diffusion.Learned,
        "learned_range": diffusion.LearnedRange,
    },
    "diffusion/loss": {
        "simple": diffusion.Simple,
        "hybrid": diffusion.Hybrid,
        "vlb": diffusion.VLB,
        "classification": diffusion.Classification,
    },
    "evaluation/features": {
        "pixels": features.Pixels,
        "recogniser": features.Recogniser,
        "inception": inception.Inception,
    },
}


@dataclasses.dataclass
class TrainConfig:
    """`python train.py`: what is trained, on what, how, and where it is kept."""

    model: Any = MISSING
    diffusion: Any = MISSING
    data: Any = MISSING
    conditions: Any = dataclasses.field(default_factory=dict)
    train: Any = MISSING
    sampler: Any = MISSING
    logger: Any = MISSING
    init_from: str | None = None
    objective: str | None = None
    name: str = "${run_name:}"
    runs: str = "runs"
    seed: int = 0
    device: str = "auto"


@dataclasses.dataclass
class ModelChoice:
    """A trained model and its weights. An experiment describes the network of a file that holds weights alone."""

    checkpoint: str = MISSING
    model: Any = None
    diffusion: Any = None
    data: Any = None
    conditions: Any = dataclasses.field(default_factory=dict)
    train: Any = None
    ema: float | str | None = None
    device: str = "auto"


@dataclasses.dataclass
class ModelUse(ModelChoice):
    """The same, and how its network is called: compiled to fused kernels, in which number format."""

    compile: bool = False
    precision: str = "float32"


@dataclasses.dataclass
class GuidanceConfig:
    """The classifier that steers what is drawn, a checkpoint or run folder, and how strongly; none: no guidance."""

    classifier: str | None = None
    scale: float = 1.0


@dataclasses.dataclass
class SampleConfig(ModelUse):
    """`python sample.py checkpoint=runs/NAME`: which images to draw from a trained model."""

    sampler: Any = MISSING
    num_images: int = 64
    batch_size: int = 64
    seed: int = 0
    labels: Any = None
    low_res: str | None = None
    guidance: GuidanceConfig = dataclasses.field(default_factory=GuidanceConfig)
    out: str | None = None


@dataclasses.dataclass
class EvaluateConfig(ModelUse):
    """`python evaluate.py checkpoint=runs/NAME`: how good a trained model is."""

    evaluation: Any = MISSING
    sampler: Any = None
    batch_size: int = 64
    seed: int = 0
    out: str | None = None


@dataclasses.dataclass
class ExportConfig(ModelChoice):
    """`python export.py checkpoint=runs/NAME out=model.pt`: a trained model's weights for the original's code."""

    out: str = MISSING
    overwrite: bool = False


def schema(target: Callable[..., Any], **given: Any) -> type:
    """A dataclass with the constructor's arguments, their types and defaults; `given` replaces defaults.

    What has no default is `???` until the command line, a file or `build` fills it.
    """
    hints = typing.get_type_hints(target.__init__ if inspect.isclass(target) else target)
    fields: list[tuple[str, Any, Any]] = [("_target_", str, f"{target.__module__}.{target.__qualname__}")]
    for name, parameter in inspect.signature(target).parameters.items():
        if parameter.kind is not parameter.KEYWORD_ONLY:
            continue
        default = MISSING if parameter.default is parameter.empty else parameter.default
        fields.append((name, holdable(hints[name]), field(given.get(name, default))))
    fields += [(name, type(value), field(value)) for name, value in given.items() if name.startswith("_")]
    return dataclasses.make_dataclass(target.__name__, fields)


def field(default: Any) -> Any:
    return dataclasses.field(default_factory=lambda: list(default)) if isinstance(default, tuple) else default


def holdable(hint: Any) -> Any:
    """The hint if a configuration can check it, else Any: objects are checked by their own schemas."""
    if inspect.isclass(hint) and not typing.get_origin(hint) and hint not in (int, float, bool, str):
        return Any
    try:
        OmegaConf.structured(dataclasses.make_dataclass("Probe", [("value", hint, MISSING)]))
    except (OmegaConfBaseException, ValueError, TypeError):
        return Any
    return hint


def register(sweep: str = "sweep") -> None:
    """Tell Hydra every schema, every class that is an option by itself, and the names of a run and of its `sweep`."""
    store = ConfigStore.instance().store
    roots = {"train": TrainConfig, "sample": SampleConfig, "evaluate": EvaluateConfig, "export": ExportConfig}
    for name, root in roots.items():
        store(name=f"{name}_schema", node=root)
    for group, options in GROUPS.items():
        for name, target in options.items():
            store(group=group, name=name, node=schema(target))

    facts = {"num_classes": MISSING}
    for target in (unet.UNet, unet.SuperResolutionUNet):
        store(group="schema", name=target.__name__, node=schema(target, **facts))
    for target in (unet.Classifier, diffusion.GaussianDiffusion, Trainer, Preview, WandbLogger):
        store(group="schema", name=target.__name__, node=schema(target))
    for target in (
        digits.Digits,
        torchvision_images.TorchvisionImages,
        folder.ImageFolder,
        synthetic.Synthetic,
        conditions.Label,
        conditions.SmallImage,
    ):
        store(group="schema", name=target.__name__, node=schema(target))
    for target in (diffusion.Ancestral, diffusion.DDIM):
        store(group="schema", name=target.__name__, node=schema(target))
    measures = (likelihood.Likelihood, recognition.Recognition, quality.Quality, memorisation.Memorisation)
    for target in measures:
        store(group="schema", name=target.__name__, node=schema(target))

    store(group="train/optimizer", name="adamw", node=schema(adamw, _partial_=True))
    for name, target in (("uniform", diffusion.Uniform), ("loss_second_moment", diffusion.LossSecondMoment)):
        store(group="train/schedule_sampler", name=name, node=schema(target))

    def run_name(*, _root_: Any) -> str:
        return naming.run_name(HydraConfig.get().overrides.task, incidental(_root_))

    def sweep_group() -> str | None:
        return sweep if HydraConfig.get().mode == RunMode.MULTIRUN else None

    OmegaConf.register_new_resolver("run_name", run_name, replace=True)
    OmegaConf.register_new_resolver("sweep_name", lambda: sweep, replace=True)
    OmegaConf.register_new_resolver("sweep_group", sweep_group, replace=True)


def incidental(config: Any) -> tuple[str, ...]:
    """The settings of the data that make no other experiment; the usual ones while no set can be told."""
    try:
        return data_choice.incidental({"_target_": config.data._target_})
    except (ValueError, AttributeError, OmegaConfBaseException):
        return data_choice.USUAL  # what is wrong with the data is said when they are built


def known_keys() -> set[str]:
    """The name of every setting in any schema: what a mistyped one may have meant."""
    store = ConfigStore.instance().repo
    return {name for node in nodes(store) if OmegaConf.is_dict(node) for name in node if not name.startswith("_")}


def nodes(store: Any) -> list[Any]:
    """Every node of a store that is a tree of groups."""
    return [n for child in store.values() for n in (nodes(child) if isinstance(child, dict) else [child.node])]
