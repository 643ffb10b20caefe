"""What models of labelled images are judged by: the features of a recogniser, the class that it sees, and bits/dim."""

from __future__ import annotations

from pathlib import Path

import torch
from torch import Tensor

from diffusion import ContinuousLikelihood, Likelihood, Recognition, Sampler, Trained
from diffusion.config.subjects import subject_in_training
from diffusion.data.images import Images
from diffusion.evaluation.features import FEATURE_BATCH, Extracted, RealImages, concatenate
from diffusion.evaluation.measures import frechet_distance, gaussian
from diffusion.evaluation.quality import MOST_REAL
from diffusion.evaluation.recogniser import Recogniser
from diffusion.evaluation.result_cache import FOLDER
from diffusion.evaluation.subject import Subject, evenly_spaced
from diffusion.pictures.grid import save_picture
from diffusion.pictures.pixels import from_uint8
from diffusion.training.trainer import Run

SHOWN = 64


class Judge:
    """Draws `images` images with a model and measures them, and its bits/dim of `measured` test images.

    The bits/dim are the bound of all steps of a chain, or that of a process without steps; at so many `levels` an
    image, if given, the latter of either. `run` is a training on the images that all are judged by.
    """

    def __init__(self, run: Run, *, images: int, measured: int, levels: int | None) -> None:
        self.images, self.levels = images, levels
        self.continuous = ContinuousLikelihood() if levels is None else ContinuousLikelihood(levels=levels)
        self.subject = subject_in_training(run.config["data"], run.images, batch_size=100, seed=0)
        subject = self.subject(run.trained(run.model, step=0))
        self.features, self.cache = Recogniser(), Path(FOLDER).expanduser()
        self.check(run)
        self.measured = evenly_spaced(len(subject.images), measured)
        self.extractor = self.features.extractor(subject, self.cache)
        known = self.see(run.images, evenly_spaced(len(run.images), MOST_REAL), subject.training_title)
        self.known = gaussian(known.features.double())
        numbers = evenly_spaced(len(subject.images), images)
        unseen = self.see(subject.images, numbers, subject.title)
        self.real = self.measures(unseen, subject.images.read(numbers)[1])
        """The same measures of as many test images, if there are."""

    def check(self, run: Run) -> None:
        """Raise ValueError if what is trained cannot be judged."""
        subject = self.subject(run.trained(run.model, step=0))
        if not subject.held_out:
            raise ValueError(
                f"{subject.title} is no split of a set that has another to test with; give one such as data=cifar10 "
                "or data=npz data.path=FILE data.split=train"
            )
        if subject.model.classes is None:
            raise ValueError("the model is unconditional; its images are judged by the class asked for")
        Recognition(sampler=run.sampler, num_images=self.images).check(subject)
        self.features.check(subject)

    def see(self, images: Images, numbers: list[int], title: str) -> Extracted:
        return concatenate(RealImages(images, numbers, title).extracted(self.features, self.extractor, self.cache))

    def measures(self, seen: Extracted, y: Tensor) -> dict[str, float]:
        """Of images of the classes y (N,)."""
        assert seen.logits is not None
        return {
            "frechet": frechet_distance(gaussian(seen.features.double()), self.known),
            "recognised": (seen.logits.argmax(1) == y).double().mean().item(),
        }

    def __call__(self, model: Trained, sampler: Sampler, picture: Path) -> dict[str, float]:
        """The measures of drawn images, the first of which are left as a picture."""
        subject = self.subject(model)
        prompts = subject.prompts(self.images)
        pixels = subject.draw(sampler, prompts, self.images)
        save_picture(picture, prompts.picture(from_uint8(pixels[:SHOWN])))
        drawn = concatenate(self.extractor.see(part) for part in pixels.split(FEATURE_BATCH))
        return self.measures(drawn, self.asked(model, self.images))

    def asked(self, model: Trained, count: int) -> Tensor:
        """The classes (N,) that so many images are drawn of."""
        return self.subject(model).prompts(count).condition(range(count), torch.device("cpu"))["y"]

    @torch.no_grad()
    def bits_per_dim(self, model: Trained) -> float:
        """Of test images, evenly spread."""
        subject: Subject = self.subject(model)
        process = model.diffusion.process
        if self.levels is not None or process.length is None:
            bounds = [bound.total for bound in self.continuous.bounds(subject, self.measured)]
        else:
            bounds = [bound.total for bound in Likelihood().bounds(subject, process, self.measured)]
        return torch.cat(bounds).double().mean().item()
