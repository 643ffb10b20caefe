"""The same as train.py and sample.py, from Python: `diffusion.train` and `diffusion.load`."""

import copy
from collections.abc import Callable, Iterable
from contextlib import nullcontext
from functools import partial
from pathlib import Path
from typing import Any

import hydra
import torch
from hydra.core.override_parser.types import Quote, QuotedString
from torch import nn

from diffusion.compute import distributed
from diffusion.compute.device import resolve_device
from diffusion.config import load as loading
from diffusion.config import preflight, resume
from diffusion.config.describe import describe
from diffusion.config.signature import as_list, is_plain
from diffusion.data.conditions import BY_LABEL, Conditions, available
from diffusion.data.images import Images
from diffusion.denoiser.diffusion import Diffusion
from diffusion.inference.model import Model
from diffusion.losses.schedule_samplers import ScheduleSampler, Uniform
from diffusion.runs.files import lock_folder
from diffusion.runs.naming import run_folder_of
from diffusion.samplers.ancestral import Ancestral
from diffusion.samplers.sampler import Sampler
from diffusion.tracking.loggers import Logger, Loggers
from diffusion.training.adamw import AdamW
from diffusion.training.loop import fit
from diffusion.training.preview import Preview
from diffusion.training.trainer import Run, Trainer

CONF = Path(__file__).parents[3] / "conf"


def load(
    path: str | Path, *, network: nn.Module | None = None, diffusion: Diffusion | None = None,
    conditions: Conditions | None = None, ema: float | str | None = None, device: str = "auto",
    trust: Iterable[str] = (), experiment: str | None = None,
) -> Model:  # fmt: skip
    """The trained model at `path`: a run folder, a checkpoint, a folder of diffusers' UNet2DModel and its scheduler,
    or with `experiment` a file of weights from OpenAI.

    `ema` names the weights (a rate, or "off"; the slowest average by default). `network`, `diffusion` and `conditions`
    are needed where the run was begun in Python with parts that do not keep their arguments. `trust` lists the packages
    whose classes a checkpoint may name.
    """
    if experiment is None:
        parts = {"model": network, "diffusion": diffusion, "conditions": conditions}
        model = Model(*loading.load_model(str(path), ema=ema, device=device, trust=trust, parts=parts))
        return model._replace(name=run_folder_of(Path(path)).resolve().name)
    given = {"network": network, "diffusion": diffusion, "conditions": conditions, "ema": ema, "trust": trust or None}
    if said := [name for name, value in given.items() if value is not None]:
        raise ValueError(f"experiment={experiment} says all of a file of weights; leave {', '.join(said)} out")
    if not CONF.is_dir():
        raise ValueError(f"experiment={experiment} is read from conf/ of the repository, and there is no {CONF}")
    with hydra.initialize_config_dir(str(CONF), version_base="1.3"):
        quoted = QuotedString(text=str(path), quote=Quote.single).with_quotes()
        words = [f"checkpoint={quoted}", f"experiment={experiment}", f"device={device}"]
        return Model(*loading.load_choice(hydra.compose("sample", words)))


def train(
    network: nn.Module, diffusion: Diffusion, images: Images, *, max_steps: int, folder: str | Path,
    conditions: Conditions = BY_LABEL, lr: float = 1e-4, optimizer: Callable[..., torch.optim.Optimizer] | None = None,
    schedule_sampler: ScheduleSampler | None = None, preview: Preview | None = None, sampler: Sampler | None = None,
    logger: Logger | None = None, seed: int = 0, device: str = "auto", **settings: Any,
) -> Model:  # fmt: skip
    """Train `network` on `images` to `max_steps`, in `folder`; the same call goes on where it was stopped.

    `settings` are those of `Trainer`, such as batch_size, ema_rates or save_every; unlike train.py, without an
    `optimizer` it is AdamW at the constant rate `lr`. Returns the model with the slowest average of its weights.
    """
    distributed.join_process_group(resolve_device(device))
    trainer = Trainer(
        optimizer=optimizer or partial(AdamW, lr=lr), schedule_sampler=schedule_sampler or Uniform(),
        preview=preview or Preview(every=0), max_steps=max_steps, **settings,
    )  # fmt: skip
    preflight.check_labels(diffusion.loss, images)
    classes = list(images.classes or ()) if preflight.uses_classes(network, diffusion.loss) else None
    told = available(conditions, classes or None)
    plain = {key: as_list(value) for key, value in {"max_steps": max_steps, **settings}.items() if is_plain(value)}
    rate = {} if optimizer else {"optimizer": {"lr": lr}}
    config = {
        "model": describe(network), "diffusion": describe(diffusion), "data": describe(images), "seed": seed,
        "conditions": {name: describe(condition) for name, condition in told.items()},
        "train": {**plain, **rate}, "shape": list(images.shape), "classes": classes or None,
    }  # fmt: skip
    folder = Path(folder).absolute()
    run = Run(
        folder=folder, seed=seed, device=resolve_device(device), model=copy.deepcopy(network), diffusion=diffusion,
        images=images, conditions=told, sampler=sampler or Ancestral(), config=config,
        logger=Loggers(logger or Logger()),
    )  # fmt: skip
    preflight.check_run(trainer, run)
    fit_in_its_folder(trainer, run)
    return load(folder, network=network, diffusion=diffusion, conditions=told, device=device)


def fit_in_its_folder(trainer: Trainer, run: Run) -> None:
    """Train the run to its end, with its folder locked; KeyboardInterrupt if a signal stops it before."""
    with lock_folder(run.folder) if distributed.is_leader() else nullcontext():
        state = resume.resume(trainer, run, init_from=None)
        if distributed.is_leader():
            run.logger.start(run.folder, name=run.folder.name, config=run.config, resume=state is not None)
        code = 1
        try:
            code = fit(trainer, run, state)
        finally:
            run.logger.finish(code)
    distributed.all_gather(None)  # The leader has written what all then load.
    if code:
        raise KeyboardInterrupt(f"stopped by a signal; all steps are saved in {run.folder}")
