"""Whether a classifier may judge: how many images that it has not seen it reads right."""

from typing import NamedTuple

import torch
from torch import Tensor, nn

SKILL = 0.75
"""How much of the way from guessing to no error a judge must have come: to 77.5 % for ten even classes, 87.5 % for two.

Below it a network goes by colour and contrast, which noise has too: at half of the way, on CIFAR-10, its features take
every image of pure noise for a real one.
"""


class Accuracy(NamedTuple):
    """`right` of `total` images that a classifier has not seen are read right; `commonest` of them are of one class."""

    right: int
    total: int
    commonest: int

    @property
    def share(self) -> float:
        return self.right / self.total

    @property
    def guessing(self) -> float:
        """The accuracy of always naming the commonest class."""
        return self.commonest / self.total

    @property
    def least(self) -> float:
        """The least accuracy to judge by."""
        return self.guessing + SKILL * (1 - self.guessing)

    def text(self, title: str) -> str:
        return f"{self.share:.1%} of {self.total} held-out images of {title} right (guessing: {self.guessing:.1%})"

    def facts(self, judge: str) -> dict[str, float]:
        """The shares, named for the judge."""
        return {f"{judge}_accuracy": self.share, f"{judge}_guessing": self.guessing}


@torch.no_grad()
def predict_classes(classifier: nn.Module, x: Tensor) -> Tensor:
    """The class that each image of x (N, C, H, W) is taken for, (N,)."""
    return torch.cat([classifier(part).argmax(1) for part in x.split(1024)])


def measure_accuracy(classifier: nn.Module, x: Tensor, y: Tensor) -> Accuracy:
    """The accuracy on images x (N, C, H, W) of the classes y (N,), which the classifier has not seen."""
    right = int((predict_classes(classifier, x) == y).sum())
    return Accuracy(right, len(y), int(y.bincount().max()))
