"""Whether a network can be called as it will be, found out without computing."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn

from diffusion.compute.flops import on_meta
from diffusion.denoiser.denoiser import conditions_of
from diffusion.inference.fast_network import example_inputs
from diffusion.runs.printable import reason
from diffusion.training.trainer import Run, Trainer


def check_shape(trainer: Trainer, run: Run) -> None:
    """The network accepts images of this shape, which it is shown without computing, and answers in their shape."""
    name, shape = type(run.model).__name__, run.images.shape
    x, time, told = example_inputs(run.model, run.conditions, shape, 2, "cpu")
    given = {name: values.to("meta") for name, values in told.items()}
    classes, left_out = len(run.config["classes"] or ()), trainer.label_dropout > 0
    with torch.no_grad(), label_table_checked(run.model, given.get("y"), classes=classes, left_out=left_out):
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
        run.diffusion.denoiser(run.model, conditions_of(run.model)).split(output, shape[0])


@contextmanager
def label_table_checked(network: nn.Module, y: Tensor | None, *, classes: int, left_out: bool) -> Iterator[None]:
    """While the network is called with labels `y`, raises ValueError if it looks them up in a table of too few rows.

    It needs one for each of the `classes`, and where labels are `left_out` one that stands for none of them.
    """
    needed = classes + left_out
    labels = f"the {classes} classes" + " and for none of them (train.label_dropout)" * left_out

    def check(table: nn.Embedding, inputs: tuple[Any, ...]) -> None:
        if inputs and inputs[0] is y and table.num_embeddings < needed:
            raise ValueError(
                f"{type(network).__name__} looks up labels in a table of {table.num_embeddings} rows, and needs "
                f"{needed}: for {labels}; give it nn.Embedding({needed}, ...)"
            )

    hooks = [part.register_forward_pre_hook(check) for part in network.modules() if isinstance(part, nn.Embedding)]
    try:
        yield
    finally:
        for hook in hooks:
            hook.remove()
