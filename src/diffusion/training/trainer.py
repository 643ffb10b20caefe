"""What a training run consists of, and the settings by which it is trained: the optimizer, its rate, and the rest."""

import copy
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from operator import attrgetter
from pathlib import Path
from typing import Any

import torch
from torch import nn

from diffusion.compute.compilation import compile_network
from diffusion.compute.distributed import world_size
from diffusion.compute.precision import check_precision
from diffusion.data.conditions import BY_LABEL, Conditions, blanks
from diffusion.data.images import Images
from diffusion.denoiser.diffusion import Diffusion
from diffusion.denoiser.guidance import Guidance
from diffusion.inference.trained import Trained
from diffusion.losses.schedule_samplers import ScheduleSampler
from diffusion.runs.snapshots import exponent
from diffusion.samplers.sampler import Sampler
from diffusion.tracking.loggers import Logger
from diffusion.training.ema import EMA
from diffusion.training.learner import Learner
from diffusion.training.parallel import KINDS
from diffusion.training.preview import Preview


@dataclass
class Run:
    """What is trained, on what, and where it is kept. `config` is plain values, as a checkpoint stores it.

    `conditions` are what the network is told of the images; `subject` is a trained model beside the images to measure
    it on; `objective` the name of the number that counts.
    """

    folder: Path
    seed: int
    device: torch.device
    model: nn.Module
    diffusion: Diffusion
    images: Images
    sampler: Sampler
    logger: Logger
    config: dict[str, Any]
    subject: Callable[[Trained], Any] | None = None
    guidance: Guidance = field(default_factory=Guidance)
    objective: str | None = None
    conditions: Conditions = field(default_factory=lambda: BY_LABEL)

    def trained(self, network: nn.Module, *, step: int = 0, weights: str = "raw") -> Trained:
        """What is trained here, with a network of these weights after so many steps."""
        return Trained(
            network=network, diffusion=self.diffusion, shape=self.images.shape, classes=self.config["classes"],
            config=self.config, step=step, weights=weights, device=self.device, guidance=self.guidance,
            conditions=self.conditions,
        )  # fmt: skip

    @property
    def checkpoints(self) -> Path:
        return self.folder / "checkpoints"


def rate_factor(step: int, *, warmup_steps: int, anneal_steps: int | None, decay_steps: int | None = None) -> float:
    """What the learning rate is multiplied by at `step` = 0, 1, ...

    It rises linearly to 1 over `warmup_steps`, and falls linearly so that it would be 0 at `anneal_steps`, or from
    `decay_steps` on as one over the root of the steps (Karras et al. 2024, eq. 67).
    """
    rise = min(1.0, (step + 1) / (warmup_steps + 1))
    fall = 1.0 if anneal_steps is None else max(0.0, 1 - step / anneal_steps)
    return rise * fall * (1.0 if decay_steps is None else max((step + 1) / decay_steps, 1.0) ** -0.5)


POSITIVE = (
    "batch_size", "microbatch", "log_every", "save_every", "keep", "max_steps", "anneal_steps", "keep_every",
    "preview.images", "decay_steps", "snapshot_every",
)  # fmt: skip
LEAST = dict.fromkeys(("warmup_steps", "evaluate_every", "preview.every"), 0) | dict.fromkeys(POSITIVE, 1)


