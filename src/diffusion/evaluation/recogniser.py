"""A small classifier, trained on real images alone, to judge drawn ones and to compare images by what it sees."""

import math
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from diffusion.compute import distributed
from diffusion.compute.progress import Progress
from diffusion.compute.randomness import seed_of
from diffusion.data.images import Images
from diffusion.evaluation import result_cache
from diffusion.evaluation.accuracy import Accuracy, measure_accuracy
from diffusion.evaluation.features import Extracted, Extractor, Features, dataset_fingerprint, held_out
from diffusion.evaluation.subject import Subject, evenly_spaced, slug
from diffusion.pictures.pixels import from_uint8

MOST_TRAINING_IMAGES = 50_000
MOST_TEST_IMAGES = 2_000
FEWEST_TEST_IMAGES = 50
MAP = 4
HEAD = -3  # from here on, the maps are flattened to classes


class Size(NamedTuple):
    """How large a recogniser is, and how it learns: `steps` of `batch` images, of a set of `least_images` or more."""

    widths: tuple[int, int, int]
    residual: bool
    steps: int
    batch: int
    rate: float
    least_images: int = 0


SMALL = Size((32, 32, 64), residual=False, steps=600, batch=64, rate=3e-3)
LARGE = Size((48, 96, 192), residual=True, steps=2_000, batch=128, rate=5e-3, least_images=10_000)


class Residual(nn.Sequential):
    def forward(self, x: Tensor) -> Tensor:
        return x + super().forward(x)


def network(shape: Sequence[int], num_classes: int, size: Size) -> nn.Sequential:
    """Three stages down to a map of 4x4, and a linear layer: (N, C, H, W) -> logits (N, num_classes).

    A stage is a convolution, or one with normalisation and a residual block of two more.
    """
    channels, height, width = shape
    halvings = min(max(round(math.log2(min(height, width) / MAP)), 0), len(size.widths))
    strides = [1] * (len(size.widths) - halvings) + [2] * halvings
    layers: list[nn.Module] = []
    for before, after, stride in zip((channels, *size.widths), size.widths, strides, strict=False):
        if size.residual:
            layers += [
                *normalised(before, after, stride),
                Residual(*normalised(after, after), *normalised(after, after)),
            ]
        else:
            layers += [nn.Conv2d(before, after, 3, padding=1, stride=stride), nn.ReLU()]
    head = nn.Linear(size.widths[-1] * MAP**2, num_classes)
    return nn.Sequential(*layers, nn.AdaptiveAvgPool2d(MAP), nn.Flatten(), nn.Dropout(0.25), head)


def normalised(before: int, after: int, stride: int = 1) -> list[nn.Module]:
    convolution = nn.Conv2d(before, after, 3, padding=1, stride=stride, bias=False)
    return [convolution, nn.BatchNorm2d(after), nn.ReLU()]


def random_shifts(x: Tensor, most: int) -> Tensor:
    """Each image of x (N, C, H, W) moved by up to `most` pixels each way, its border continued."""
    n, _, height, width = x.shape
    down, right = torch.randint(-most, most + 1, (2, n, 1))
    rows = (torch.arange(height) + down).clamp(0, height - 1)
    columns = (torch.arange(width) + right).clamp(0, width - 1)
    return x[torch.arange(n)[:, None, None], :, rows[:, :, None], columns[:, None, :]].permute(0, 3, 1, 2)


