"""Whether drawn images show the class asked for, and whether they are new."""

from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from diffusion.compute import distributed
from diffusion.evaluation.accuracy import Accuracy, measure_accuracy, predict_classes
from diffusion.evaluation.memorisation import novelty
from diffusion.evaluation.recogniser import train_recogniser
from diffusion.evaluation.subject import NOTHING, Evaluation, Examples, Findings, Subject, slug, write_result
from diffusion.inference.image_files import sampler_name
from diffusion.inference.prompts import needing_images
from diffusion.inference.titles import picture_title
from diffusion.pictures.grid import save_picture
from diffusion.pictures.lettering import titled
from diffusion.pictures.pixels import from_uint8
from diffusion.runs.files import atomic_write
from diffusion.samplers.sampler import Sampler

SHOWN_IMAGES = 200
PART = 1024


class Judge(NamedTuple):
    """A classifier, its training and test images, and its accuracy on the latter."""

    network: nn.Module
    accuracy: Accuracy
    training: Examples
    test: Examples


class Recognition(Evaluation):
    """Draws `num_images`, each class in turn, and asks a classifier that saw real training images alone what they show.

    The classifier must itself read `least_accuracy` of the test images right. Beside it: how far the images lie from
    their nearest training image, where test images show what is to be expected of new ones; and their variety, the
    mean distance between two images of one class, beside that of as many training images.

    Writes result.json, grid.png, distances.png, and nearest.png: rows of drawn images above their nearest training
    images, in a column a class, first the closest pair of the class, then a median one, then the farthest.
    """

    def __init__(
        self, *, sampler: Sampler, num_images: int = 500, least_accuracy: float = 0.97, seeds: int = 1
    ) -> None:
        self.sampler, self.num_images, self.least_accuracy, self.seeds = sampler, num_images, least_accuracy, seeds

    @property
    def name(self) -> str:
        return f"recognition_{self.num_images}_images_{sampler_name(self.sampler)}"

    def __call__(self, subject: Subject, folder: Path) -> Findings:
        judge = self.judge(subject) if distributed.is_leader() else None  # before all is drawn, as it may be too poor
        prompts = subject.prompts(self.num_images)
        pixels = subject.draw(self.sampler, prompts, self.num_images)
        if judge is None:
            return NOTHING
        device = subject.model.device
        x, y = from_uint8(pixels.to(device)), prompts.condition(range(self.num_images), device)["y"]
        right = (predict_classes(judge.network, x) == y).double()
        known, unseen = flat_pixels(judge.training.x_0).split(PART), flat_pixels(judge.test.x_0)
        alike = matching_counts(judge.training.y, y)
        real = variety(judge.training.x_0[alike], judge.training.y[alike])
        new = novelty(flat_pixels(x), unseen, known, place=device)
        title = picture_title(subject.model, self.sampler, seed=subject.seed)
        new.show(folder, pixels, subject, title, prompts.labels(range(self.num_images)), y)
        with atomic_write(folder / "grid.png") as path:
            save_picture(path, titled(prompts.picture(x[:SHOWN_IMAGES]), title))
        result: dict[str, Any] = {
            "recognised": right.mean().item(),
            "recognised_by_class": {
                name: right[y == i].mean().item() for i, name in enumerate(subject.model.classes or [])
            },
            "real_recognised": judge.accuracy.share,
            **judge.accuracy.facts("classifier"),
            "num_test_images": len(judge.test.x_0),
            **new.facts(),
            "variety": {"drawn": variety(x, y), "training": real},
            "num_images": self.num_images,
        }
        write_result(folder, {**result, **subject.facts(self.sampler)})
        numbers = {"recognised": result["recognised"], "variety": result["variety"]["drawn"]}
        numbers |= {"real_recognised": judge.accuracy.share, "real_variety": real} | judge.accuracy.facts("classifier")
        numbers |= new.numbers(f"pixels_{slug(subject.training_title)}_{self.num_images}")
        text = (
            f"{result['recognised']:.1%} of {self.num_images} images are recognised as the class asked for, by a "
            f"classifier that reads {judge.accuracy.text(subject.title)}\n"
            f"{new.text('L2, pixels in [0, 1]')}\n"
            f"variety: two images of a class lie {result['variety']['drawn']:.2f} apart on average, "
            f"real ones {real:.2f}"
        )
        return Findings(text, numbers)

    def check(self, subject: Subject) -> None:
        classes = subject.model.classes
        if classes is None:
            raise ValueError(
                "the model is unconditional: no class was asked for that could be recognised; "
                "give a class-conditional one, or evaluation=likelihood"
            )
        if len(classes) < 2:
            raise ValueError(
                f"the model knows one class alone, {classes[0]!r}, which every image would be taken for; "
                "take evaluation=quality or evaluation=likelihood"
            )
        if self.num_images < 2 * len(classes):
            raise ValueError(
                f"{self.num_images} images are fewer than two of each class; "
                f"set evaluation.num_images={2 * len(classes)}"
            )
        if needed := needing_images(subject.model.conditions):
            raise ValueError(
                f"the model is told {needed[0]} of images, whose class shows already; take evaluation=likelihood"
            )
        if not subject.held_out:
            raise ValueError(
                f"all images of {subject.title} were seen in training, and the classifier is tested on others; "
                "give some: data=image_folder data.root=..."
            )
        self.sampler.levels(subject.model.diffusion.process)

    def judge(self, subject: Subject) -> Judge:
        """A classifier trained on the training images; ValueError if its accuracy on the test images is too low."""
        images = subject.training_images()
        test = subject.examples(range(len(subject.images)))
        training = subject._replace(images=images).examples(range(len(images)))
        # One judge, whatever seed is drawn with: the spread of seeds is that of what is judged.
        network = train_recogniser(training.x_0, training.y, num_classes=len(subject.model.classes or []), seed=0)
        accuracy = measure_accuracy(network, test.x_0, test.y)
        if accuracy.share < self.least_accuracy:
            raise ValueError(
                f"the classifier reads only {accuracy.text(subject.title)}, too few to judge by: it takes "
                f"{self.least_accuracy:.1%}; set evaluation.least_accuracy={int(accuracy.share * 100) / 100} to go on"
            )
        return Judge(network, accuracy, training, test)


def matching_counts(known: Tensor, y: Tensor) -> Tensor:
    """The positions in the classes known (M,) of the first of each class, as many as y (N,) has, if there are."""
    return torch.cat([(known == label).nonzero()[: (y == label).sum(), 0] for label in y.unique()])


def variety(x: Tensor, y: Tensor) -> float:
    """The mean distance between two images of one class, over all pairs, then over classes; each has two or more.

    The images x (N, C, H, W) lie in [-1, 1], their classes are y (N,); distances are over pixels in [0, 1].
    """
    return torch.stack([torch.pdist(flat_pixels(x[y == label])).mean() for label in y.unique()]).mean().item()


def flat_pixels(x: Tensor) -> Tensor:
    return ((x + 1) / 2).flatten(1)
