"""How close drawn images are to the training images."""

from __future__ import annotations

from pathlib import Path

import torch

from diffusion.compute import distributed
from diffusion.evaluation import result_cache
from diffusion.evaluation.features import FEATURE_BATCH, Features, RealImages
from diffusion.evaluation.novelty import novelty
from diffusion.evaluation.subject import NOTHING, Evaluation, Findings, Subject, evenly_spaced, slug, write_result
from diffusion.inference.image_files import sampler_name
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
        subject.check_comparable()
        self.sampler.levels(subject.model.diffusion.process)
        self.features.check(subject)

    def __call__(self, subject: Subject, folder: Path) -> Findings:
        pixels = subject.draw(self.sampler, subject.prompts(self.num_images), self.num_images)
        extractor, training = self.features.extractor(subject, self.cache), subject.training_images()
        learned = RealImages(training, range(len(training)), subject.training_title)
        known = learned.features(self.features, extractor, self.cache)
        if not distributed.is_leader():
            return NOTHING
        drawn = torch.cat([extractor.see(batch).features for batch in pixels.split(FEATURE_BATCH)])
        others = evenly_spaced(len(subject.images), self.num_images)
        unseen = torch.cat(list(extractor.extract(subject.images, others))) if subject.held_out else None
        found = novelty(drawn, unseen, known, place=subject.model.device)
        found.show(folder, pixels, subject)
        numbers = found.numbers(f"{self.features.name}_{slug(subject.training_title)}_{self.num_images}")
        choices = {"num_images": self.num_images, "features": self.features.name, "num_training_images": len(training)}
        write_result(folder, {**numbers, **found.facts(), **choices, **subject.facts(self.sampler)})
        return Findings(found.text(f"L2 between {self.features.name}, {self.num_images} images"), numbers)
