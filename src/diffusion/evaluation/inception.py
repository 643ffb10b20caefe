"""The network that FID is defined by: InceptionV3 as its authors released it, by torch-fidelity."""

import hashlib
import importlib.util
import pickle
from collections.abc import Mapping
from functools import cached_property
from pathlib import Path
from typing import Any, ClassVar

import torch
from torch import Tensor

from diffusion.evaluation import result_cache
from diffusion.evaluation.features import Extracted, Extractor, Features
from diffusion.evaluation.subject import Subject
from diffusion.runs.tensor_files import read_tensor_file

LAYERS = ["2048", "logits_unbiased"]


class Inception(Features):
    """The 2048 numbers before the classes of InceptionV3, which FID, KID and the Inception score are made of.

    `weights` is the file of torch-fidelity's release; with `download` the library fetches it (91 MB) where none is
    given. Grey images are shown in grey, the same in each colour.
    """

    name = "inception"
    metrics: ClassVar[Mapping[str, str]] = {
        "frechet_distance": "fid", "kernel_distance": "kid", "class_score": "inception_score",
        "precision": "precision", "recall": "recall",
    }  # fmt: skip

    def __init__(self, *, weights: str | None = None, download: bool = False) -> None:
        self.weights, self.download = weights, download

    def check(self, subject: Subject) -> None:
        _ = self.network

    def extractor(self, subject: Subject, cache: Path) -> Extractor:
        device = subject.model.device
        network = self.network.to(device)

        @torch.no_grad()
        def see(pixels: Tensor) -> Extracted:
            features, logits = network(pixels.to(device).expand(-1, 3, -1, -1))
            return Extracted(features.cpu(), logits.cpu())

        state = network.state_dict()
        digest = self.digest()
        variant = "" if digest in ORIGIN else f"weights_{digest}"
        return Extractor(
            see, result_cache.fingerprint(*(weight.cpu().numpy() for weight in state.values())),
            origin={"resize": RESIZE, "weights_sha256": digest}, variant=variant,
        )  # fmt: skip

    def digest(self) -> str:
        """The first 8 digits of the SHA-256 of the weights' file, with which the name of the release ends."""
        path = self.weights or Path(torch.hub.get_dir(), "checkpoints", ORIGIN)
        with open(path, "rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()[:8]

    @cached_property
    def network(self) -> Any:
        """ValueError in one line where the library or its weights are not at hand."""
        if importlib.util.find_spec("torch_fidelity") is None:
            raise ValueError("evaluation/features=inception needs a library; type: pip install 'torch-fidelity>=0.4'")
        if self.weights is None and not self.download:
            raise ValueError(
                "FID needs InceptionV3's weights: set evaluation.features.weights=FILE, or "
                "evaluation.features.download=true to fetch 91 MB, or measure by evaluation/features=recogniser"
            )
        from torch_fidelity.feature_extractor_inceptionv3 import FeatureExtractorInceptionV3  # an extra

        if self.weights is not None:
            check_weights(self.weights)
        try:
            return FeatureExtractorInceptionV3("inception", LAYERS, feature_extractor_weights_path=self.weights)
        except (RuntimeError, pickle.UnpicklingError):
            raise ValueError(f"{self.weights} holds other weights than {ORIGIN}; give that file") from None
        except OSError as error:
            raise ValueError(
                f"InceptionV3's weights cannot be fetched ({error}); get {ORIGIN} from torch-fidelity's releases and "
                "set evaluation.features.weights=FILE, or measure by evaluation/features=recogniser"
            ) from None


ORIGIN = "weights-inception-2015-12-05-6726825d.pth"


RESIZE = "bilinear to 299x299 as TensorFlow 1 did, without antialiasing"


def check_weights(path: str) -> None:
    """Raise ValueError unless the file holds named tensors alone, as the library unpickles what it is given."""
    try:
        weights = read_tensor_file(Path(path))
    except ValueError as error:
        raise ValueError(f"{error}; FID needs {ORIGIN} from torch-fidelity's releases") from None
    if not isinstance(weights, dict) or not all(isinstance(name, str) for name in weights):
        raise ValueError(f"{path} is no file of weights; give {ORIGIN} from torch-fidelity's releases")
