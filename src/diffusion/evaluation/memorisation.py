"""How close drawn images are to the training images."""

from __future__ import annotations

from pathlib import Path

import torch

from diffusion.compute import distributed
from diffusion.data.images import Images
from diffusion.evaluation import result_cache, samples
from diffusion.evaluation.features import FEATURE_BATCH, Extractor, Features, extract, reference_features
from diffusion.evaluation.novelty import closest_to_farthest, novelty, pairs, plot_novelty
from diffusion.evaluation.subject import (
    NOTHING,
    Evaluation,
    Findings,
    Subject,
    check_same_shape,
    evenly_spaced,
    write_result,
)
from diffusion.inference.image_files import sampler_name
from diffusion.pictures.grid import save_picture
from diffusion.samplers.sampler import Sampler


class Memorisation(Evaluation):
    """Draws `num_images` and finds the training image nearest to each, among all there are.

    Distances are L2 between `features`. The distances of as many test images, if they were not trained on, show what
    to expect of new ones. Costly features of the training images are cached in the folder `cache`.

    Writes result.json, distances.png, and nearest.png: rows of drawn images above their nearest training images, first
    the closest pairs, then median ones, then the farthest.
    """

    def __init__(
        self, *, sampler: Sampler, features: Features, num_images: int = 500, cache: str = result_cache.FOLDER
    ) -> None:
        if num_images < 1:
            raise ValueError(f"evaluation.num_images={num_images} must be at least 1")
        self.sampler, self.features, self.num_images = sampler, features, num_images
        self.cache = Path(cache).expanduser()

    @property
    def name(self) -> str:
        return f"memorisation_{self.features.name}_{self.num_images}_images_{sampler_name(self.sampler)}"

    def check(self, subject: Subject) -> None:
        check_same_shape(subject)
        self.sampler.levels(subject.model.diffusion.process)
        self.features.check(subject)

    def __call__(self, subject: Subject, folder: Path) -> Findings:
        prompts = subject.prompts(self.num_images)
        pixels = samples.draw_all(subject, self.sampler, prompts, num_images=self.num_images)
        extractor, training = self.features.extractor(subject, self.cache), subject.training_images()
        everything = range(len(training))
        learned = reference_features(
            training, everything, self.features, extractor, title=subject.training_title, cache=self.cache
        )
        if not distributed.is_leader():
            return NOTHING
        drawn = torch.cat([extractor.see(batch).features for batch in pixels.split(FEATURE_BATCH)])
        unseen = self.unseen(subject.images, extractor) if subject.held_out else None
        found = novelty(drawn, unseen, learned, place=subject.model.device)
        save_picture(
            folder / "nearest.png", pairs(pixels, found.drawn, training, closest_to_farthest(found.drawn.distance))
        )
        plot_novelty(folder / "distances.png", found, unseen=subject.title)
        numbers = found.numbers(f"{self.features.name}_{subject.training_slug}_{self.num_images}")
        choices = {"num_images": self.num_images, "features": self.features.name, "num_training_images": len(training)}
        write_result(
            folder, {**numbers, **found.facts(), **choices, **samples.sampler_settings(self.sampler), **subject.facts()}
        )
        return Findings(found.text(f"L2 between {self.features.name}, {self.num_images} images"), numbers)

    def unseen(self, images: Images, extractor: Extractor) -> torch.Tensor:
        """The features of images that the model has not seen, as many as are drawn if there are."""
        return torch.cat(list(extract(images, evenly_spaced(len(images), self.num_images), extractor)))
