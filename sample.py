"""Draw images from a trained model: python sample.py checkpoint=runs/NAME"""

if __name__ == "__main__":  # before the imports below, which take seconds
    from diffusion.cli.help import answer_help

    answer_help(__file__)

from pathlib import Path

from omegaconf import DictConfig, OmegaConf

from diffusion.cli.command import command
from diffusion.compute import distributed
from diffusion.config import load
from diffusion.config.instantiate import instantiate
from diffusion.inference import fast_network, image_files, low_res_input
from diffusion.runs import naming


@command(__file__)
def main(config: DictConfig) -> None:
    sampler = instantiate(config.sampler)
    model = load.add_guidance(load.load_choice(config), config.checkpoint, config.guidance, trust=config.trust)
    sampler.levels(model.diffusion.process)  # Steps that there are not are refused before anything is announced.
    model = fast_network.make_fast(model, compile=config.compile, precision=config.precision)
    labels = OmegaConf.to_object(config.labels) if OmegaConf.is_config(config.labels) else config.labels
    asked = {"labels": labels, "low_res": config.low_res}
    prompts = low_res_input.low_res_prompts(model, **asked)
    request = image_files.Request(prompts.at_most(config.num_images), config.batch_size, config.seed, prompts)

    samples = naming.run_folder_of(Path(config.checkpoint)) / "samples"
    folder = (
        Path(config.out) if config.out else samples / image_files.samples_folder_name(request, model, sampler, **asked)
    )
    distributed.print_once(f"Drawing {request.num_images} images with {model.origin} into {folder}")
    image_files.draw_to_files(request, model, sampler, folder)
    distributed.print_once(f"Look at {folder / 'grid.png'}")


if __name__ == "__main__":
    main()
