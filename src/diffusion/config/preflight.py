"""Whether parts that were chosen one by one go together: one clear line if they do not."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from diffusion.data.conditions import BY_LABEL, Conditions, arguments, available
from diffusion.data.images import Images
from diffusion.denoiser.denoiser import conditions_of
from diffusion.denoiser.diffusion import TrainingLoss
from diffusion.inference.labels import numbers_of
from diffusion.inference.trained import Trained
from diffusion.training.preview import Preview


def check_labels(loss: TrainingLoss, images: Images) -> None:
    """Raise ValueError if the loss needs labels and the images have none."""
    if loss.classifies and images.classes is None:
        raise ValueError("a classifier learns nothing from data without labels; set data=digits, or data.labels=...")


def check_training(
    network: nn.Module, loss: TrainingLoss, images: Images, preview: Preview, conditions: Conditions = BY_LABEL
) -> None:
    """Raise ValueError unless this network can be trained with that loss on those images and what is told of them."""
    name, told = type(network).__name__, conditions_of(network)
    check_purpose(name, classifies=getattr(network, "classifies", False), loss=loss, preview=preview)
    unknown = [name for name, condition in conditions.items() if name not in told and not condition.needs_classes]
    if unknown:
        raise ValueError(
            f"the images come with {unknown[0]} (conditions.{unknown[0]}), which {name} is not shown; "
            "set 'conditions=[label]', or another model"
        )
    check_shape(network, images, conditions)


def check_shape(network: nn.Module, images: Images, conditions: Conditions = BY_LABEL) -> None:
    """Raise ValueError unless the network accepts an image of this shape, which it is shown without computing."""
    weights = {name: weight.to("meta") for name, weight in network.state_dict().items()}
    x = torch.zeros(1, *images.shape, device="meta")
    time = torch.zeros(1, device="meta")
    told = conditions_of(network)
    condition = arguments(available(conditions, images.classes), x, time.long())
    with torch.no_grad():
        given = {name: value for name, value in condition.items() if name in told}
        torch.func.functional_call(network, weights, (x, time), given)


def check_purpose(name: str, *, classifies: bool, loss: TrainingLoss, preview: Preview) -> None:
    """Raise ValueError if only one of network and loss is made to classify, or if what classifies is asked to draw."""
    kind = type(loss).__name__
    if classifies != loss.classifies:
        raise ValueError(
            f"{name} classifies and {kind} trains what draws; set diffusion/loss=classification, or model=unet_tiny"
            if classifies
            else f"{kind} trains classifiers and {name} draws; set model=classifier_tiny, or diffusion/loss=hybrid"
        )
    if classifies and preview.every:
        raise ValueError(f"{name} draws nothing to preview; set train.preview.every=0")


def check_draws(model: Trained, place: str) -> None:
    """Raise ValueError if what was trained is a classifier."""
    if model.diffusion.loss.classifies:
        raise ValueError(
            f"{place} holds a classifier, which draws nothing itself; guide a model by it: "
            f"checkpoint=runs/NAME guidance.classifier={place}"
        )


def check_guides(classifier: Trained, model: Trained, place: str) -> None:
    """Raise ValueError unless the classifier at `place` can steer the model: it must know its images at every time."""
    if not classifier.diffusion.loss.classifies:
        raise ValueError(f"{place} holds no classifier; train one: python train.py experiment=digits_classifier")
    if classifier.shape != model.shape:
        raise ValueError(
            f"the classifier in {place} knows images of {spelled(classifier.shape)}, the model draws "
            f"{spelled(model.shape)}; give one that was trained on the same data"
        )
    if model.classes is not None and classifier.classes != model.classes:
        raise ValueError(
            f"the classifier in {place} knows the classes {few(classifier.classes)}, the model {few(model.classes)}; "
            "give one that was trained on the same data"
        )
    theirs, ours = classifier.diffusion.process, model.diffusion.process
    if theirs.bins != ours.bins or not torch.equal(told_at(theirs), told_at(ours)):
        raise ValueError(
            f"the classifier in {place} was told other times ({spelled_times(classifier)}) than the model "
            f"({spelled_times(model)}); train one with the model's diffusion.steps and diffusion.rescale_times"
        )
    every = torch.arange(ours.bins)
    if not torch.equal(theirs.level(every).alpha, ours.level(every).alpha):
        raise ValueError(
            f"the classifier in {place} saw other noise at each time than the model; "
            "train one with the model's diffusion.schedule"
        )


def check_measurable(model: Trained, images: Images) -> None:
    """Raise ValueError unless these images, with all that is known of them, could have come from the model."""
    if images.shape != model.shape:
        raise ValueError(
            f"the model draws images of {spelled(model.shape)}, the data have {spelled(images.shape)}; "
            f"set data.image_size={min(model.shape[1:])}, or leave data out to take those of training"
        )
    if model.classes is None:
        return
    if images.classes is None:
        raise ValueError(
            f"the model is class-conditional ({few(model.classes)}) and the data have no labels; "
            "give labelled ones: data=image_folder data.root=... data.labels=folder"
        )
    numbers_of(list(images.classes), model.classes)


def told_at(process) -> Tensor:
    """What a network is told at each t, (T,)."""
    return process.level(torch.arange(process.bins)).time.float()


def spelled(shape: tuple[int, int, int]) -> str:
    channels, height, width = shape
    return f"{channels}x{height}x{width}"


def few(classes: list[str] | None) -> str:
    names = classes or []
    return f"{', '.join(names[:5])}{', ...' if len(names) > 5 else ''} ({len(names)})"


def spelled_times(model: Trained) -> str:
    times = told_at(model.diffusion.process)
    return f"{len(times)} steps, 0 to {times[-1]:g}"
