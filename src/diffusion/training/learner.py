"""A network in training: all that a checkpoint must hold, and the one step that changes it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from diffusion.data import Batch
from diffusion.gaussian import GaussianDiffusion
from diffusion.losses import example_from
from diffusion.randomness import generator, normal, seed_of, uniform
from diffusion.schedule_samplers import ScheduleSampler
from diffusion.training.ema import EMA
from diffusion.training.metrics import Averages
from diffusion.training.precision import Precision


class Draws(NamedTuple):
    """What chance decides for a batch: t (N,), its importance weights (N,), and the noise (N, C, H, W)."""

    t: Tensor
    weights: Tensor
    eps: Tensor


class NotFinite(ValueError):
    """A loss or gradient that would spoil the weights."""


class Learner:
    """One optimizer step on one global batch: draw, noise, predict, loss, backward, update."""

    def __init__(
        self,
        model: nn.Module,
        diffusion: GaussianDiffusion,
        *,
        optimizer: torch.optim.Optimizer,
        schedule_sampler: ScheduleSampler,
        ema: EMA,
        precision: Precision,
        seed: int = 0,
        microbatch: int | None = None,
        clip_grad_norm: float | None = None,
    ) -> None:
        self.model, self.diffusion = model, diffusion
        self.optimizer, self.schedule_sampler, self.ema, self.precision = optimizer, schedule_sampler, ema, precision
        self.seed, self.microbatch, self.clip_grad_norm = seed, microbatch, clip_grad_norm
        self.rates = [group["lr"] for group in optimizer.param_groups]
        self.averages = Averages()
        self.steps_done = 0

    def step(self, batch: Batch, rate_factor: float) -> None:
        """Train on one batch. NotFinite if its loss or gradient is; the weights are then untouched."""
        self.model.train()
        torch.manual_seed(seed_of(self.seed, "dropout", self.steps_done))
        draws = self.draw(batch)
        self.learn(batch.x_0, draws, rate_factor, batch.condition)

    def draw(self, batch: Batch) -> Draws:
        """t and noise of each image: functions of the seed and of the image's place in the training stream."""
        generators = [generator(self.seed, "train", int(p), device=batch.x_0.device) for p in batch.positions]
        t, weights = self.schedule_sampler.draw(uniform(generators))
        return Draws(t, weights, normal(generators, tuple(batch.x_0.shape[1:])))

    def learn(self, x_0: Tensor, draws: Draws, rate_factor: float, condition: Mapping[str, Tensor]) -> None:
        """The step itself, everything that chance decides being given."""
        total = len(x_0)
        self.optimizer.zero_grad(set_to_none=True)
        losses = []
        for begin in range(0, total, self.microbatch or total):
            part = slice(begin, begin + (self.microbatch or total))
            told = {name: values[part] for name, values in condition.items()}
            losses.append(self.backward(x_0[part], Draws(*(d[part] for d in draws)), total, told))
        if self.update(rate_factor):
            self.schedule_sampler.update(draws.t, torch.cat(losses))
        self.steps_done += 1

    def backward(self, x_0: Tensor, draws: Draws, total: int, condition: Mapping[str, Tensor]) -> Tensor:
        """Add a micro-batch's share of the gradient of the mean over all `total` images; its losses (N,)."""
        example = example_from(self.diffusion, x_0, draws.t, draws.eps, **condition)
        with self.precision.autocast():
            terms = self.diffusion.loss(self.diffusion, self.model, example)
        loss = (terms["loss"] * draws.weights).sum() / total
        finite = bool(torch.isfinite(loss))
        if not finite and not self.precision.scaler.is_enabled():
            raise NotFinite(f"the loss of step {self.steps_done} is {loss.item()}")
        self.precision.scaler.scale(loss).backward()
        if finite:
            self.averages.add(terms, draws.t, steps=len(self.diffusion.process), weights=draws.weights)
        return terms["loss"].detach()

    def update(self, rate_factor: float) -> bool:
        """Let the gradient change the weights and their averages; False if it overflowed fp16, which skips it."""
        for group, rate in zip(self.optimizer.param_groups, self.rates, strict=True):
            group["lr"] = rate * rate_factor
        scaler = self.precision.scaler
        scaler.unscale_(self.optimizer)
        limit = float("inf") if self.clip_grad_norm is None else self.clip_grad_norm
        norm = nn.utils.clip_grad_norm_(self.model.parameters(), limit, foreach=True)
        finite = bool(torch.isfinite(norm))
        if not finite and not scaler.is_enabled():
            raise NotFinite(f"the gradient of step {self.steps_done} is {norm.item()}")
        scaler.step(self.optimizer)
        scaler.update()
        if self.precision.exhausted:
            raise NotFinite(
                f"the gradient of step {self.steps_done} overflows fp16 at any scale; use train.precision=bf16"
            )
        if scaler.is_enabled():
            self.averages.add_value("skipped_steps", float(not finite))
        if finite:
            self.averages.add_value("grad_norm", norm)
            self.ema.update()
        return finite

    def readings(self) -> dict[str, float]:
        """The averages since the last call, and where the optimizer and the weights stand."""
        norms = torch._foreach_norm([w.detach() for w in self.model.parameters()])
        readings = self.averages.read()
        readings["param_norm"] = torch.linalg.vector_norm(torch.stack(norms)).item()
        readings["lr"] = self.optimizer.param_groups[0]["lr"]
        if self.precision.scaler.is_enabled():
            readings["loss_scale"] = self.precision.scaler.get_scale()
        return readings

    def state_dict(self) -> dict[str, Any]:
        return {
            "step": self.steps_done,
            "model": self.model.state_dict(),
            "ema": self.ema.state_dict(),
            "optimizer": self.optimizer.state_dict(),
            "scaler": self.precision.scaler.state_dict(),
            "schedule_sampler": self.schedule_sampler.state_dict(),
            "averages": self.averages.state_dict(),
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on where `state` was saved, with the optimizer settings of now."""
        settings = [{k: v for k, v in group.items() if k != "params"} for group in self.optimizer.param_groups]
        self.model.load_state_dict(state["model"])
        self.ema.load_state_dict(state["ema"])
        self.optimizer.load_state_dict(state["optimizer"])
        for group, mine in zip(self.optimizer.param_groups, settings, strict=True):
            group.update(mine)
        self.precision.scaler.load_state_dict(state["scaler"])
        self.schedule_sampler.load_state_dict(state["schedule_sampler"])
        self.averages.load_state_dict(state["averages"])
        self.steps_done = state["step"]
