"""The code released with the paper, in a checkout of the user's, on the same weights and images as ours.

Nothing of it is part of this repository: `git clone https://github.com/openai/improved-diffusion` and give that folder.
What it needs and this project does not, mpi4py and blobfile, is replaced by empty modules.
"""

from __future__ import annotations

import importlib
import sys
import tempfile
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import torch
import torch.distributed
from recipe import Recipe
from torch import Tensor

import unet
from diffusion import Chain
from diffusion.losses.losses import noised

MEANS = {"Epsilon": "EPSILON", "Start": "START_X", "Previous": "PREVIOUS_X"}
VARIANCES = {
    "FixedSmall": "FIXED_SMALL", "FixedLarge": "FIXED_LARGE", "Learned": "LEARNED", "LearnedRange": "LEARNED_RANGE",
}  # fmt: skip
# What ours can be told and the original cannot, at the only value that it knows.
FIXED = {"resampling": "convolution", "channels_per_head": None, "attention_order": "heads_first"}
ROUNDING = 1e-3  # the most by which two may differ that compute the same
LOSSES = {"Simple": "MSE", "Hybrid": "RESCALED_MSE", "VLB": "RESCALED_KL"}


class Original:
    """The original's network with our weights, its diffusion walked through the steps `kept`, and its training loop."""

    def __init__(self, checkout: str, ours: Recipe, *, kept: list[int] | None = None) -> None:
        if not isinstance(ours.diffusion.process, Chain):
            raise ValueError("the original knows diffusions in steps alone; give diffusion=cosine or diffusion=linear")
        self.ours = ours
        self.modules = imported(checkout)
        self.model = self.network(ours)
        self.diffusion = self.spaced(ours, kept or list(range(len(ours.diffusion.process))))

    def network(self, ours: Recipe) -> Any:
        node = ours.config.model
        for name, value in FIXED.items():
            if node[name] != value:
                typed = f"model.{name}={'null' if value is None else value}"
                raise ValueError(f"the original knows no model.{name}={node[name]}; compare at {typed}")
        # Its number of groups is a number in its source, too many for small networks.
        groups = partial(self.modules["nn"].GroupNorm32, node.norm_groups)
        self.modules["unet"].normalization = groups  # type: ignore[attr-defined]
        model = (
            self.modules["unet"]
            .UNetModel(
                in_channels=node.in_channels,
                model_channels=node.base_channels,
                out_channels=node.out_channels,
                num_res_blocks=node.blocks_per_level,
                attention_resolutions=[node.image_size // size for size in node.attention_resolutions],
                dropout=node.dropout,
                channel_mult=tuple(node.channel_mult),
                num_classes=node.num_classes,
                use_checkpoint=bool(node.checkpoint),
                num_heads=node.heads,
                num_heads_upsample=node.heads if node.heads_up is None else node.heads_up,
                use_scale_shift_norm=node.scale_shift,
            )
            .to(ours.device)
        )
        model.load_state_dict(unet.export_released(ours.network))
        return model

    def spaced(self, ours: Recipe, kept: list[int]) -> Any:
        kinds, diffusion = self.modules["gaussian_diffusion"], ours.diffusion
        process = diffusion.process
        return self.modules["respace"].SpacedDiffusion(
            use_timesteps=kept,
            betas=process.move(torch.arange(len(process))).upper.numpy(),
            model_mean_type=kinds.ModelMeanType[chosen(MEANS, diffusion.prediction)],
            model_var_type=kinds.ModelVarType[chosen(VARIANCES, diffusion.variance)],
            loss_type=kinds.LossType[chosen(LOSSES, diffusion.loss)],
            rescale_timesteps=process.times.is_floating_point(),
        )

    def difference(self) -> float:
        """The largest difference between its losses and ours, of each image, relative to ours; without dropout."""
        x_0, condition = self.ours.x_0, self.ours.condition
        t = torch.linspace(0, len(self.ours.diffusion.process) - 1, len(x_0), device=x_0.device).long()
        eps = torch.randn_like(x_0)
        self.model.eval()
        self.ours.network.eval()
        with torch.no_grad():
            example = noised(self.ours.diffusion.process, x_0, t, eps, condition.get("y"))
            mine = self.ours.diffusion.loss(self.ours.diffusion, self.ours.denoiser(self.ours.network), example)["loss"]
            theirs = self.diffusion.training_losses(self.model, x_0, t, model_kwargs=condition, noise=eps)["loss"]
        self.model.train()
        return ((theirs - mine).abs() / mine.abs()).max().item()

    def training(self, *, lr: float = 1e-4, fp16: bool = False) -> Any:
        """Its training loop, whose `run_step(images, condition)` is one step."""
        if not torch.distributed.is_initialized():
            backend = "nccl" if self.ours.device.type == "cuda" else "gloo"
            torch.distributed.init_process_group(backend, store=torch.distributed.HashStore(), rank=0, world_size=1)
        trainer = self.ours.trainer
        self.modules["logger"].configure(dir=tempfile.gettempdir(), format_strs=[])
        return self.modules["train_util"].TrainLoop(
            model=self.model, diffusion=self.diffusion, data=None, batch_size=trainer.batch_size,
            microbatch=trainer.microbatch or -1, lr=lr, ema_rate=",".join(map(str, trainer.ema_rates)),
            log_interval=10, save_interval=10**9, resume_checkpoint="", use_fp16=fp16,
        )  # fmt: skip

    def sampling(self, noise: Tensor) -> Iterator[dict[str, Tensor]]:
        """Its sampling, step by step."""
        return self.diffusion.p_sample_loop_progressive(
            self.model.eval(), tuple(noise.shape), noise=noise, model_kwargs=self.ours.condition
        )


def require_same(what: str, apart: float) -> None:
    """Say how far `what` lies apart; ValueError if it is more than rounding, since times then compare nothing."""
    print(f"{what} differ by at most {apart:.1e}", flush=True)
    if not apart < ROUNDING:
        raise ValueError(f"{what} differ by {apart:.1e}: the original computes something else, and is not timed")


def chosen(names: dict[str, str], choice: object) -> str:
    name = type(choice).__name__
    if name not in names:
        raise ValueError(f"the original has no {name}; give one of {', '.join(names)}, or leave --original out")
    return names[name]


def imported(checkout: str) -> dict[str, ModuleType]:
    """The original's modules by their names."""
    if not (Path(checkout) / "improved_diffusion" / "unet.py").is_file():
        raise ValueError(f"{checkout} holds no improved_diffusion/unet.py; give --original the folder of a checkout")
    sys.path.insert(0, checkout)
    mpi = ModuleType("mpi4py")
    # Asked for on a GPU alone: which of several this process has.
    mpi.MPI = SimpleNamespace(COMM_WORLD=SimpleNamespace(Get_rank=lambda: 0))  # type: ignore[attr-defined]
    sys.modules.setdefault("mpi4py", mpi)
    sys.modules.setdefault("blobfile", ModuleType("blobfile"))
    names = ("nn", "unet", "gaussian_diffusion", "respace", "train_util", "logger")
    return {name: importlib.import_module(f"improved_diffusion.{name}") for name in names}
