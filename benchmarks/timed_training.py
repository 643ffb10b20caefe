"""Recipes of train.py, and the released code's own loop, trained step by step with their seconds counted."""

from __future__ import annotations

import copy
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import ClassVar

import hydra
import torch
from omegaconf import OmegaConf
from original import Original
from recipe import CONF, Recipe
from torch import Tensor

from diffusion import Ancestral, Sampler, Trained
from diffusion.config import build
from diffusion.config.resolvers import register_resolvers
from diffusion.data.loader import Batch, batches
from diffusion.inference.draw import draw_steps
from diffusion.inference.fast_network import make_fast
from diffusion.process.respacing import kept_steps
from diffusion.samplers.sampler import draw
from diffusion.training.ema import WithWeights
from diffusion.training.settled_precision import settle_precision
from diffusion.training.trainer import Run, Trainer, rate_factor
from unet import load_released

TURN = 5.0  # seconds


class Training:
    """A recipe of train.py that is trained step by step, its seconds counted."""

    def __init__(self, name: str, overrides: list[str], seed: int) -> None:
        self.name, self.seconds, self.steps = name, 0.0, 0
        self.trainer, self.run = composed([*overrides, f"seed={seed}"])
        self.begin()
        self.stream = self.batches()

    def batches(self) -> Iterator[Batch]:
        """Those of training, from the first on."""
        trainer, run = self.trainer, self.run
        return batches(run.images, run.conditions, batch_size=trainer.batch_size, seed=run.seed)

    def begin(self) -> None:
        if self.trainer.max_steps is None:
            raise ValueError(f"--recipe '{self.name}' has no end, at which it is judged; add train.max_steps=1000")
        begun = time.perf_counter()
        settle_precision(self.trainer, self.run, before=None)
        self.seconds += time.perf_counter() - begun
        print(f"{self.name} trains in {self.trainer.precision}", flush=True)
        self.learner = self.trainer.learner(self.run)

    def step(self) -> None:
        trainer = self.trainer
        factor = rate_factor(
            self.steps, warmup_steps=trainer.warmup_steps, anneal_steps=trainer.anneal_steps,
            decay_steps=trainer.decay_steps,
        )  # fmt: skip
        self.learner.step(next(self.stream), factor)

    def advance(self, marks: list[float]) -> bool:
        """Train for a turn, or until one of the `marks` is passed or the end reached; whether one of the two is."""
        before = self.seconds
        while self.seconds < before + TURN:
            begun = time.perf_counter()
            self.step()
            self.seconds += time.perf_counter() - begun
            self.steps += 1
            if self.steps == self.last or any(before < mark <= self.seconds for mark in marks):
                return True
        return False

    @property
    def last(self) -> int | None:
        return self.trainer.max_steps

    def trained(self) -> Trained:
        """With the slowest of its averages."""
        weights = list(self.learner.weights().values())[-1]
        return self.run.trained(WithWeights(self.run.model, weights).eval(), step=self.steps)

    @property
    def drawn_by(self) -> Sampler:
        """What the time of drawing is measured of."""
        return self.run.sampler

    def drawing(self, model: Trained, y: Tensor) -> Callable[[], object]:
        """What draws an image of each class in y (N,)."""
        fast = make_fast(model, compile=False, precision="float32", batch_size=len(y))
        return lambda: draw(draw_steps(fast, self.drawn_by, range(len(y)), seed=0, condition={"y": y}))


class OriginalTraining(Training):
    """The recipe of the paper at a constant rate, with the same network and batches, in the loop of the original.

    That loop has no warm-up, and an average of a steady rate. Of the overrides under `train` it reads `READ` alone.
    """

    READ: ClassVar = ("train.batch_size", "train.microbatch", "train.optimizer.lr", "train.ema_rates")

    def __init__(self, checkout: str, common: list[str], seed: int) -> None:
        self.checkout = checkout
        if unread := [word for word in common if word.startswith("train") and word.partition("=")[0] not in self.READ]:
            raise ValueError(
                f"the original's loop has no {unread[0]}; --common may set {', '.join(self.READ)}: give others by "
                "--recipe, or leave --original out"
            )
        super().__init__("original", ["train=constant_rate", "sampler=ancestral", *common], seed)

    def begin(self) -> None:
        run, first = self.run, next(self.batches())
        config = OmegaConf.create(run.config)
        self.ours = Recipe(config, run.device, run.model, run.diffusion, self.trainer, first.x_0, first.condition)
        self.loop = Original(self.checkout, self.ours).training(lr=config.train.optimizer.lr)

    def step(self) -> None:
        batch = next(self.stream)
        self.loop.run_step(batch.x_0, batch.condition)
        self.loop.step += 1

    @property
    def last(self) -> None:
        return None

    def trained(self) -> Trained:
        averaged = copy.deepcopy(self.run.model)
        load_released(averaged, self.loop._master_params_to_state_dict(self.loop.ema_params[-1]))
        return self.run.trained(averaged.eval(), step=self.steps)

    @property
    def drawn_by(self) -> Sampler:
        return Ancestral(steps=250)

    def drawing(self, model: Trained, y: Tensor) -> Callable[[], object]:
        kept = kept_steps(self.run.diffusion.process.bins, self.drawn_by.steps)
        theirs = Original(self.checkout, self.ours._replace(network=model.network, condition={"y": y}), kept=kept)
        return lambda: list(theirs.sampling(torch.randn(len(y), *self.run.images.shape)))


def composed(overrides: list[str]) -> tuple[Trainer, Run]:
    """What train.py would train."""
    register_resolvers()
    with hydra.initialize_config_dir(version_base="1.3", config_dir=str(CONF)):
        config = hydra.compose("train", [*overrides, "name=benchmark", "logger=none", "device=cpu"])
    return build.training(config, Path())
