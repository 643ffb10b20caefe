"""Train a diffusion model: python train.py [group=option] [key=value]; --help lists them."""

import logging
from pathlib import Path

from hydra.core.hydra_config import HydraConfig
from omegaconf import DictConfig, OmegaConf

from diffusion import build, distributed, restore, run_folder
from diffusion.command import command
from diffusion.training import checkpoint

log = logging.getLogger("train")


@command(__file__)
def main(config: DictConfig) -> int:
    distributed.require_one_process("training")
    folder = Path(HydraConfig.get().runtime.output_dir)
    trainer, run = build.training(config, folder)
    log.info("Run folder: %s", folder)
    state = checkpoint.newest(folder)
    if state is not None:
        changes = run_folder.check_resumable(state["config"], run.config)
        log.info("Resuming at step %d%s", state["step"], "".join(f"; {change}" for change in changes))
    elif config.init_from is not None:
        restore.start_from(run.model, config.init_from, model=run.config["model"])
        log.info("Starting with the weights of %s", config.init_from)
    OmegaConf.save(OmegaConf.create(run.config), folder / "config.yaml")

    run.logger.start(folder, name=config.name, config=run.config, resume=state is not None)
    code = 1
    try:
        code = trainer.fit(run, state)
    finally:
        run.logger.finish(code)
    if code:
        log.info("Stopped by a signal, all steps saved. The same command goes on from here.")
    else:
        log.info("Done. Everything lies in %s", folder)
        log.info("Draw images: %s", run.drawing_command)
    return code


if __name__ == "__main__":
    main()
