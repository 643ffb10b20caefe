"""All checks of a run, before it begins: each is one clear line that says what to type."""

import math
import re
from contextlib import suppress

import torch
from hydra.core.hydra_config import HydraConfig
from omegaconf import DictConfig
from torch import Tensor, nn

from diffusion.compute import distributed
from diffusion.compute.memory import check_pixels
from diffusion.compute.precision import check_precision
from diffusion.config.network_call import check_shape
from diffusion.data.conditions import Condition, blanks
from diffusion.data.images import Images
from diffusion.data.loader import batches
from diffusion.denoiser.denoiser import conditions_of
from diffusion.denoiser.diffusion import Loss
from diffusion.evaluation.subject import Evaluation, Subject
from diffusion.inference.labels import numbers_of
from diffusion.inference.prompts import needing_images
from diffusion.inference.trained import Trained
from diffusion.losses.schedule_samplers import LossSecondMoment
from diffusion.runs import naming
from diffusion.runs.metrics import require_logged
from diffusion.runs.state import require_readable
from diffusion.training.parallel import check_processes, map_tensors
from diffusion.training.trainer import Run, Trainer

MOST_NUMBERS = 2**24  # of an image: 2364x2364 in colour
# What training logs beside the terms of its loss.
LOGGED = (
    "grad_norm", "lr", "param_norm", "loss_scale", "skipped_steps", "images_per_second", "tflops", "share_of_peak",
    "memory_gb",
)  # fmt: skip
NEEDED = ("data", "model", "diffusion", "train", "sampler", "logger")


def check_configuration(config: DictConfig) -> None:
    """What can be said of a training configuration before anything is built of it."""
    naming.check_name(config.name)
    for part in NEEDED:
        if config.get(part) is None or "_target_" not in config[part]:
            raise ValueError(f"{part} names no class, and nothing can be trained without it; choose one by {part}=...")


def check_run(trainer: Trainer, run: Run) -> None:
    """Raise ValueError with the first thing that keeps this run from being trained as it is described."""
    check_precision(trainer.precision, run.device, setting="train.precision")
    check_state(trainer, run)
    world = distributed.world_size()
    batches(run.images, run.conditions, batch_size=trainer.batch_size, seed=run.seed, world=world).close()
    check_processes(trainer.parallel)
    check_purpose(trainer, run)
    check_conditions(run)
    check_weighting(trainer, run)
    check_changes(run)
    check_label_dropout(trainer, run)
    check_size(run.images.shape)
    check_shape(trainer, run)
    if trainer.preview.every:
        run.sampler.levels(run.diffusion.process)  # An impossible spacing is refused now, not at the first preview.
    check_evaluations(trainer, run)
    check_objective(trainer, run)


def check_state(trainer: Trainer, run: Run) -> None:
    """All that a checkpoint will hold can be read back from it."""
    weight = nn.Parameter(torch.zeros(1))
    optimizer = trainer.optimizer([weight])
    weight.grad = torch.zeros(1)
    with suppress(Exception):  # Some change matrices alone, or weights on a GPU; theirs is seen when it is saved.
        optimizer.step()
    state = {
        "model": run.model.state_dict(), "optimizer": map_tensors(Tensor.detach, optimizer.state_dict()),
        "schedule_sampler": trainer.schedule_sampler.state_dict(), "config": run.config,
    }  # fmt: skip
    require_readable(state)


def check_purpose(trainer: Trainer, run: Run) -> None:
    """Only what classifies is trained to classify, and it draws nothing."""
    name, kind = type(run.model).__name__, type(run.diffusion.loss).__name__
    classifies = getattr(run.model, "classifies", False)
    if classifies and not run.diffusion.loss.classifies:
        raise ValueError(
            f"{name} classifies and {kind} trains what draws; set diffusion/loss=classification, or model=unet_tiny"
        )
    if run.diffusion.loss.classifies and not classifies:
        raise ValueError(
            f"{kind} trains classifiers and {name} draws; set model=classifier_tiny, or diffusion/loss=hybrid"
        )
    if classifies and trainer.preview.every:
        raise ValueError(f"{name} draws nothing to preview; set train.preview.every=0")
    if classifies and trainer.evaluations:
        raise ValueError("a classifier draws nothing to measure; leave train/evaluations out")


def check_conditions(run: Run) -> None:
    """Whatever is told of an image has someone who listens."""
    takes, name = conditions_of(run.model), type(run.model).__name__
    for key, condition in run.conditions.items():
        if key not in takes and not condition.needs_classes:
            raise ValueError(
                f"the images come with {key} (conditions.{key}), which {name} is not shown; "
                "set 'conditions=[label]', or another model"
            )


def check_weighting(trainer: Trainer, run: Run) -> None:
    """A weighting that learns is trained by who can, and is no loss to learn levels from."""
    weighting = run.diffusion.weighting
    if isinstance(weighting, nn.Module) and trainer.parallel == "fsdp":
        raise ValueError(f"train.parallel=fsdp does not train {type(weighting).__name__}; set train.parallel=ddp")
    if hasattr(weighting, "penalty") and isinstance(trainer.schedule_sampler, LossSecondMoment):
        raise ValueError(
            f"{type(weighting).__name__} makes the losses of all levels alike, so LossSecondMoment learns nothing; "
            "set train/schedule_sampler=normal"
        )


