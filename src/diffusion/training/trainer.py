"""The loop around the learner: where to begin, when to log, draw and save, and how to stop."""

from __future__ import annotations

import logging
import resource
import sys
import time
from collections.abc import Callable, Iterable
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import nn

from diffusion.data import Batch, Images, batches, save_picture
from diffusion.gaussian import GaussianDiffusion
from diffusion.losses import Classification
from diffusion.run_folder import argument
from diffusion.samplers import Sampler
from diffusion.schedule_samplers import ScheduleSampler
from diffusion.training import checkpoint, ema, precision
from diffusion.training.ema import EMA
from diffusion.training.interruption import Interruption
from diffusion.training.learner import Learner, NotFinite
from diffusion.training.logger import WandbLogger
from diffusion.training.metrics import MetricsFile
from diffusion.training.optimizer import rate_factor
from diffusion.training.precision import Precision
from diffusion.training.preview import Preview
from diffusion.training.progress import Progress

log = logging.getLogger(__name__)


@dataclass
class Run:
    """What is trained, on what, and where it is kept. `config` is plain values, as a checkpoint stores it."""

    folder: Path
    seed: int
    device: torch.device
    model: nn.Module
    diffusion: GaussianDiffusion
    images: Images
    sampler: Sampler
    logger: WandbLogger
    config: dict[str, Any]

    @property
    def checkpoints(self) -> Path:
        return self.folder / "checkpoints"

    @property
    def drawing_command(self) -> str:
        """What to type to draw images with what was trained: by it, or by another model that it guides."""
        if isinstance(self.diffusion.loss, Classification):
            return f"python sample.py checkpoint=runs/NAME {argument('guidance.classifier', self.folder)}"
        small = "" if self.images.low_res_size is None else " low_res=FOLDER"
        return f"python sample.py {argument('checkpoint', self.folder)}{small}"


