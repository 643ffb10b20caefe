"""A trained network made ready to be called many times with the same weights."""

from collections.abc import Callable

import torch
from torch import Tensor, nn

from diffusion.compute import distributed
from diffusion.compute.auto_precision import fastest_precision
from diffusion.compute.compilation import compile_network
from diffusion.compute.device import channels_last
from diffusion.compute.precision import AUTO, autocast, check_precision, set_matmul_precision
from diffusion.data.conditions import Conditions, arguments
from diffusion.denoiser.denoiser import conditions_of
from diffusion.inference.trained import Trained

FORMATS = ("float32", "tf32", "bf16")


def make_fast(model: Trained, *, compile: bool, precision: str, batch_size: int) -> Trained:
    """The model with its network ready; ValueError if its device does not compute in that precision.

    With precision "auto" it computes in what is fastest on batches of that size, which a line of output says. bf16
    changes drawn images by 0.1 to 0.3 of the 255 levels on average (digits; 50 ancestral, 10 solver steps).
    """
    check_precision(precision, model.device, setting="precision", known=(*FORMATS, AUTO))
    if precision == AUTO:
        choice = fastest_precision(calls_of(model), model.device, batch_size)
        distributed.print_once(str(choice))
        precision = choice.precision
    network = FastNetwork(model.network, model.device, compile=compile, precision=precision)
    return model._replace(network=network, precision=precision)


def calls_of(model: Trained) -> Callable[[str, int], object]:
    """(precision, count) -> one call of the network for so many images."""
    ready = {kind: FastNetwork(model.network, model.device, precision=kind) for kind in ("float32", "bf16")}

    @torch.no_grad()
    def call(precision: str, count: int) -> Tensor:
        x, time, told = example_inputs(model.network, model.conditions, model.shape, count, model.device)
        output: Tensor = ready[precision](x, time, **told)
        return output

    return call


def example_inputs(
    network: nn.Module, conditions: Conditions, shape: tuple[int, int, int], count: int, device: torch.device | str
) -> tuple[Tensor, Tensor, dict[str, Tensor]]:
    """(x_t, time, condition) as the network is called with them for `count` images: grey, half-way, of class 0."""
    x, time = torch.zeros(count, *shape, device=device), torch.full((count,), 500.0, device=device)
    told, takes = arguments(conditions, x, torch.zeros(count, dtype=torch.long, device=device)), conditions_of(network)
    return x, time, {name: values for name, values in told.items() if name in takes}


class FastNetwork(nn.Module):
    """(x_t, time, **condition) -> what `network` gives, without gradient; its weights must not change any more.

    Its channels come to lie beside each other in memory, which convolutions read fastest. With `compile` its layers
    become fused kernels, after a minute or more, and on a GPU all of them one graph. `precision` is float32, or tf32 or
    bf16, which round what is drawn.
    """

    def __init__(
        self, network: nn.Module, device: torch.device, *, compile: bool = False, precision: str = "float32"
    ) -> None:
        super().__init__()
        check_precision(precision, device, setting="precision", known=FORMATS)
        self.device, self.precision, self.compile_once = device, precision, compile
        self.call = compile_network(channels_last(network), device, compile, frozen=True)
        self.conditions, self.whole_times = conditions_of(network), getattr(network, "whole_times", False)
        self.size = 0  # of the batch that the network was compiled for

    def forward(self, x: Tensor, time: Tensor, **condition: Tensor) -> Tensor:
        count = len(x)
        if self.compile_once:
            self.size = max(self.size, count)
            # A smaller batch is filled up, since it would be compiled anew.
            x, time = padded(x, self.size), padded(time, self.size)
            condition = {name: padded(values, self.size) for name, values in condition.items()}
        with autocast(self.precision, self.device):
            output = self.call(x, time, **condition)[:count]
        set_matmul_precision("float32", self.device)  # what else is computed is not to be rounded
        return output


def padded(values: Tensor, size: int) -> Tensor:
    """The values (N, ...) and the last of them again, up to (size, ...)."""
    return torch.cat([values, values[-1:].expand(size - len(values), *values.shape[1:])])
