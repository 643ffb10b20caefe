"""What a model is asked to draw by a task: which classes, beside which images."""

from diffusion.inference.labels import Labels, chosen_labels
from diffusion.inference.low_res_input import labels_of, low_res_prompts
from diffusion.inference.prompts import Prompts, by_label, needing_images, rows_in_turn
from diffusion.inference.trained import Trained
from diffusion.samplers.sampler import Sampler
from diffusion.tasks.task import Task


def task_prompts(model: Trained, task: Task, sampler: Sampler, *, labels: Labels, low_res: str | None) -> Prompts:
    """What to tell the network for the images of a task; ValueError if the model or the sampler cannot do it."""
    check_task(model, task, sampler)
    if task.enlarges:
        return low_res_prompts(model, labels=labels, low_res=low_res)
    if low_res is not None:
        raise ValueError(f"low_res={low_res} was given, but {type(task).__name__} enlarges no images; leave it out")
    rows = {**rows_in_turn(model.conditions, model.classes), **by_label(task_labels(model, task, labels))}
    return Prompts(rows, classes=model.classes_to_ask)


def check_task(model: Trained, task: Task, sampler: Sampler) -> None:
    """Raise ValueError unless the model and the sampler can do the task."""
    if needing_images(model.conditions) and not task.enlarges:
        raise ValueError(
            f"the model enlarges images, for which {type(task).__name__} has no meaning; leave task out, or take a "
            "model that is told no image"
        )
    task.check(sampler, model.diffusion.process, model.shape)


def task_labels(model: Trained, task: Task, labels: Labels) -> list[int] | None:
    """The classes to ask for in turn: those named, or those of the given images; every one where none are given."""
    if (given := task.labels(model.shape)) is None:
        return chosen_labels(labels, model.classes_to_ask)
    place, own = given
    return labels_of(own, labels, model.classes_to_ask, place)
