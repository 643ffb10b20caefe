"""What `python train.py` would train with the same overrides, on images of chance: no data are read."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple, cast

import hydra
import torch
from omegaconf import DictConfig, OmegaConf
from torch import Tensor, nn

from diffusion import GaussianDiffusion
from diffusion.compute.device import resolve_device
from diffusion.compute.flops import flops
from diffusion.compute.precision import AUTO
from diffusion.config import build, instantiate, load
from diffusion.config.resolvers import register_resolvers
from diffusion.data.conditions import arguments, available
from diffusion.denoiser.denoiser import Denoiser, conditions_of
from diffusion.training.trainer import Run, Trainer

CONF = Path(__file__).parents[1] / "conf"


class Recipe(NamedTuple):
    """A network whose weights are noise, since fresh ones end in zeros; its diffusion, its trainer, and its images."""

    config: DictConfig
    device: torch.device
    network: nn.Module
    diffusion: GaussianDiffusion
    trainer: Trainer
    x_0: Tensor
    condition: dict[str, Tensor]

    @property
    def flops(self) -> float:
        """Of one image through the network once."""
        return flops(self.network, self.x_0, torch.zeros(1), self.condition)

    def denoiser(self, network: nn.Module) -> Denoiser:
        """That calls `network`, which is told the recipe's condition."""
        return self.diffusion.denoiser(network, conditions_of(network)).given(self.condition)

    def of_batch(self, size: int) -> Recipe:
        """The same with so many images at once, some of them more than once."""
        number = torch.arange(size, device=self.device) % len(self.x_0)
        condition = {name: values[number] for name, values in self.condition.items()}
        return self._replace(x_0=self.x_0[number], condition=condition)

    def trained(self, **settings: Any) -> Recipe:
        """The same, trained with other settings."""
        return self._replace(trainer=replace(self.trainer, **settings))

    def run(self) -> Run:
        nothing = cast(Any, None)
        return Run(
            folder=Path(), seed=0, device=self.device, model=self.network, diffusion=self.diffusion, images=nothing,
            sampler=nothing, logger=nothing, config={"classes": None},
        )  # fmt: skip


def recipe(overrides: list[str]) -> Recipe:
    """The recipe of a command line of train.py, such as ["model=unet_64", "data.image_size=32"]."""
    register_resolvers()
    with hydra.initialize_config_dir(version_base="1.3", config_dir=str(CONF)):
        config = hydra.compose("train", [*overrides, "name=benchmark"])
    device = resolve_device(config.device)
    diffusion, trainer = instantiate.instantiate(config.diffusion), instantiate.instantiate(config.train)
    if trainer.precision == AUTO:
        raise ValueError("train.precision=auto is a choice that a run makes; compare train.precision=float32 and bf16")
    shape = load.shape_of(config)
    classes = None if OmegaConf.is_missing(config.model, "num_classes") else config.model.num_classes
    torch.manual_seed(0)
    network = build.model(config.model, diffusion, shape=shape, num_classes=classes).to(device)
    with torch.no_grad():
        for weight in network.parameters():
            weight.add_(torch.randn_like(weight), alpha=0.02)
    x_0 = 2 * torch.rand(trainer.batch_size, *shape, device=device) - 1
    told = available(build.build_conditions(config.conditions), classes)
    condition = arguments(told, x_0, torch.randint(classes or 1, (len(x_0),), device=device))
    return Recipe(config, device, network, diffusion, trainer, x_0, condition)
