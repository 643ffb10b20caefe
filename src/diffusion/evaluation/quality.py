"""How close drawn images are to real ones, as sets: FID and its relatives."""

from pathlib import Path

import torch
from torch import Tensor

from diffusion.compute import distributed
from diffusion.evaluation import result_cache
from diffusion.evaluation.controls import Control, check_noise, pure_noise
from diffusion.evaluation.features import (
    FEATURE_BATCH,
    Extracted,
    Extractor,
    Features,
    RealImages,
    concatenate,
    held_out,
)
from diffusion.evaluation.measures import Value, comparison, format_values, metric_names
from diffusion.evaluation.subject import NOTHING, Evaluation, Findings, Subject, evenly_spaced, slug, write_result
from diffusion.inference.image_files import sampler_name
from diffusion.inference.prompts import Prompts
from diffusion.inference.titles import picture_title
from diffusion.pictures.grid import save_picture
from diffusion.pictures.lettering import titled
from diffusion.pictures.pixels import from_uint8
from diffusion.runs.files import atomic_write
from diffusion.samplers.sampler import Sampler

GRID_IMAGES = 100
NEIGHBOURS = 3
FEWEST = 4  # so that half of them are two, which have a kernel distance
MOST_REAL = 50_000
MOST_NOISE_IMAGES = 1_000
REFERENCES = ("train", "test")


