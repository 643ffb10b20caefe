"""Measure a trained model: python evaluate.py checkpoint=runs/NAME evaluation=likelihood (or another of its group)"""

from contextlib import nullcontext
from pathlib import Path

from omegaconf import DictConfig

from diffusion import build, distributed, inference, restore, run_folder
from diffusion.command import command
from diffusion.files import made


@command(__file__)
def main(config: DictConfig) -> None:
    evaluation = build.instantiate(config.evaluation)
    model = restore.chosen(config, reads_data=True)
    model = inference.ready(model, compile=config.compile, precision=config.precision)
    subject = build.subject(config, model)
    evaluation.check(subject)
    results = run_folder.holding(Path(config.checkpoint)) / "evaluation"
    folder = Path(config.out) if config.out else results / subject.folder_name(evaluation)
    distributed.say(f"Measuring {subject.model.origin} on {subject.title} into {folder}")
    with made(folder) if distributed.leads() else nullcontext():
        distributed.say(evaluation(subject, folder).text)


if __name__ == "__main__":
    main()
