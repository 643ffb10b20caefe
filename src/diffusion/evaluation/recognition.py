"""Whether drawn images show the class asked for, and whether they are new."""

from __future__ import annotations

from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import Tensor
from tqdm import tqdm

from diffusion import distributed
from diffusion.data import Prompts, from_uint8, grid, save_picture, to_uint8
from diffusion.drawing import Request, drawn, name_of
from diffusion.evaluation.neighbours import Nearest, nearest, variety
from diffusion.evaluation.plots import plot_distances
from diffusion.evaluation.recogniser import recognised, trained_recogniser
from diffusion.evaluation.subject import Evaluation, Subject, write_result
from diffusion.samplers import Sampler

COLUMNS = 10
SHOWN = 200
QUANTILES = (0.0, 0.25, 0.5, 0.75, 1.0)


class Labelled(NamedTuple):
    """Images x (N, C, H, W) in [-1, 1] and their classes y (N,)."""

    x: Tensor
    y: Tensor


class Recognition(Evaluation):
    """Draws `num_images`, each class in turn, and asks a classifier that saw real training images alone what they show.

    The classifier must itself read `least_accuracy` of the test images right. Beside it: how far the images lie from
    their nearest training image, where test images show what is to be expected of new ones; and their variety, the
    mean distance between two images of one class, beside that of as many training images.

    Writes result.json, grid.png, distances.png, and nearest.png: rows of drawn images above their nearest training
    images, in a column a class, first the closest pair of the class, then a median one, then the farthest.
    """

    def __init__(self, *, sampler: Sampler, num_images: int = 500, least_accuracy: float = 0.97) -> None:
        self.sampler, self.num_images, self.least_accuracy = sampler, num_images, least_accuracy

    @property
    def name(self) -> str:
        return f"recognition_{name_of(self.sampler)}"

    def __call__(self, subject: Subject, folder: Path) -> str:
        classes = subject.model.classes or []
        training = everything(subject._replace(images=subject.training_images()))
        test = everything(subject)
        judge = trained_recogniser(*training, num_classes=len(classes), seed=subject.seed)
        accuracy = (recognised(judge, test.x) == test.y).double().mean().item()
        if accuracy < self.least_accuracy:
            raise ValueError(
                f"the classifier reads only {accuracy:.1%} of {subject.title} right, too few to judge by; "
                f"set evaluation.least_accuracy={int(accuracy * 100) / 100} to go on"
            )
        prompts = Prompts(list(range(len(classes))))
        samples = self.samples(subject, prompts)
        right = (recognised(judge, samples.x) == samples.y).double()
        near, expected = nearest(samples.x, training.x), nearest(test.x, training.x)

        save_picture(folder / "grid.png", prompts.picture(samples.x[:SHOWN]))
        save_picture(folder / "nearest.png", pairs(samples, near, training.x, num_classes=len(classes)))
        distances = {"drawn": near.distance.tolist(), subject.title: expected.distance.tolist()}
        plot_distances(folder / "distances.png", distances, xlabel="L2 distance to the nearest training image")
        result: dict[str, Any] = {
            "recognised": right.mean().item(),
            "recognised_by_class": {name: right[samples.y == i].mean().item() for i, name in enumerate(classes)},
            "classifier_accuracy": accuracy,
            "num_test_images": len(test.x),
            "nearest_training_image": {"drawn": quantiles(near.distance), "test": quantiles(expected.distance)},
            "nearer_than_any_test_image": int((near.distance < expected.distance.min()).sum()),
            "variety": {"drawn": variety(*samples), "training": variety(*as_many(training, samples))},
            "num_images": self.num_images,
            "sampler": {"kind": type(self.sampler).__name__, **vars(self.sampler)},
        }
        write_result(folder, {**result, **subject.facts()})
        return summary(result, subject.title)

    def check(self, subject: Subject) -> None:
        distributed.require_one_process("evaluation=recognition")
        classes = subject.model.classes
        if classes is None:
            raise ValueError(
                "the model is unconditional: no class was asked for that could be recognised; "
                "give a class-conditional one, or evaluation=likelihood"
            )
        if self.num_images < 2 * len(classes):
            raise ValueError(
                f"{self.num_images} images are fewer than two of each class; "
                f"set evaluation.num_images={2 * len(classes)}"
            )
        if subject.model.low_res_size is not None:
            raise ValueError("the model enlarges images, whose class shows already; take evaluation=likelihood")
        if not subject.held_out:
            raise ValueError(
                f"all images of {subject.title} were seen in training, and the classifier is tested on others; "
                "give some: data=image_folder data.root=..."
            )
        self.sampler.spaced(subject.model.diffusion)

    def samples(self, subject: Subject, prompts: Prompts) -> Labelled:
        """The images, as their pixels are stored, and the classes asked for."""
        request = Request(self.num_images, subject.batch_size, subject.seed, prompts)
        batches = []
        with tqdm(total=self.num_images, unit="image", disable=None) as bar:
            for batch in drawn(request, subject.model, self.sampler):
                batches.append(from_uint8(to_uint8(batch)))
                bar.update(len(batch))
        return Labelled(torch.cat(batches), prompts.condition(range(self.num_images), subject.model.device)["y"])


def everything(subject: Subject) -> Labelled:
    x_0, condition = subject.examples(range(len(subject.images)))
    return Labelled(x_0, condition["y"])


def as_many(images: Labelled, like: Labelled) -> Labelled:
    """The first images of each class, as many as there are of it in `like`, if there are."""
    chosen = torch.cat([(images.y == label).nonzero()[: (like.y == label).sum(), 0] for label in like.y.unique()])
    return Labelled(images.x[chosen], images.y[chosen])


def quantiles(distances: Tensor) -> dict[str, float]:
    """The least, the quartiles and the greatest, by "0.0" ... "1.0"."""
    return {str(q): distances.double().quantile(q).item() for q in QUANTILES}


def pairs(samples: Labelled, near: Nearest, training: Tensor, *, num_classes: int):
    """The picture of `nearest.png`: six rows for at most ten classes, uint8 (height, width, C)."""
    columns = min(num_classes, COLUMNS)
    ordered = [near.distance.where(samples.y == label, torch.inf).argsort() for label in range(columns)]
    counts = [int((samples.y == label).sum()) for label in range(columns)]
    rows = []
    for place in (0.0, 0.5, 1.0):
        chosen = torch.stack([order[int(place * (count - 1))] for order, count in zip(ordered, counts, strict=True)])
        rows += [samples.x[chosen], training[near.which[chosen]]]
    return grid(torch.cat(rows), columns=columns)


def summary(result: dict[str, Any], title: str) -> str:
    drawn, test = (result["nearest_training_image"][kind]["0.5"] for kind in ("drawn", "test"))
    return (
        f"{result['recognised']:.1%} of {result['num_images']} images are recognised as the class asked for, by a "
        f"classifier that reads {result['classifier_accuracy']:.1%} of {result['num_test_images']} images of {title} "
        f"right\nnearest training image: at a median distance of {drawn:.2f}, test images {test:.2f} "
        f"(L2, pixels in [0, 1]); {result['nearer_than_any_test_image']} are nearer to one than any test image is\n"
        f"variety: two images of a class lie {result['variety']['drawn']:.2f} apart on average, "
        f"real ones {result['variety']['training']:.2f}"
    )