class Trainer:
    """Trains to `max_steps`, logs every `log_every` and saves every `save_every` steps, at the end and on Ctrl-C.

    `batch_size` is the number of images in a step; they pass through the network `microbatch` at a time. The learning
    rate warms up over `warmup_steps` and falls linearly to 0 at `anneal_steps`. The last `keep` checkpoints stay, and
    every one at a multiple of `keep_every`.
    """

    def __init__(
        self,
        *,
        optimizer: Callable[[Iterable[nn.Parameter]], torch.optim.Optimizer],
        schedule_sampler: ScheduleSampler,
        preview: Preview,
        batch_size: int = 128,
        microbatch: int | None = None,
        max_steps: int | None = None,
        warmup_steps: int = 0,
        anneal_steps: int | None = None,
        clip_grad_norm: float | None = None,
        ema_rates: tuple[float, ...] = (0.9999,),
        precision: str = "float32",
        log_every: int = 10,
        save_every: int = 10_000,
        keep: int = 2,
        keep_every: int | None = None,
    ) -> None:
        self.optimizer, self.schedule_sampler, self.preview = optimizer, schedule_sampler, preview
        self.batch_size, self.microbatch, self.max_steps = batch_size, microbatch, max_steps
        self.warmup_steps, self.anneal_steps, self.clip_grad_norm = warmup_steps, anneal_steps, clip_grad_norm
        self.ema_rates, self.precision = tuple(ema_rates), precision
        self.log_every, self.save_every, self.keep, self.keep_every = log_every, save_every, keep, keep_every
        self.check()

    def check(self) -> None:
        precision.check(self.precision)
        ema.check(self.ema_rates)
        for name in ("batch_size", "log_every", "save_every", "keep", "max_steps", "anneal_steps", "keep_every"):
            value = getattr(self, name)
            if value is not None and value < 1:
                raise ValueError(f"train.{name}={value} must be at least 1")
        if self.warmup_steps < 0:
            raise ValueError(f"train.warmup_steps={self.warmup_steps} must be 0 or more")
        if self.clip_grad_norm is not None and self.clip_grad_norm <= 0:
            raise ValueError(f"train.clip_grad_norm={self.clip_grad_norm} must be above 0; null never clips")
        if self.microbatch is not None and (self.microbatch < 1 or self.batch_size % self.microbatch):
            raise ValueError(
                f"train.batch_size={self.batch_size} is not a multiple of train.microbatch={self.microbatch}; "
                f"choose one that divides it, such as train.microbatch={max(1, self.batch_size // 4)}"
            )

    def fit(self, run: Run, state: dict[str, Any] | None = None) -> int:
        """Train, from `state` if there is one; the exit code, 0 unless a signal stopped it."""
        learner = self.learner(run)
        if state is not None:
            learner.load_state_dict(state)
        metrics = MetricsFile(run.folder / "metrics.jsonl")
        metrics.rewind(learner.steps_done)
        checkpoint.tidy(run.checkpoints, learner.steps_done)
        stream = batches(
            run.images, batch_size=self.batch_size, seed=run.seed, start=learner.steps_done, device=run.device
        )
        progress = Progress(self.max_steps, learner.steps_done)
        with Interruption() as interruption, closing(stream), closing(progress):
            try:
                return self.loop(run, learner, stream, metrics, progress, interruption)
            except NotFinite:
                raise
            except (ValueError, OSError):
                self.save(run, learner)
                raise

    def learner(self, run: Run) -> Learner:
        model = run.model.to(run.device)
        return Learner(
            model,
            run.diffusion,
            optimizer=self.optimizer(model.parameters()),
            schedule_sampler=self.schedule_sampler,
            ema=EMA(model, self.ema_rates),
            precision=Precision(self.precision, run.device),
            seed=run.seed,
            microbatch=self.microbatch,
            clip_grad_norm=self.clip_grad_norm,
        )

    def loop(self, run, learner, stream, metrics, progress, interruption) -> int:
        since, logged = time.perf_counter(), learner.steps_done
        last = self.max_steps is not None and learner.steps_done >= self.max_steps
        while not last and not interruption:
            self.step(run, learner, next(stream))
            step = learner.steps_done
            last = step == self.max_steps
            if step % self.log_every == 0 or last:
                speed = (step - logged) * self.batch_size / (time.perf_counter() - since)
                self.log(run, learner, metrics, progress, speed)
                logged = step
            if step % self.save_every == 0 or last:
                self.save(run, learner)
            if self.preview.due(step, last):
                self.draw(run, learner)
            if logged == step:
                since = time.perf_counter()
        self.save(run, learner)
        return interruption.exit_code

    def step(self, run: Run, learner: Learner, batch: Batch) -> None:
        factor = rate_factor(learner.steps_done, warmup_steps=self.warmup_steps, anneal_steps=self.anneal_steps)
        try:
            learner.step(batch, factor)
        except NotFinite as error:
            saved = checkpoint.last_step(run.checkpoints)
            good = f"{run.checkpoints} holds step {saved}" if saved else "there is no checkpoint yet"
            hint = f"go on with name={run.folder.name} and a lower train.optimizer.lr or train.clip_grad_norm=1"
            run.logger.alert("Training stopped", str(error))
            raise NotFinite(f"{error}; training stops before it spoils the weights ({good}); {hint}") from None

    def log(self, run: Run, learner: Learner, metrics: MetricsFile, progress: Progress, speed: float) -> None:
        images = learner.steps_done * self.batch_size
        readings = learner.readings() | {"images_per_second": speed, "memory_gb": memory(run.device)}
        metrics.write(learner.steps_done, {"images": images, **readings})
        run.logger.log(learner.steps_done, {"images": images, **readings})
        progress.update(learner.steps_done, images_per_second=speed, loss=readings.get("loss", float("nan")))

    def draw(self, run: Run, learner: Learner) -> None:
        """Draw and keep previews; what goes wrong with them costs pictures, never the training."""
        step = learner.steps_done
        try:
            for name, grid in self.preview.pictures(learner.model, learner.ema, run.diffusion, run.sampler, run.images):
                save_picture(run.folder / "samples" / f"step_{step:08d}_{name}.png", grid)
                run.logger.images(step, f"samples/{name}", grid, f"step {step}, {name}")
        except (OSError, RuntimeError) as error:
            log.warning("Training goes on without the preview of step %d: %s", step, str(error).partition("\n")[0])

    def save(self, run: Run, learner: Learner) -> None:
        """Write a checkpoint of the step in hand, unless it is there already or is the untrained beginning."""
        if learner.steps_done in (0, checkpoint.last_step(run.checkpoints)):
            return
        state = {**learner.state_dict(), "config": run.config}
        checkpoint.save(run.checkpoints, state, keep=self.keep, keep_every=self.keep_every)


def memory(device: torch.device) -> float:
    """The most memory used so far, in GB: of the GPU, or of this process."""
    if device.type == "cuda":
        return torch.cuda.max_memory_allocated(device) / 1e9
    unit = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit / 1e9
