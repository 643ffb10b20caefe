"""The network of FID, as the library builds it; its weights here are of chance, since the real ones are a download."""

import hashlib

import pytest
import torch

from diffusion.evaluation.inception import Inception

SUBJECT = type("Subject", (), {"model": type("Model", (), {"device": torch.device("cpu")})})


class Exit:
    """What would end the process if it were unpickled."""

    def __reduce__(self):
        return exit, ()


def test_missing_and_broken_weights_are_one_line(tmp_path):
    (tmp_path / "text").write_text("no weights")
    torch.save({"conv": torch.zeros(3)}, tmp_path / "other.pth")
    torch.save({"conv": Exit()}, tmp_path / "code.pth")
    torch.save([torch.zeros(3)], tmp_path / "list.pth")
    torch.save({0: torch.zeros(3)}, tmp_path / "numbered.pth")
    for settings, message in [
        ({}, r"evaluation\.features\.download=true .*recogniser"),
        ({"weights": str(tmp_path / "none")}, "does not exist"),
        (
            {"weights": str(tmp_path / "text")},
            "of another format .*FID needs weights-inception-2015-12-05-6726825d.pth",
        ),
        ({"weights": str(tmp_path)}, "no file that can be read"),
        ({"weights": str(tmp_path / "code.pth")}, "could run code"),
        ({"weights": str(tmp_path / "list.pth")}, "no file of weights"),
        ({"weights": str(tmp_path / "numbered.pth")}, "no file of weights"),
        ({"weights": str(tmp_path / "other.pth")}, "holds other weights"),
    ]:
        with pytest.raises(ValueError, match=message) as refusal:
            Inception(**settings).check(SUBJECT)
        assert "\n" not in str(refusal.value)


def test_without_the_library_it_says_what_to_type(monkeypatch):
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(ValueError, match="pip install"):
        Inception().check(SUBJECT)


def test_grey_images_are_shown_in_grey_and_features_are_the_librarys(tmp_path, monkeypatch):
    from torch_fidelity.feature_extractor_inceptionv3 import FeatureExtractorInceptionV3

    torch.manual_seed(0)
    torch.save({}, tmp_path / "weights.pth")
    with monkeypatch.context() as patch:
        patch.setattr(FeatureExtractorInceptionV3, "load_state_dict", lambda self, state: None)
        chance = FeatureExtractorInceptionV3("any", ["2048"], feature_extractor_weights_path=tmp_path / "weights.pth")
    torch.save(chance.state_dict(), tmp_path / "weights.pth")
    extractor = Inception(weights=str(tmp_path / "weights.pth")).extractor(SUBJECT, tmp_path)
    grey = torch.randint(256, (2, 1, 16, 16), dtype=torch.uint8)
    seen = extractor.see(grey)
    assert seen.features.shape == (2, 2048) and seen.logits.shape == (2, 1008)
    assert torch.equal(seen.features, chance(grey.repeat(1, 3, 1, 1))[0])
    digest = hashlib.sha256((tmp_path / "weights.pth").read_bytes()).hexdigest()[:8]
    assert extractor.origin["weights_sha256"] == digest and "299x299" in extractor.origin["resize"]
    assert extractor.variant == f"weights_{digest}"  # whose values are no FID that others publish
    assert f"weights_sha256 {digest}" in extractor.text("inception", "digits")[-1]
