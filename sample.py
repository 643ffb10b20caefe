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
from diffusion.inference import fast_network, image_files, task_input
from diffusion.inference.film import Film
from diffusion.runs import naming


@command(__file__)
def main(config: DictConfig) -> None:
    sampler, task = instantiate(config.sampler), instantiate(config.task)
    film = None if config.film is None else Film(config.film)
    model = load.add_guidance(load.load_choice(config), config.checkpoint, config.guidance, trust=config.trust)
    sampler.levels(model.diffusion.process)  # Steps that there are not are refused before anything is announced.
    model = fast_network.make_fast(
        model, compile=config.compile, precision=config.precision, batch_size=config.batch_size
    )
    labels = OmegaConf.to_object(config.labels) if OmegaConf.is_config(config.labels) else config.labels
    asked = {"labels": labels, "low_res": config.low_res}
    prompts = task_input.task_prompts(model, task, sampler, **asked)
    count = task.total(prompts.at_most(config.num_images), model.shape)
    request = image_files.Request(count, config.batch_size, config.seed, prompts, task)

    samples = naming.run_folder_of(Path(config.checkpoint)) / "samples"
    folder = (
        Path(config.out) if config.out else samples / image_files.samples_folder_name(request, model, sampler, **asked)
    )
    distributed.print_once(f"Drawing {request.num_images} images with {model.origin} into {folder}")
    image_files.draw_to_files(request, model, sampler, folder, film)
    distributed.print_once(f"Look at {folder / 'grid.png'}{'' if film is None else f' and {film.path}'}")


if __name__ == "__main__":
    main()
