"""Train a diffusion model: python train.py [group=option] [key=value]; --help lists them."""

if __name__ == "__main__":  # before the imports below, which take seconds
    from diffusion.cli.help import answer_help

    answer_help(__file__)

import logging
from contextlib import nullcontext
from pathlib import Path

from hydra.core.hydra_config import HydraConfig
from omegaconf import DictConfig, OmegaConf

from diffusion.cli.command import ExitStatus, command
from diffusion.compute import distributed
from diffusion.compute.device import resolve_device
from diffusion.config import build, data_choice, load, preflight, resume
from diffusion.config.instantiate import plain_values
from diffusion.config.trust import targets
from diffusion.inference.prompts import needing_images
from diffusion.runs import naming, provenance, status
from diffusion.runs.files import atomic_write_text, lock_folder
from diffusion.runs.metrics import objective_value
from diffusion.training.loop import fit
from diffusion.training.trainer import Run, Trainer

log = logging.getLogger("train")


@command(__file__)
def main(config: DictConfig) -> ExitStatus:
    folder = Path(HydraConfig.get().runtime.output_dir)
    preflight.check_configuration(config)
    distributed.join_process_group(resolve_device(config.device))
    values = plain_values(config)
    also = data_choice.replaceable(values["data"])
    step = distributed.broadcast_from_leader(
        lambda: status.finished_step(folder, values, also, resume.comparable_settings)
    )
    if step is not None:
        rises = "; its rate then rises again, to fall towards the new end" if config.train.anneal_steps else ""
        log.info(
            "Nothing to train: %s is finished, at step %d. To train on, set train.max_steps=%d or another number above "
            "%d%s; to train anew, name=NAME", folder, step, 2 * step, step, rises,
        )  # fmt: skip
        return ExitStatus(0, distributed.broadcast_from_leader(lambda: objective_value(folder, config.objective)))
    with lock_folder(folder) if distributed.is_leader() else nullcontext():
        return train(config, folder)


def train(config: DictConfig, folder: Path) -> ExitStatus:
    trainer, run = build.training(config, folder)
    run.guidance = load.guidance_of(config.guidance, run.trained(run.model), trust=config.trust)
    preflight.check_evaluations(trainer, run)  # again, of what is guided
    state = resume.resume(trainer, run, init_from=config.init_from, trust=config.trust)
    log.info("Run folder: %s", folder)
    if (world := distributed.world_size()) > 1 or trainer.microbatch:
        log.info("A batch of %d images: %s", trainer.batch_size, division(trainer, world))
    if distributed.is_leader():
        atomic_write_text(folder / "config.yaml", OmegaConf.to_yaml(OmegaConf.create(run.config)))
        made_by = provenance.record_provenance(
            folder, command=["python", "train.py", *HydraConfig.get().overrides.task]
        )
        run.logger.start(folder, name=config.name, config=run.config, resume=state is not None, provenance=made_by)
    code = 1
    try:
        with status.record_status(folder, trainer.max_steps) as end:
            code = end.code = fit(trainer, run, state)
            if not code:
                end.objective = distributed.broadcast_from_leader(lambda: objective_value(folder, config.objective))
    finally:
        run.logger.finish(code)
    if code:
        log.info("Stopped by a signal, all steps saved. The same command goes on from here.")
    else:
        log.info("Draw images: %s", drawing_command(run))
        log.info("Done. Everything lies in %s", folder)
    return ExitStatus(code, end.objective)


def division(trainer: Trainer, world: int) -> str:
    """How a batch is made up: "2 processes x 4 micro-batches x 16 images"."""
    share = trainer.batch_size // world
    size = trainer.microbatch or share
    counts = ((world, "process", "es"), (share // size, "micro-batch", "es"), (size, "image", "s"))
    return " x ".join(f"{count} {what}{plural if count != 1 else ''}" for count, what, plural in counts)


def drawing_command(run: Run) -> str:
    """What to type to draw images with what was trained: by it, or by another model that it guides."""
    if run.diffusion.loss.classifies:
        return f"python sample.py checkpoint=runs/NAME {naming.shell_override('guidance.classifier', run.folder)}"
    small = " low_res=FOLDER" if needing_images(run.conditions) else ""
    named = targets({part: run.config[part] for part in ("model", "diffusion")})
    own = sorted({target.partition(".")[0] for _, target in named} - {"diffusion", "unet", "torch"})
    trust = f" 'trust=[{','.join(own)}]'" if own else ""
    return f"python sample.py {naming.shell_override('checkpoint', run.folder)}{small}{trust}"


if __name__ == "__main__":
    main()