@dataclass(kw_only=True)
class Trainer:
    """Trains to `max_steps`, logs every `log_every` and saves every `save_every` steps, at the end and on Ctrl-C.

    `batch_size` is the number of images in a step, shared by all processes; each passes its part through the network
    `microbatch` at a time. `parallel` says how the network is spread over them: "ddp" or "fsdp". The learning rate
    warms up over `warmup_steps`, falls linearly to 0 at `anneal_steps`, and from `decay_steps` on as one over their
    root. The last `keep` checkpoints stay, and every one at a multiple of `keep_every`. The `evaluations` measure the
    averaged weights every `evaluate_every` steps (0: only at the end).

    Young averages of the weights forget where they began: with `ema_ramp` their half-life is at most that share of the
    steps done, with `ema_power` at most 1 - k^-power of them stays in update k. Averages of each relative width in
    `ema_widths` are kept every `snapshot_every` steps (None: `save_every`), so that `ema=0.08` can make that of any
    other width of them.

    A share `label_dropout` of the images comes without its label. `detect_anomaly` looks at the output of every layer
    and names the first that is not finite.
    """

    optimizer: Callable[[Iterable[nn.Parameter]], torch.optim.Optimizer]
    schedule_sampler: ScheduleSampler
    preview: Preview
    evaluations: dict[str, Any] | None = None
    batch_size: int = 128
    microbatch: int | None = None
    parallel: str = "ddp"
    max_steps: int | None = None
    warmup_steps: int = 0
    anneal_steps: int | None = None
    decay_steps: int | None = None
    clip_grad_norm: float | None = None
    ema_rates: tuple[float, ...] = (0.9999,)
    ema_ramp: float | None = None
    ema_power: float | None = None
    ema_widths: tuple[float, ...] = ()
    snapshot_every: int | None = None
    label_dropout: float = 0.0
    precision: str = "float32"
    compile: bool | None = None
    detect_anomaly: bool = False
    log_every: int = 10
    evaluate_every: int = 0
    save_every: int = 10_000
    keep: int = 2
    keep_every: int | None = None

    def __post_init__(self) -> None:
        self.ema_rates, self.ema_widths = tuple(self.ema_rates), tuple(self.ema_widths)
        self._check_averages()
        if self.compile and self.detect_anomaly:
            raise ValueError(
                "train.detect_anomaly looks into layers, which compiled ones hide; leave train.compile out"
            )
        check_precision(self.precision, setting="train.precision")
        self._check_parallel()
        for name, least in LEAST.items():
            value = attrgetter(name)(self)
            if value is not None and value < least:
                raise ValueError(f"train.{name}={value} must be {'at least 1' if least else '0 or more'}")
        if not 0 <= self.label_dropout < 1:
            raise ValueError(f"train.label_dropout={self.label_dropout} must lie in [0, 1); set it to 0.1")
        if self.clip_grad_norm is not None and self.clip_grad_norm <= 0:
            raise ValueError(f"train.clip_grad_norm={self.clip_grad_norm} must be above 0; null never clips")
        if self.anneal_steps is not None and (self.max_steps is None or self.max_steps > self.anneal_steps):
            raise ValueError(
                f"train.anneal_steps={self.anneal_steps} lets the rate fall to 0 before train.max_steps="
                f"{'null' if self.max_steps is None else self.max_steps}; set train.max_steps={self.anneal_steps}, "
                "or train.anneal_steps=null for a constant rate"
            )
        if self.evaluate_every and not self.evaluations:
            raise ValueError("train.evaluate_every has nothing to measure; add 'train/evaluations=[likelihood]'")
        if self.detect_anomaly and self.precision == "fp16":
            raise ValueError("train.detect_anomaly would stop at each overflow of fp16; set train.precision=float32")
        share = self.batch_size // world_size()
        if self.microbatch is not None and share % self.microbatch:
            whose = f"train.batch_size={self.batch_size}" if world_size() == 1 else f"{share} images a process"
            raise ValueError(
                f"{whose} is not a multiple of train.microbatch={self.microbatch}; "
                f"choose one that divides it, such as train.microbatch={max(1, share // 4)}"
            )

    def _check_averages(self) -> None:
        """Raise ValueError for averages of the weights that are none, or are asked for twice."""
        for name in ("ema_rates", "ema_widths"):
            if len({*getattr(self, name)}) < len(getattr(self, name)):
                raise ValueError(f"train.{name}={list(getattr(self, name))} names one average twice; leave one out")
        for width in self.ema_widths:
            exponent(width)
        if self.snapshot_every is not None and not self.ema_widths:
            raise ValueError(
                "train.snapshot_every keeps the averages of train.ema_widths, and there are none; "
                "set 'train.ema_widths=[0.05,0.1]'"
            )
        for rate in self.ema_rates:
            if not 0 <= rate < 1:
                raise ValueError(f"an EMA rate lies in [0, 1), got {rate}; set train.ema_rates=[0.9999]")
        for name in ("ema_ramp", "ema_power"):
            if (value := getattr(self, name)) is not None and not value > 0:
                raise ValueError(f"train.{name}={value} must be above 0; set train.{name}=0.1, or null")

    def _check_parallel(self) -> None:
        """Raise ValueError if a network cannot be spread over processes and trained so."""
        if self.parallel not in KINDS:
            raise ValueError(f"train.parallel={self.parallel} is none of {', '.join(KINDS)}")
        if self.parallel == "fsdp" and self.precision == "fp16":
            raise ValueError("train.parallel=fsdp knows no fp16 loss scale; set train.precision=bf16")
        kind = getattr(self.optimizer, "func", self.optimizer)
        if self.parallel == "fsdp" and getattr(kind, "needs_whole_weights", False):
            raise ValueError(
                f"train.parallel=fsdp cuts the weights that {kind.__name__} needs whole; "
                "set train/optimizer=adamw train.optimizer.lr=1e-3"
            )

    def learner(self, run: Run) -> Learner:
        spread = KINDS[self.parallel](run.model, run.device)
        # What looks into the layers cannot look into what they were compiled to.
        wanted = False if self.detect_anomaly else self.compile
        spread.network = compile_network(spread.network, run.device, wanted, setting="train.compile")
        diffusion, beside = with_own_weighting(run.diffusion, run.device)
        for module in spread.model.modules():
            if isinstance(module, nn.Embedding):
                module.weight.is_table = True  # type: ignore[attr-defined]  # of rows: no matrix to an optimizer
        optimizer = self.optimizer(spread.model.parameters())
        if weights := list(beside.parameters()):
            optimizer.add_param_group({"params": weights, "weight_decay": 0.0})
        return Learner(
            spread,
            diffusion,
            optimizer=optimizer,
            beside=beside,
            conditions=run.conditions,
            blank=blanks(run.conditions, run.config["classes"]) if self.label_dropout else {},
            label_dropout=self.label_dropout,
            schedule_sampler=copy.deepcopy(self.schedule_sampler),
            ema=EMA(spread.model, self.ema_rates, ramp=self.ema_ramp, power=self.ema_power, widths=self.ema_widths),
            precision=self.precision,
            seed=run.seed,
            microbatch=self.microbatch,
            clip_grad_norm=self.clip_grad_norm,
        )


def with_own_weighting(diffusion: Diffusion, device: torch.device) -> tuple[Diffusion, nn.Module]:
    """The diffusion with a copy of a weighting that learns, so that another run begins with none of it; and that copy.

    An empty module stands for other weightings.
    """
    if not isinstance(diffusion.weighting, nn.Module):
        return diffusion, nn.Module()
    own = copy.copy(diffusion)
    own.weighting = beside = copy.deepcopy(diffusion.weighting).to(device)
    return own, beside
