"""Draw images from a trained model: python sample.py checkpoint=runs/NAME"""

from pathlib import Path

from omegaconf import DictConfig, OmegaConf

from diffusion import build, distributed, drawing, inference, low_res, restore, run_folder
from diffusion.command import command


@command(__file__)
def main(config: DictConfig) -> None:
    sampler = build.instantiate(config.sampler)
    model = restore.guided(restore.chosen(config), config.checkpoint, config.guidance)
    model = inference.ready(model, compile=config.compile, precision=config.precision)
    labels = OmegaConf.to_object(config.labels) if OmegaConf.is_config(config.labels) else config.labels
    asked = {"labels": labels, "low_res": config.low_res}
    prompts = low_res.prompts(model, **asked)
    request = drawing.Request(prompts.at_most(config.num_images), config.batch_size, config.seed, prompts)

    samples = run_folder.holding(Path(config.checkpoint)) / "samples"
    folder = Path(config.out) if config.out else samples / drawing.folder_name(request, model, sampler, **asked)
    distributed.say(f"Drawing {request.num_images} images with {model.origin} into {folder}")
    drawing.write(request, model, sampler, folder)
    distributed.say(f"Look at {folder / 'grid.png'}")


if __name__ == "__main__":
    main()
