"""Whether a network can be called as it will be, found out without computing."""

import torch
from torch import Tensor

from diffusion.compute.flops import on_meta
from diffusion.data.conditions import arguments
from diffusion.denoiser.denoiser import conditions_of
from diffusion.runs.printable import reason
from diffusion.training.trainer import Run


def check_shape(run: Run) -> None:
    """The network accepts images of this shape, which it is shown without computing, and answers in their shape."""
    name, shape = type(run.model).__name__, run.images.shape
    x, time, takes = torch.zeros(2, *shape), torch.zeros(2), conditions_of(run.model)
    told = arguments(run.conditions, x, time.long())
    given = {name: values.to("meta") for name, values in told.items() if name in takes}
    with torch.no_grad():
        try:
            output = torch.func.functional_call(run.model, on_meta(run.model), (x.to("meta"), time.to("meta")), given)
        except (TypeError, RuntimeError) as error:
            if isinstance(error, NotImplementedError) or "meta" in str(error):
                return  # It computes what can be computed of real images alone.
            call = f"forward(x, time{', '.join(['', *given])})"
            raise ValueError(f"{name} cannot be called as {call} with images of {shape}: {reason(error)}") from error
    if not isinstance(output, Tensor):
        raise ValueError(f"{name} gives a {type(output).__name__}; it must give one tensor (N, C, H, W)")
    if not run.diffusion.loss.classifies:
        if output.ndim != 4 or output[:, 0].shape != x[:, 0].shape:
            needed = (len(x), run.diffusion.outputs(shape[0]), *shape[1:])
            raise ValueError(f"{name} gives {(*output.shape,)} for images of {(*x.shape,)}; needed {needed}")
        run.diffusion.denoiser(run.model, takes).split(output, shape[0])
