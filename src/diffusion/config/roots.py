"""The settings of each command: the dataclasses that conf/train.yaml and its like begin with."""

import dataclasses
from typing import Any

from omegaconf import MISSING

from diffusion.config.schema_source import Root


@dataclasses.dataclass
class TrainConfig(Root):
    """`python train.py`: what is trained, on what, how, and where it is kept."""

    model: Any = MISSING
    diffusion: Any = MISSING
    data: Any = MISSING
    conditions: Any = dataclasses.field(default_factory=dict)
    train: Any = MISSING
    sampler: Any = MISSING
    guidance: Any = MISSING
    logger: Any = MISSING
    init_from: str | None = None
    objective: str | None = None
    name: str = "${run_name:}"
    runs: str = "runs"
    seed: int = 0
    device: str = "auto"
    trust: list[str] = dataclasses.field(default_factory=list)


@dataclasses.dataclass
class ModelChoice(Root):
    """A trained model and its weights. An experiment describes the network of a file that holds weights alone.

    `trust` lists the packages, beside this program's, whose classes a checkpoint may name.
    """

    checkpoint: str = MISSING
    model: Any = None
    diffusion: Any = None
    data: Any = None
    conditions: Any = dataclasses.field(default_factory=dict)
    train: Any = None
    sampler: Any = None
    ema: float | str | None = None
    device: str = "auto"
    trust: list[str] = dataclasses.field(default_factory=list)


@dataclasses.dataclass
class ModelUse(ModelChoice):
    """The same, and how its network is called: compiled to fused kernels, in which number format."""

    compile: bool = False
    precision: str = "float32"


@dataclasses.dataclass
class SampleConfig(ModelUse):
    """`python sample.py checkpoint=runs/NAME`: which images to draw from a trained model."""

    task: Any = MISSING
    sampler: Any = MISSING
    num_images: int = 64
    batch_size: int = 64
    seed: int = 0
    labels: Any = None
    low_res: str | None = None
    guidance: Any = MISSING
    out: str | None = None
    film: str | None = None


@dataclasses.dataclass
class EvaluateConfig(ModelUse):
    """`python evaluate.py checkpoint=runs/NAME`: how good a trained model is."""

    evaluation: Any = MISSING
    guidance: Any = MISSING
    batch_size: int = 64
    seed: int = 0
    out: str | None = None


@dataclasses.dataclass
class ExportConfig(ModelChoice):
    """`python export.py checkpoint=runs/NAME out=model.pt`: a trained model for the original's code, or diffusers."""

    out: str = MISSING
    format: str = "released"
    overwrite: bool = False