class Quality(Evaluation):
    """Draws `num_images` and compares their `features` with those of real images (at most 50,000, evenly spread).

    The measures: Fréchet distance, kernel distance, class score, precision and recall with balls that reach to the
    `neighbours`-th neighbour; `metrics` names those to take, None takes all. On InceptionV3 the first three are called
    FID, KID and Inception score, on other features never. A metric's full name holds features, reference, number of
    images, and `neighbours` other than 3, since values compare at the same ones only. `reference` is the split to
    compare with, and the folder `cache` keeps its features.

    Beside them stand the values of real images that were kept apart, and of pure noise, in place of drawn ones. If the
    features take noise for real images, nothing is drawn and no precision is given.

    Writes result.json and grid.png.
    """

    def __init__(
        self,
        *,
        sampler: Sampler,
        features: Features,
        num_images: int = 500,
        metrics: tuple[str, ...] | None = None,
        reference: str = "train",
        neighbours: int = NEIGHBOURS,
        seeds: int = 1,
        cache: str = result_cache.FOLDER,
    ) -> None:
        self.sampler, self.features, self.num_images, self.seeds = sampler, features, num_images, seeds
        self.metrics = tuple(features.metrics.values() if metrics is None else metrics)
        self.reference, self.neighbours, self.cache = reference, neighbours, Path(cache).expanduser()
        known = list(features.metrics.values())
        if unknown := [metric for metric in self.metrics if metric not in known] or ([""] if not self.metrics else []):
            raise ValueError(
                f"there is no metric {unknown[0]!r} of {self.features.name} features; set evaluation.metrics to some "
                f"of [{','.join(known)}]; FID, KID and Inception score need evaluation/features=inception"
            )
        if self.reference not in REFERENCES:
            raise ValueError(f"there is no reference {self.reference!r}; set evaluation.reference to train or test")
        if neighbours < 1:
            raise ValueError(f"evaluation.neighbours={neighbours} must be at least 1")
        if self.num_images < self.least:
            raise ValueError(
                f"{self.num_images} images are too few to measure with evaluation.neighbours={self.neighbours}; "
                f"set evaluation.num_images={self.least} or more"
            )

    @property
    def name(self) -> str:
        parts = ["quality", self.features.name, f"{self.num_images}_images"]
        parts += [] if self.reference == "train" else [f"against_{self.reference}"]
        known = self.features.metrics.values()
        parts += [metric for metric in known if metric in self.metrics] if set(known) - set(self.metrics) else []
        return "_".join([*parts, *self.unusual, sampler_name(self.sampler)])

    @property
    def unusual(self) -> list[str]:
        """The neighbours in a name, if they are not the paper's 3."""
        return [] if self.neighbours == NEIGHBOURS else [f"{self.neighbours}_neighbours"]

    @property
    def least(self) -> int:
        """The least number of drawn, and of real, images."""
        return max(FEWEST, self.neighbours + 1)

    def check(self, subject: Subject) -> None:
        subject.check_comparable()
        if self.reference == "test" and not subject.held_out:
            raise ValueError(f"all images of {subject.title} were seen in training; set evaluation.reference=train")
        real = self.real(subject)
        if len(real.numbers) < self.least:
            raise ValueError(
                f"{real.title} has {len(real.numbers)} images, too few to compare with "
                f"evaluation.neighbours={self.neighbours}; give a set of {self.least} or more"
            )
        self.sampler.levels(subject.model.diffusion.process)
        self.features.check(subject)

    def real(self, subject: Subject) -> RealImages:
        """The images to compare with."""
        images, title = subject.images, subject.title
        if self.reference == "train":
            images, title = subject.training_images(), subject.training_title
        return RealImages(images, evenly_spaced(len(images), MOST_REAL), title)

    def unseen(self, subject: Subject) -> RealImages | None:
        """Real images that show how close to the reference one may hope to come; at most as many as are drawn."""
        numbers = evenly_spaced(len(subject.images), self.num_images)
        if not subject.held_out or self.reference == "test" or len(numbers) < self.least:
            return None
        return RealImages(subject.images, numbers, subject.title)

    def __call__(self, subject: Subject, folder: Path) -> Findings:
        extractor, prompts = self.features.extractor(subject, self.cache), subject.prompts(self.num_images)
        real, unseen = self.real(subject), self.unseen(subject)
        known = concatenate(real.extracted(self.features, extractor, self.cache))
        others = None if unseen is None else concatenate(unseen.extracted(self.features, extractor, self.cache))
        # Before all is drawn, since they may show that nothing can be said of it.
        controls = distributed.broadcast_from_leader(
            lambda: [
                *self.real_control(subject, real, known, unseen, others),
                self.noise_control(subject, extractor, known.features),
            ]
        )
        drawn, first = self.draw_features(subject, extractor, prompts)
        if not distributed.is_leader():
            return NOTHING
        title = picture_title(subject.model, self.sampler, seed=subject.seed)
        with atomic_write(folder / "grid.png") as path:
            save_picture(path, titled(prompts.picture(from_uint8(first)), title))
        found, what = self.compare(drawn, known.features, subject), self.what(real, extractor)
        numbers = metric_names(found, what)
        lines = [self.text(found, real, dimensions=known.features.shape[1])]
        for control in controls:
            numbers |= control.numbers(what)
            lines.append(control.text)
        numbers |= extractor.facts(self.features.name)
        lines += extractor.text(self.features.name, subject.training_title)
        counts = {f"num_{control.kind}_images": control.num_images for control in controls}
        counts |= {"num_images": self.num_images, "num_reference_images": len(real.numbers)}
        choices = {"features": self.features.name, "reference": real.title, "neighbours": self.neighbours}
        choices |= extractor.origin
        write_result(folder, {**numbers, **choices, **counts, **subject.facts(self.sampler)})
        return Findings("\n".join(lines), numbers)

    def real_control(
        self, subject: Subject, real: RealImages, known: Extracted, unseen: RealImages | None, others: Extracted | None
    ) -> list[Control]:
        """That of images which the model has not seen; without such, of some that are left out of the real ones."""
        title, reference = f"real images of {subject.title}", known.features
        if others is None:
            apart = held_out(len(real.images))[real.numbers]
            chosen = apart.nonzero().flatten()
            others = known.rows(chosen[evenly_spaced(len(chosen), self.num_images)])
            title, reference = f"of the real images of {real.title}, left out,", reference[~apart]
        if min(len(others.features), len(reference)) < self.least:
            return []
        return [Control("real", len(others.features), title, self.compare(others, reference, subject))]

    def noise_control(self, subject: Subject, extractor: Extractor, known: Tensor) -> Control:
        """That of pure noise; ValueError if the features take it for real images."""
        noise = pure_noise(subject.model.shape, min(self.num_images, MOST_NOISE_IMAGES))
        seen = concatenate(extractor.see(batch) for batch in noise.split(FEATURE_BATCH))
        found = self.compare(seen, known, subject)
        # Noise of many contrasts has wide balls: its recall is not that of noise of one, such as a model may draw.
        found.pop("recall", None)
        control = Control("noise", len(noise), "images of pure noise", found)
        check_noise(control, self.metrics, features=self.features.name)
        return control

    def what(self, real: RealImages, extractor: Extractor) -> str:
        """What a value was measured on, the second half of its metric's name."""
        features = extractor.called(self.features.name)
        return "_".join([features, slug(real.title), str(self.num_images), *self.unusual])

    def draw_features(self, subject: Subject, extractor: Extractor, prompts: Prompts) -> tuple[Extracted, Tensor]:
        """The features of all images, and the first images, uint8; the other pixels are dropped batch by batch."""
        left = sum(number < GRID_IMAGES for number in distributed.shard(range(self.num_images)))
        mine: list[tuple[Extracted, Tensor]] = []
        for batch in subject.draw_shard(self.sampler, prompts, self.num_images):
            mine.append((extractor.see(batch), batch[:left].cpu()))
            left -= len(mine[-1][1])
        seen, first = zip(*(part for share in distributed.all_gather(mine) for part in share), strict=True)
        return concatenate(seen), torch.cat(first)

    def compare(self, drawn: Extracted, real: Tensor, subject: Subject) -> dict[str, Value]:
        """The value of each metric asked for that these features have."""
        place = subject.model.device if subject.model.device.type == "cuda" else "cpu"  # others may lack float64
        ways = comparison(drawn.features.to(place), real.to(place), drawn.logits, neighbours=self.neighbours)
        called = {name: metric for metric, name in self.features.metrics.items()}
        return {name: ways[called[name]]() for name in self.metrics if called[name] in ways}

    def text(self, found: dict[str, Value], real: RealImages, *, dimensions: int) -> str:
        text = (
            f"{format_values(found)}\n(by {self.features.name}: {self.num_images} drawn images beside "
            f"{len(real.numbers)} of {real.title})"
        )
        distance = self.features.metrics["frechet_distance"]
        if distance in found and min(self.num_images, len(real.numbers)) <= dimensions:
            text += f"\n{distance.replace('_', ' ')} is too high with no more images than the {dimensions} features"
        return text
