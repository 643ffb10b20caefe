"""Measure a trained model: python evaluate.py checkpoint=runs/NAME evaluation=likelihood (or another of its group)"""

if __name__ == "__main__":  # before the imports below, which take seconds
    from diffusion.cli.help import answer_help

    answer_help(__file__)

from contextlib import nullcontext
from pathlib import Path

from omegaconf import DictConfig

from diffusion.cli.command import command
from diffusion.compute import distributed
from diffusion.config import load, preflight, subjects
from diffusion.config.instantiate import instantiate
from diffusion.inference import fast_network
from diffusion.runs import naming
from diffusion.runs.files import make_folder


@command(__file__)
def main(config: DictConfig) -> None:
    preflight.check_sampler(config)
    evaluation = instantiate(config.evaluation)
    model = load.load_choice(config, reads_data=True)
    model = load.add_guidance(model, config.checkpoint, config.guidance, trust=config.trust)
    model = fast_network.make_fast(
        model, compile=config.compile, precision=config.precision, batch_size=config.batch_size
    )
    subject = subjects.subject(config, model)
    preflight.check_evaluation(evaluation, subject)
    results = naming.run_folder_of(Path(config.checkpoint)) / "evaluation"
    folder = Path(config.out) if config.out else results / subject.folder_name(evaluation)
    distributed.print_once(f"Measuring {subject.model.origin} on {subject.title} into {folder}")
    with make_folder(folder) if distributed.is_leader() else nullcontext():
        distributed.print_once(evaluation.measure(subject, folder).text)


if __name__ == "__main__":
    main()
