"""Draw images from a trained model: python sample.py checkpoint=runs/NAME"""

from pathlib import Path

from omegaconf import DictConfig, OmegaConf

from diffusion import build, drawing
from diffusion.command import command
from diffusion.labels import chosen_labels


@command(__file__)
def main(config: DictConfig) -> None:
    sampler = build.instantiate(config.sampler)
    model = build.trained(config.checkpoint, ema=config.ema, device=config.device)
    asked = OmegaConf.to_object(config.labels) if OmegaConf.is_config(config.labels) else config.labels
    labels = chosen_labels(asked, model.classes)
    request = drawing.Request(config.num_images, config.batch_size, config.seed, labels)

    place = Path(config.checkpoint)
    samples = (place if place.is_dir() else place.parent) / "samples"
    folder = Path(config.out) if config.out else samples / drawing.folder_name(request, model, sampler, asked)
    print(f"Drawing {request.num_images} images with {model.weights} of step {model.step} into {folder}")
    drawing.write(request, model, sampler, folder)
    print(f"Look at {folder / 'grid.png'}")


if __name__ == "__main__":
    main()
