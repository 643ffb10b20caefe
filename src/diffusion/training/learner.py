"""A network in training: all that a checkpoint must hold, and the one step that changes it."""

from collections.abc import Mapping
from dataclasses import KW_ONLY, dataclass, field
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from diffusion.compute import distributed
from diffusion.compute.device import to_device
from diffusion.compute.precision import autocast
from diffusion.compute.randomness import HALF_CELL, generator, normal, seed_of, uniform
from diffusion.data.conditions import Condition, Conditions
from diffusion.data.loader import Batch
from diffusion.denoiser.denoiser import conditions_of
from diffusion.denoiser.diffusion import Diffusion
from diffusion.losses.losses import Terms, noised
from diffusion.losses.schedule_samplers import ScheduleSampler
from diffusion.runs.state import WIDTH
from diffusion.training.ema import EMA
from diffusion.training.loading import differs_from_averages, load_moments, load_scale, load_weights
from diffusion.training.not_finite import NonFiniteGuard, NotFinite, all_finite
from diffusion.training.parallel import Parallel, full, full_on_leader, map_tensors
from diffusion.training.running_means import RunningMeans

# An overflow halves the loss scale of fp16; below this one that has stopped helping.
SMALLEST_SCALE = 2.0**-14


class Draws(NamedTuple):
    """What chance decides for a batch: t (N,), its importance weights (N,), and the noise (N, C, H, W)."""

    t: Tensor
    weights: Tensor
    eps: Tensor


