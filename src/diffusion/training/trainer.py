"""What a training run consists of, and the settings by which it is trained."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import nn

from diffusion.compute import distributed, precision
from diffusion.compute.compilation import compile_network
from diffusion.compute.precision import Precision
from diffusion.data.conditions import BY_LABEL, Conditions
from diffusion.data.images import Images
from diffusion.denoiser.diffusion import Diffusion
from diffusion.denoiser.guidance import Guidance
from diffusion.inference.prompts import needing_images
from diffusion.inference.trained import Trained
from diffusion.losses.schedule_samplers import ScheduleSampler
from diffusion.runs.naming import shell_override
from diffusion.samplers.sampler import Sampler
from diffusion.tracking.logger import WandbLogger
from diffusion.training import ema, parallel
from diffusion.training.ema import EMA
from diffusion.training.learner import Learner
from diffusion.training.loop import Loop
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
    logger: WandbLogger
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

    @property
    def drawing_command(self) -> str:
        """What to type to draw images with what was trained: by it, or by another model that it guides."""
        if self.diffusion.loss.classifies:
            return f"python sample.py checkpoint=runs/NAME {shell_override('guidance.classifier', self.folder)}"
        small = " low_res=FOLDER" if needing_images(self.conditions) else ""
        trust = f" 'trust=[{','.join(packages)}]'" if (packages := own_packages(self.config)) else ""
        return f"python sample.py {shell_override('checkpoint', self.folder)}{small}{trust}"


class Trainer:
    """Trains to `max_steps`, logs every `log_every` and saves every `save_every` steps, at the end and on Ctrl-C.

    `batch_size` is the number of images in a step, shared by all processes; each passes its part through the network
    `microbatch` at a time. `parallel` says how the network is spread over them: "ddp" or "fsdp". The learning rate
    warms up over `warmup_steps` and falls linearly to 0 at `anneal_steps`. The last `keep` checkpoints stay, and every
    one at a multiple of `keep_every`. The `evaluations` measure the averaged weights every `evaluate_every` steps
    (0: only at the end). `detect_anomaly` looks at the output of every layer and names the first that is not finite.
    """

    def __init__(
        self,
        *,
        optimizer: Callable[[Iterable[nn.Parameter]], torch.optim.Optimizer],
        schedule_sampler: ScheduleSampler,
        preview: Preview,
        evaluations: dict[str, Any] | None = None,
        batch_size: int = 128,
        microbatch: int | None = None,
        parallel: str = "ddp",
        max_steps: int | None = None,
        warmup_steps: int = 0,
        anneal_steps: int | None = None,
        clip_grad_norm: float | None = None,
        ema_rates: tuple[float, ...] = (0.9999,),
        precision: str = "float32",
        compile: bool | None = None,
        detect_anomaly: bool = False,
        log_every: int = 10,
        evaluate_every: int = 0,
        save_every: int = 10_000,
        keep: int = 2,
        keep_every: int | None = None,
    ) -> None:
        self.optimizer, self.schedule_sampler, self.preview = optimizer, schedule_sampler, preview
        self.evaluations = evaluations or {}
        self.batch_size, self.microbatch, self.max_steps = batch_size, microbatch, max_steps
        self.warmup_steps, self.anneal_steps, self.clip_grad_norm = warmup_steps, anneal_steps, clip_grad_norm
        self.ema_rates, self.precision, self.parallel = tuple(ema_rates), precision, parallel
        self.compile, self.detect_anomaly = compile, detect_anomaly
        self.log_every, self.evaluate_every = log_every, evaluate_every
        self.save_every, self.keep, self.keep_every = save_every, keep, keep_every
        self.check()

    def check(self) -> None:
        precision.check_precision(self.precision, setting="train.precision")
        parallel.check_parallel(self.parallel, self.precision)
        ema.check_rates(self.ema_rates)
        for name in ("batch_size", "log_every", "save_every", "keep", "max_steps", "anneal_steps", "keep_every"):
            value = getattr(self, name)
            if value is not None and value < 1:
                raise ValueError(f"train.{name}={value} must be at least 1")
        for name in ("warmup_steps", "evaluate_every"):
            if getattr(self, name) < 0:
                raise ValueError(f"train.{name}={getattr(self, name)} must be 0 or more")
        if self.clip_grad_norm is not None and self.clip_grad_norm <= 0:
            raise ValueError(f"train.clip_grad_norm={self.clip_grad_norm} must be above 0; null never clips")
        if self.evaluate_every and not self.evaluations:
            raise ValueError("train.evaluate_every has nothing to measure; add 'train/evaluations=[likelihood]'")
        if self.detect_anomaly and self.precision == "fp16":
            raise ValueError("train.detect_anomaly would stop at each overflow of fp16; set train.precision=float32")
        self.check_batch()

    def check_batch(self) -> None:
        """Raise ValueError unless processes and micro-batches share a batch evenly."""
        share, rest = divmod(self.batch_size, distributed.world_size())
        if rest:
            raise ValueError(
                f"{distributed.world_size()} processes cannot share {self.batch_size} images evenly; "
                f"set train.batch_size={max(share, 1) * distributed.world_size()}"
            )
        if self.microbatch is not None and (self.microbatch < 1 or share % self.microbatch):
            whose = (
                f"train.batch_size={self.batch_size}" if distributed.world_size() == 1 else f"{share} images a process"
            )
            raise ValueError(
                f"{whose} is not a multiple of train.microbatch={self.microbatch}; "
                f"choose one that divides it, such as train.microbatch={max(1, share // 4)}"
            )

    @property
    def is_divided(self) -> bool:
        """True unless a batch passes through one network at once."""
        return distributed.world_size() > 1 or self.microbatch is not None

    @property
    def division(self) -> str:
        """How a batch is made up, such as "4 processes x 2 micro-batches x 16 images"."""
        share = self.batch_size // distributed.world_size()
        size = self.microbatch or share
        counts = {"process": distributed.world_size(), "micro-batch": share // size, "image": size}
        return " x ".join(f"{n} {what}{'' if n == 1 else plural(what)}" for what, n in counts.items())

    def fit(self, run: Run, state: dict[str, Any] | None = None) -> int:
        """Train, from `state` if there is one; the exit code, 0 unless a signal stopped it."""
        learner = self.learner(run)
        if state is not None:
            try:
                learner.load_state_dict(state)
            except (RuntimeError, KeyError, TypeError, AttributeError) as error:
                reason = " ".join(str(error).split())
                raise ValueError(f"the checkpoint in {run.folder} does not fit this run ({reason[:200]})") from error
        with Loop(self, run, learner) as loop:
            return loop.run_through()

    def learner(self, run: Run) -> Learner:
        spread = parallel.KINDS[self.parallel](run.model, run.device)
        # What looks into the layers cannot look into what they were compiled to.
        wanted = False if self.detect_anomaly else self.compile
        spread.network = compile_network(spread.network, run.device, wanted)
        return Learner(
            spread,
            run.diffusion,
            optimizer=self.optimizer(spread.model.parameters()),
            schedule_sampler=self.schedule_sampler,
            ema=EMA(spread.model, self.ema_rates),
            precision=Precision(self.precision, run.device),
            seed=run.seed,
            microbatch=self.microbatch,
            clip_grad_norm=self.clip_grad_norm,
        )


def own_packages(config: Any) -> list[str]:
    """The packages beside this program's whose classes a model and its diffusion are made of."""
    if not isinstance(config, dict):
        return []
    named = [str(config["_target_"]).partition(".")[0]] if "_target_" in config else []
    parts = (config.get("model"), config.get("diffusion")) if "model" in config else config.values()
    named += [package for part in parts for package in own_packages(part)]
    return sorted({*named} - {"diffusion", "unet", "torch"})


def plural(word: str) -> str:
    return "s" if word == "image" else "es"
