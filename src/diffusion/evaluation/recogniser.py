"""A small classifier, trained on real images alone, to judge drawn ones and to compare images by what it sees."""

import math
from collections.abc import Sequence
from pathlib import Path

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from diffusion.compute import distributed
from diffusion.compute.randomness import seed_of
from diffusion.evaluation import result_cache
from diffusion.evaluation.features import Extracted, Extractor, Features, dataset_fingerprint
from diffusion.evaluation.subject import Subject, evenly_spaced, slug
from diffusion.pictures.pixels import from_uint8

MOST_TRAINING_IMAGES = 50_000
WIDTHS = (32, 32, 64)
MAP = 4
HEAD = -3  # from here on, the maps are flattened to classes
STEPS = 600
BATCH = 64
RATE = 3e-3


def network(shape: Sequence[int], num_classes: int) -> nn.Sequential:
    """Three convolutions down to a map of 4x4 and a linear layer: (N, C, H, W) -> logits (N, num_classes)."""
    channels, height, width = shape
    halvings = min(max(round(math.log2(min(height, width) / MAP)), 0), len(WIDTHS))
    strides = [1] * (len(WIDTHS) - halvings) + [2] * halvings
    layers: list[nn.Module] = []
    for before, after, stride in zip((channels, *WIDTHS), WIDTHS, strides, strict=False):
        layers += [nn.Conv2d(before, after, 3, padding=1, stride=stride), nn.ReLU()]
    head = nn.Linear(WIDTHS[-1] * MAP**2, num_classes)
    return nn.Sequential(*layers, nn.AdaptiveAvgPool2d(MAP), nn.Flatten(), nn.Dropout(0.25), head)


def random_shifts(x: Tensor, most: int) -> Tensor:
    """Each image of x (N, C, H, W) moved by up to `most` pixels each way, its border continued."""
    n, _, height, width = x.shape
    down, right = torch.randint(-most, most + 1, (2, n, 1))
    rows = (torch.arange(height) + down).clamp(0, height - 1)
    columns = (torch.arange(width) + right).clamp(0, width - 1)
    return x[torch.arange(n)[:, None, None], :, rows[:, :, None], columns[:, None, :]].permute(0, 3, 1, 2)


def train_recogniser(x: Tensor, y: Tensor, *, num_classes: int, seed: int) -> nn.Module:
    """A classifier of the images x (N, C, H, W) in [-1, 1] of the classes y (N,), trained with small shifts of them."""
    with torch.random.fork_rng():
        torch.manual_seed(seed_of(seed, "recogniser"))
        recogniser = network(x.shape[1:], num_classes).to(x.device)
        optimizer = torch.optim.AdamW(recogniser.parameters(), weight_decay=1e-2)
        rate = torch.optim.lr_scheduler.OneCycleLR(optimizer, RATE, total_steps=STEPS)
        for _ in range(STEPS):
            chosen = torch.randint(len(x), (BATCH,)).to(x.device)
            loss = F.cross_entropy(recogniser(random_shifts(x[chosen], max(1, x.shape[-1] // 12))), y[chosen])
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            rate.step()
    return recogniser.eval()


@torch.no_grad()
def predict_classes(recogniser: nn.Module, x: Tensor) -> Tensor:
    """The class that each image of x (N, C, H, W) is taken for, (N,)."""
    return torch.cat([recogniser(part).argmax(1) for part in x.split(1024)])


class Recogniser(Features):
    """The last maps of a small classifier, averaged over space: 64 numbers.

    It is trained on the real training images, in seconds, and cached, so that the same one judges every model.
    """

    name = "recogniser"

    def check(self, subject: Subject) -> None:
        if subject.training_images().classes is None:
            raise ValueError(
                f"the images of {subject.training_title} have no labels for a recogniser to learn from; "
                "set evaluation/features=inception, or pixels"
            )

    def extractor(self, subject: Subject, cache: Path) -> Extractor:
        images, device = subject.training_images(), subject.model.device
        num_classes = len(images.classes or ())

        def train() -> result_cache.Arrays:
            if not distributed.is_leader():
                return {}
            pixels, labels = images.read(evenly_spaced(len(images), MOST_TRAINING_IMAGES))
            x, y = from_uint8(pixels).to(device), labels.to(device)
            weights = train_recogniser(x, y, num_classes=num_classes, seed=0).state_dict()
            return {name: weight.cpu().numpy() for name, weight in weights.items()}

        key = result_cache.fingerprint(dataset_fingerprint(images), (WIDTHS, STEPS, BATCH, RATE))
        path = cache / f"recogniser_{slug(subject.training_title)}_{key}.npz"
        training = f"Training a recogniser of {subject.training_title}"
        state = distributed.all_gather(result_cache.cached(path, train, what="recogniser", computing=training))[0]
        classifier = network(images.shape, num_classes)
        classifier.load_state_dict({name: torch.from_numpy(weight) for name, weight in state.items()})
        classifier.to(device).eval()

        @torch.no_grad()
        def see(pixels: Tensor) -> Extracted:
            maps = classifier[:HEAD](from_uint8(pixels.to(device)))
            return Extracted(maps.mean((2, 3)).cpu(), classifier[HEAD:](maps).cpu())

        return Extractor(see, result_cache.fingerprint(*state.values()))
