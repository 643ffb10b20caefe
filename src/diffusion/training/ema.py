"""Exponential moving averages of a network's weights, several rates at once."""

import torch
from torch import Tensor, nn

from diffusion.denoiser.denoiser import conditions_of
from diffusion.runs.snapshots import exponent
from diffusion.runs.state import WIDTH
from diffusion.training.parallel import laid_out_like, local_shards


class EMA:
    """ema = rate * ema + (1 - rate) * weight after every step; each starts as a copy of the weights.

    With a `ramp` the half-life is that share of the steps done, until it has reached that of the rate, so that young
    averages forget where they began (Karras et al. 2024; 0.09 there); with a `power` at most 1 - k^-power stays in
    update k. Beside them are averages of power functions, each of a relative width (see `runs.snapshots`), called
    width_0.05: (1 - 1 / k)^(gamma + 1) of it stays in update k.
    """

    def __init__(
        self, model: nn.Module, rates: tuple[float, ...], *, ramp: float | None = None, power: float | None = None,
        widths: tuple[float, ...] = (),
    ) -> None:  # fmt: skip
        self.ramp, self.power = ramp, power
        self.exponents = {f"{WIDTH}{width}": exponent(width) for width in widths}
        self.weights = dict(model.named_parameters())
        self.averages: dict[str, dict[str, Tensor]] = {}
        for rate in (*rates, *self.exponents):
            # A weight that stands in two places is one, and has one average under both its names.
            copies = {id(weight): weight.detach().clone() for weight in self.weights.values()}
            self.averages[str(rate)] = {n: copies[id(w)] for n, w in model.named_parameters(remove_duplicate=False)}

    @torch.no_grad()
    def update(self, step: int) -> None:
        """Take in the weights after `step` steps, 1 or more."""
        weights = local_shards(self.weights.values())
        for rate, average in self.averages.items():
            torch._foreach_lerp_(local_shards(average[n] for n in self.weights), weights, 1 - self.rate_at(rate, step))

    def rate_at(self, name: str, step: int) -> float:
        """How much of the average of this name stays in the update after `step` steps."""
        if name in self.exponents:
            return (1 - 1 / step) ** (self.exponents[name] + 1)
        ramped = 1.0 if self.ramp is None else 0.5 ** (1 / (self.ramp * step))
        return min(float(name), ramped, 1.0 if self.power is None else 1 - step**-self.power)

    def state_dict(self) -> dict[str, dict[str, Tensor]]:
        """The averaged weights by rate, under the network's own names."""
        return self.averages

    @torch.no_grad()
    def load_state_dict(self, state: dict[str, dict[str, Tensor]]) -> None:
        """Continue from the averages in `state`; ValueError unless each has the shape of its weight."""
        for rate, average in self.averages.items():
            if lacking := self.weights.keys() - state.get(rate, {}).keys():
                raise ValueError(f"there is no average of rate {rate} of {min(lacking)}")
            for name in self.weights:
                average[name].copy_(laid_out_like(state[rate][name], average[name], f"the average of {name}"))


class WithWeights(nn.Module):
    """A network called with other weights, its own untouched."""

    def __init__(self, network: nn.Module, weights: dict[str, Tensor]) -> None:
        super().__init__()
        self.network, self.weights, self.conditions = network, weights, conditions_of(network)
        self.whole_times = getattr(network, "whole_times", False)

    def forward(self, *inputs: Tensor, **condition: Tensor) -> Tensor:
        return torch.func.functional_call(self.network, self.weights, inputs, condition)