def train_recogniser(x: Tensor, y: Tensor, *, num_classes: int, seed: int, size: Size = SMALL) -> nn.Sequential:
    """A classifier of the images x (N, C, H, W) in [-1, 1] of the classes y (N,), trained with small shifts of them."""
    with torch.random.fork_rng(), Progress(f"Teaching a classifier of {len(x):,} images", size.steps) as progress:
        torch.manual_seed(seed_of(seed, "recogniser"))
        recogniser = network(x.shape[1:], num_classes, size).to(x.device)
        optimizer = torch.optim.AdamW(recogniser.parameters(), weight_decay=1e-2)
        rate = torch.optim.lr_scheduler.OneCycleLR(optimizer, size.rate, total_steps=size.steps)
        for _ in range(size.steps):
            chosen = torch.randint(len(x), (size.batch,)).to(x.device)
            loss = F.cross_entropy(recogniser(random_shifts(x[chosen], max(1, x.shape[-1] // 12))), y[chosen])
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            rate.step()
            progress.advance()
    return recogniser.eval()


class Recogniser(Features):
    """The last maps of a small classifier, averaged over space: 64 numbers, or 192.

    It is trained on nine in ten of the real training images, in seconds, and cached with its accuracy on the others, so
    that the same one judges every model. If it reads too few of them right (`Accuracy.least`), and there are 10,000
    images or more, a larger one of 192 numbers is trained, in minutes, and what it measures is called
    "recogniser_large"; one that still does judges nothing.
    """

    name = "recogniser"
    instead = "set evaluation/features=inception, or pixels"

    def check(self, subject: Subject) -> None:
        images, title = subject.training_images(), subject.training_title
        if images.classes is None:
            raise ValueError(f"the images of {title} have no labels for a recogniser to learn from; {self.instead}")
        if len(images.classes) < 2:
            raise ValueError(
                f"the images of {title} are all of one class, and a recogniser learns to tell several apart; "
                f"{self.instead}"
            )
        if held_out(len(images)).sum() < FEWEST_TEST_IMAGES:
            raise ValueError(
                f"{title} has {len(images)} images, too few to teach a recogniser and to test it; "
                f"give {2 * FEWEST_TEST_IMAGES} or more, or {self.instead}"
            )

    def extractor(self, subject: Subject, cache: Path) -> Extractor:
        images, title, device = subject.training_images(), subject.training_title, subject.model.device
        key = result_cache.fingerprint(dataset_fingerprint(images), (SMALL, LARGE), held_out(len(images)).numpy())
        path = cache / f"recogniser_{slug(title)}_{key}.npz"
        training = f"Training a recogniser of {title}"

        def train() -> result_cache.Arrays:
            return train_and_test(images, device) if distributed.is_leader() else {}

        state = distributed.all_gather(result_cache.cached(path, train, what="recogniser", computing=training))[0]
        accuracy = Accuracy(*state.pop("accuracy").tolist())
        if accuracy.share < accuracy.least:
            raise ValueError(
                f"a recogniser reads only {accuracy.text(title)}, too few to judge by: it takes {accuracy.least:.1%}; "
                f"{self.instead}"
            )
        large = bool(state.pop("large"))
        classifier = network(images.shape, len(images.classes or ()), LARGE if large else SMALL)
        classifier.load_state_dict({name: torch.from_numpy(weight) for name, weight in state.items()})
        classifier.to(device).eval()

        @torch.no_grad()
        def see(pixels: Tensor) -> Extracted:
            maps = classifier[:HEAD](from_uint8(pixels.to(device)))
            return Extracted(maps.mean((2, 3)).cpu(), classifier[HEAD:](maps).cpu())

        seen_by = result_cache.fingerprint(*state.values())
        return Extractor(see, seen_by, accuracy, variant="large" if large else "")


def train_and_test(images: Images, device: torch.device) -> result_cache.Arrays:
    """The weights of a recogniser of the images by name, and its "accuracy" on those held out."""
    apart = held_out(len(images))

    def read(chosen: Tensor, most: int) -> tuple[Tensor, Tensor]:
        numbers = chosen.nonzero().flatten()
        pixels, labels = images.read(numbers[evenly_spaced(len(numbers), most)].tolist())
        return from_uint8(pixels).to(device), labels.to(device)

    training, unseen = read(~apart, MOST_TRAINING_IMAGES), read(apart, MOST_TEST_IMAGES)
    for size in [size for size in (SMALL, LARGE) if size.least_images <= len(images)]:
        recogniser = train_recogniser(*training, num_classes=len(images.classes or ()), seed=0, size=size)
        accuracy = measure_accuracy(recogniser, *unseen)
        if accuracy.share >= accuracy.least:
            break
    weights = {name: weight.cpu().numpy() for name, weight in recogniser.state_dict().items()}
    return {**weights, "accuracy": np.array(accuracy), "large": np.array(size is LARGE)}
