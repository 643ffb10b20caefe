"""What the benchmarks on digits judge drawn images by: a recogniser of real training images, and the test images."""

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from diffusion.data.digits import Digits
from diffusion.evaluation.accuracy import predict_classes
from diffusion.evaluation.measures import frechet_distance, gaussian
from diffusion.evaluation.recogniser import HEAD, train_recogniser
from diffusion.evaluation.recognition import variety
from diffusion.pictures.pixels import from_uint8, to_uint8


class Judge:
    """Judges images of digits by the mean of the recogniser's last maps, 64 numbers, and by the class that it sees."""

    def __init__(self, image_size: int = 16) -> None:
        training, test = (Digits(image_size=image_size, split=split) for split in ("train", "test"))
        x, self.test = from_uint8(training.pixels), from_uint8(test.pixels)
        self.recogniser = train_recogniser(x, training.labels, num_classes=10, seed=0)
        self.maps = nn.Sequential(*list(self.recogniser.children())[:HEAD])
        self.real = gaussian(self.features(x))
        accuracy = (predict_classes(self.recogniser, self.test) == test.labels).float().mean()
        self.test_labels, self.accuracy = test.labels, accuracy.item()

    @torch.no_grad()
    def features(self, x: Tensor) -> Tensor:
        """(N, 64) of images (N, 1, H, W) in [-1, 1], of which only their 256 levels count."""
        return self.maps(from_uint8(to_uint8(x))).mean((2, 3)).double()

    def distance(self, x: Tensor) -> float:
        """The Frechet distance to the training images."""
        return frechet_distance(gaussian(self.features(x)), self.real)

    def recognised(self, x: Tensor, y: Tensor) -> float:
        """The share that shows the class asked for."""
        return (predict_classes(self.recogniser, x) == y).float().mean().item()

    def variety(self, x: Tensor, y: Tensor) -> float:
        """The mean distance of two images of one class."""
        return variety(x, y)

    def of_real(self, count: int) -> float:
        """The distance of as many test images as are drawn."""
        return self.distance(self.test[torch.linspace(0, len(self.test) - 1, min(count, len(self.test))).long()])


def mean_and_spread(values: Sequence[float]) -> tuple[float, float]:
    """The mean over seeds, and the standard deviation between them, 0 for one."""
    each = torch.tensor(values, dtype=torch.float64)
    return each.mean().item(), each.std().item() if len(each) > 1 else 0.0