@dataclass(eq=False)
class Learner:
    """One optimizer step on one global batch, of which this process has its part: draw, predict, backward, update."""

    parallel: Parallel
    diffusion: Diffusion
    _: KW_ONLY
    optimizer: torch.optim.Optimizer
    schedule_sampler: ScheduleSampler
    ema: EMA
    precision: str = "float32"
    seed: int = 0
    microbatch: int | None = None
    clip_grad_norm: float | None = None
    beside: nn.Module = field(default_factory=nn.Module)
    """What is trained with the network, and is no part of it"""
    conditions: Conditions = field(default_factory=dict)
    label_dropout: float = 0.0
    blank: Mapping[str, Tensor] = field(default_factory=dict)
    """What images without their label are told instead, by the names of the conditions that they lose, each (1, ...)"""

    def __post_init__(self) -> None:
        self.model = self.parallel.model
        self.denoiser = self.diffusion.denoiser(self.parallel.network, conditions_of(self.model))
        self.device = next(self.model.parameters()).device
        self.scaler = torch.amp.GradScaler(self.device.type, enabled=self.precision == "fp16")
        self.blank = {name: blank.to(self.device) for name, blank in self.blank.items()}
        self.rates = [group["lr"] for group in self.optimizer.param_groups]
        self.averages = RunningMeans()
        self.spoilt = NonFiniteGuard(self.optimizer, self.device)
        self.steps_done = 0

    def step(self, batch: Batch, rate_factor: float) -> None:
        """Train on one batch. NotFinite if its loss or gradient is; the weights are then untouched."""
        self.model.train()
        rank = distributed.rank()
        torch.manual_seed(seed_of(self.seed, "dropout", self.steps_done, *([rank] if rank else [])))
        draws = self.draw(batch)
        x_0, told = self.changed(batch)
        self.learn(x_0, draws, rate_factor, self.without_labels(batch.positions, told))

    def draw(self, batch: Batch) -> Draws:
        """t and noise of each image: functions of the seed and of the image's place in the training stream."""
        generators = [generator(self.seed, "train", int(p), device=batch.x_0.device) for p in batch.positions]
        u = uniform(generators)
        if self.schedule_sampler.stratified:
            count = len(u) * distributed.world_size()
            u = (to_device(batch.positions % count, u.device) + u.double() + HALF_CELL) / count
        t, weights = self.schedule_sampler.draw(u, self.diffusion.process)
        return Draws(t, weights, normal(generators, tuple(batch.x_0.shape[1:])))

    def changed(self, batch: Batch) -> tuple[Tensor, Mapping[str, Tensor]]:
        """The images of a batch, changed by the conditions that do so, and what is told of them."""
        x_0, told = batch.x_0, dict(batch.condition)
        changing = [name for name, each in self.conditions.items() if type(each).change is not Condition.change]
        for name in [name for name in changing if name in told]:
            chances = (generator(self.seed, "change", name, int(p)) for p in batch.positions)
            if (changes := self.conditions[name].change(x_0, list(chances))) is not None:
                x_0, told[name] = changes
        return x_0, told

    def without_labels(self, positions: Tensor, condition: Mapping[str, Tensor]) -> Mapping[str, Tensor]:
        """The conditions, of which some images lose some, as the seed and their place in the stream decide."""
        if not self.label_dropout:
            return condition
        lost = uniform(generator(self.seed, "label_dropout", int(p)) for p in positions) < self.label_dropout
        told = dict(condition)
        for name, blank in self.blank.items():
            here = to_device(lost, self.device).view(-1, *[1] * (told[name].ndim - 1))
            told[name] = torch.where(here, blank.to(told[name]), told[name])
        return told

    def learn(self, x_0: Tensor, draws: Draws, rate_factor: float, condition: Mapping[str, Tensor]) -> None:
        """The step itself, everything that chance decides being given."""
        total = len(x_0)
        size = self.microbatch or total
        self.optimizer.zero_grad(set_to_none=True)
        parts = []
        for begin in range(0, total, size):
            part = slice(begin, begin + size)
            told = {name: values[part] for name, values in condition.items()}
            with self.parallel.adding(last=begin + size >= total):
                parts.append(self.backward(x_0[part], Draws(*(d[part] for d in draws)), total, told))
        self.parallel.check()
        terms = {name: torch.cat([part[name] for part in parts]) for name in parts[0]}
        # What all processes found, in one exchange.
        mine = torch.stack([draws.t.double(), draws.weights.double(), *(term.double() for term in terms.values())], 1)
        every_t, every_weight, *every = distributed.all_gather_tensor(mine).unbind(1)
        t, weights = every_t.to(draws.t.dtype), every_weight.float()
        terms = {name: term.float() for name, term in zip(terms, every, strict=True)}
        loss = (terms["loss"] * weights).mean()
        learned = self.update(rate_factor, loss)
        if learned or loss.isfinite():
            self.averages.add(terms, self.diffusion.process.bin(t, 4), weights=weights)
        if learned:
            self.schedule_sampler.update(t, terms["loss"], self.diffusion.process)
        self.steps_done += 1

    def backward(self, x_0: Tensor, draws: Draws, total: int, condition: Mapping[str, Tensor]) -> Terms:
        """Add a micro-batch's share of the gradient of the mean over `total` images; its loss terms, each (N,)."""
        example = noised(self.diffusion.process, x_0, draws.t, draws.eps, condition.get("y"))
        with autocast(self.precision, self.device):
            terms = self.diffusion.loss(self.diffusion, self.denoiser.given(condition), example)
        self.scaler.scale((terms["loss"] * draws.weights).sum() / total).backward()
        return {name: term.detach() for name, term in terms.items()}

    def update(self, rate_factor: float, loss: Tensor) -> bool:
        """Let the gradient change the weights and their averages; False if it overflowed fp16, which skips it."""
        for group, rate in zip(self.optimizer.param_groups, self.rates, strict=True):
            group["lr"] = rate * rate_factor
        scaler = self.scaler
        for weight in self.beside.parameters():
            assert weight.grad is not None, "every loss that takes a weighting uses it"
            weight.grad = distributed.all_mean(weight.grad)
        scaler.unscale_(self.optimizer)
        weights = list(self.model.parameters())
        norm = nn.utils.get_total_norm([w.grad for w in weights if w.grad is not None], foreach=True)
        if self.clip_grad_norm is not None:
            nn.utils.clip_grads_with_norm_(weights, self.clip_grad_norm, norm, foreach=True)
        norm, finite = full(norm), True
        if scaler.is_enabled():
            finite = bool(torch.isfinite(norm))
            self.averages.add_value("skipped_steps", float(not finite))
        else:
            self.spoilt.look(self.steps_done, loss, norm)
        scaler.step(self.optimizer)
        scaler.update()
        if not finite and scaler.get_scale() < SMALLEST_SCALE:
            raise NotFinite(
                f"the gradient of step {self.steps_done} overflows fp16 at any scale; use train.precision=bf16"
            )
        if finite:
            self.averages.add_value("grad_norm", norm)
            self.ema.update(self.steps_done + 1)
        return finite

    @property
    def finite(self) -> bool:
        """True if this process's parts of all that is trained, and of the averages, are finite."""
        averages = [average for each in self.ema.averages.values() for average in each.values()]
        return all_finite([*self.model.parameters(), *self.beside.parameters(), *averages])

    def check(self) -> None:
        """Raise NotFinite if a loss or gradient was not, or a weight is not; if these are sharded, all must call it."""
        self.spoilt.check()
        spoilt = not self.finite
        if spoilt if self.parallel.needs_no_other else distributed.all_max(int(spoilt)):
            # Of fp16, steps are left out whose gradient overflows, whatever their loss was.
            last_finite = None if self.scaler.is_enabled() else self.steps_done - 1
            raise NotFinite(f"the weights of step {self.steps_done} are not finite", last_finite)

    def readings(self) -> dict[str, float]:
        """The averages since the last call, and where the optimizer and the weights stand."""
        weights = [w.detach() for w in self.model.parameters()]
        readings = self.averages.read()
        readings["param_norm"] = full(nn.utils.get_total_norm(weights)).item()
        readings["lr"] = self.optimizer.param_groups[0]["lr"]
        if self.scaler.is_enabled():
            readings["loss_scale"] = self.scaler.get_scale()
        return readings

    def weights(self) -> dict[str, dict[str, Tensor]]:
        """The weights by name as "raw", then each average as "ema_0.9999", from the quickest to the slowest; whole."""
        averages = map_tensors(full, self.ema.state_dict())
        raw = map_tensors(full, self.model.state_dict())
        # An average is one of parameters; buffers are those of the weights.
        names = {rate: f"ema_{rate}" for rate in sorted(averages.keys() - self.ema.exponents.keys(), key=float)}
        names = names or {width: width for width in self.ema.exponents}
        return {"raw": raw, **{called: {**raw, **averages[name]} for name, called in names.items()}}

    def widths(self) -> dict[str, dict[str, Tensor]]:
        """The averages of power functions by their width, whole in the process that leads; all must call it."""
        own = {name.removeprefix(WIDTH): self.ema.averages[name] for name in self.ema.exponents}
        return map_tensors(full_on_leader, own)

    def state_dict(self) -> dict[str, Any]:
        """Everything, whole in the process that leads, however it is spread over all, which must all call it."""
        state = {
            "step": self.steps_done,
            "model": self.model.state_dict(),
            "ema": self.ema.state_dict(),
            "optimizer": self.optimizer.state_dict(),
            "scaler": self.scaler.state_dict(),
            "schedule_sampler": self.schedule_sampler.state_dict(),
            "averages": self.averages.state_dict(),
            "beside": self.beside.state_dict(),
        }
        return map_tensors(full_on_leader, state)

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on where `state` was saved, with the optimizer settings of now; an error if it does not fit."""
        names = [name for name, _ in (*self.model.named_parameters(), *self.beside.named_parameters())]
        load_moments(
            self.optimizer, state["optimizer"].get("state"), lambda number: differs_from_averages(state, names[number])
        )
        load_weights(self.model, state["model"])
        load_weights(self.beside, state.get("beside", {}))
        self.ema.load_state_dict(state["ema"])
        load_scale(self.scaler, state["scaler"])
        self.schedule_sampler.load_state_dict(state["schedule_sampler"], self.diffusion.process)
        self.averages.load_state_dict(state["averages"])
        self.steps_done = state["step"]