def check_changes(run: Run) -> None:
    """What changes images changes nothing that another condition has already told of them."""
    changing = [name for name, each in run.conditions.items() if type(each).change is not Condition.change]
    if changing and (images := needing_images(run.conditions)):
        raise ValueError(
            f"conditions.{changing[0]} changes the images of which conditions.{images[0]} tells; leave one of them out"
        )


def check_label_dropout(trainer: Trainer, run: Run) -> None:
    """Labels can only be left out where there are some, and by who draws."""
    if not trainer.label_dropout:
        return
    if run.diffusion.loss.classifies:
        raise ValueError("a classifier learns from every label; set train.label_dropout=0")
    if not {*blanks(run.conditions, run.config["classes"])} & {*conditions_of(run.model)}:
        raise ValueError(
            f"train.label_dropout={trainer.label_dropout} has no label to leave out: {type(run.model).__name__} is "
            "told none; give labelled data and 'conditions=[label]', or set train.label_dropout=0"
        )


def check_size(shape: tuple[int, int, int]) -> None:
    """Images are of a size that a batch of them fits into memory."""
    if math.prod(shape) > MOST_NUMBERS:
        raise ValueError(
            f"images of {shape} are {math.prod(shape)} numbers each, and may be {MOST_NUMBERS}; set data.image_size=64"
        )


def check_evaluations(trainer: Trainer, run: Run) -> None:
    """What is trained can be measured as the trainer shall: at once, not after hours."""
    if not trainer.evaluations:
        return
    if run.subject is None:
        raise ValueError(
            f"there are no test images here to measure {', '.join(trainer.evaluations)} by; leave evaluations out, and "
            f"measure what was trained: python evaluate.py checkpoint={run.folder} evaluation=likelihood"
        )
    for name, evaluation in trainer.evaluations.items():
        try:
            check_evaluation(evaluation, run.subject(run.trained(run.model)))
        except ValueError as error:
            place = f"train.evaluations.{name}"
            said = str(error).replace("evaluation.", f"{place}.")
            raise ValueError(said.replace("evaluation/features", f"evaluation/features@{place}.features")) from None


def check_evaluation(evaluation: Evaluation, subject: Subject) -> None:
    """It can measure the subject, by no more images than fit into memory."""
    if evaluation.seeds < 1:
        raise ValueError(f"evaluation.seeds={evaluation.seeds} must be at least 1")
    count = getattr(evaluation, "num_images", None) or 0
    check_pixels(count, subject.model.shape, "set a smaller evaluation.num_images")
    evaluation.check(subject)


def check_objective(trainer: Trainer, run: Run) -> None:
    """The objective of a run that measures nothing is a number that training itself logs."""
    if run.diffusion.loss.terms is not None and not trainer.evaluations:
        require_logged(run.objective, [*run.diffusion.loss.terms, *LOGGED])


def check_sampler(config: DictConfig) -> None:
    """Raise ValueError if a command is told how to draw and draws nothing."""
    if "sampler" not in (config.get("evaluation") or ()):
        for word in HydraConfig.get().overrides.task:
            if re.match(r"\+*sampler\b", word):
                raise ValueError(f"{word} has no use here, where nothing is drawn; leave it out")


def check_labels(loss: Loss, images: Images) -> None:
    """Raise ValueError if the loss needs labels and the images have none."""
    if loss.classifies and images.classes is None:
        raise ValueError("a classifier learns nothing from data without labels; set data=digits, or data.labels=...")


def uses_classes(network: nn.Module, loss: Loss) -> bool:
    """Whether anyone listens to the classes of the images: the network, or the loss of a classifier."""
    return loss.classifies or "y" in conditions_of(network)


def check_draws(model: Trained, place: str) -> None:
    """Raise ValueError if what was trained is a classifier."""
    if model.diffusion.loss.classifies:
        raise ValueError(
            f"{place} holds a classifier, which draws nothing itself; guide a model by it: "
            f"checkpoint=runs/NAME guidance.classifier={place}"
        )


def check_measurable(model: Trained, images: Images) -> None:
    """Raise ValueError unless these images, with all that is known of them, could have come from the model."""
    if images.shape != model.shape:
        ours, theirs = ("x".join(map(str, shape)) for shape in (model.shape, images.shape))
        raise ValueError(
            f"the model draws images of {ours}, the data have {theirs}; "
            f"set data.image_size={min(model.shape[1:])}, or leave data out to take those of training"
        )
    if model.classes is None:
        return
    if images.classes is None:
        names = f"{', '.join(model.classes[:5])}{', ...' if len(model.classes) > 5 else ''} ({len(model.classes)})"
        raise ValueError(
            f"the model is class-conditional ({names}) and the data have no labels; "
            "give labelled ones: data=image_folder data.root=... data.labels=folder"
        )
    numbers_of(list(images.classes), model.classes)
