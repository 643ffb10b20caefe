"""train.precision=auto, settled before the first step: once for a run, however often it goes on."""

import copy
import logging
from collections.abc import Callable

import torch
from torch import nn

from diffusion.compute import distributed
from diffusion.compute.auto_precision import Choice, fastest_precision
from diffusion.compute.device import channels_last
from diffusion.compute.precision import AUTO, autocast, check_precision
from diffusion.inference.fast_network import example_inputs
from diffusion.training.trainer import Run, Trainer

log = logging.getLogger(__name__)


def settle_precision(trainer: Trainer, run: Run, *, before: str | None) -> None:
    """Let the trainer and the settings of the run name the number format that "auto" stands for, and log which and why.

    A run that goes on keeps the format `before`, so that it ends as if it had never stopped. All processes must call
    this.
    """
    if trainer.precision != AUTO:
        return
    if before is None:
        images = trainer.microbatch or max(1, trainer.batch_size // distributed.world_size())
        devices = [run.device] if run.device.type == "cuda" else []
        with torch.random.fork_rng(devices):  # of dropout
            choice = fastest_precision(steps_of(run), run.device, images)
    else:
        choice = Choice(before, "as this run began")
        check_precision(before, run.device, setting="train.precision")
    log.info("%s", choice)
    trainer.precision = run.config["train"]["precision"] = choice.precision


def steps_of(run: Run) -> Callable[[str, int], object]:
    """(precision, count) -> a forward and a backward of so many images, which leave the run's network as it is."""
    copied: list[nn.Module] = []  # by the process that times alone

    def step(precision: str, count: int) -> None:
        if not copied:
            copied.append(channels_last(copy.deepcopy(run.model).to(run.device)).train())
        (network,) = copied
        x, time, told = example_inputs(network, run.conditions, run.images.shape, count, run.device)
        with autocast(precision, run.device):
            output = network(x, time, **told)
        output.float().square().mean().backward()
        network.zero_grad()

    return step
