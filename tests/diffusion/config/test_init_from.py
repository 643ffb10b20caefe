"""The weights that a run begins with: of whatever holds those of the same network."""

import pytest
import torch

from diffusion import Cosine, Epsilon, GaussianDiffusion, Hybrid, LearnedRange
from diffusion.config.describe import describe
from diffusion.config.resume import start_from
from diffusion.inference.trained import Trained
from diffusion.interchange.folder import write_folder
from diffusion.runs.checkpoints import save_checkpoint
from unet import UNet

CPU = torch.device("cpu")


def a_network(**changes):
    settings = dict(
        image_size=8, in_channels=1, out_channels=2, num_classes=None, base_channels=8, channel_mult=(1, 2),
        blocks_per_level=1, attention_resolutions=(), heads=1, norm_groups=4,
    )  # fmt: skip
    network = UNet(**{**settings, **changes})
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.normal_(std=0.1)
    return network


def folder_of_diffusers(network, folder):
    process = GaussianDiffusion(
        steps=8, schedule=Cosine(), prediction=Epsilon(), variance=LearnedRange(), loss=Hybrid(), rescale_times=True
    )
    folder.mkdir()
    write_folder(Trained(network, process, (1, 8, 8), None, {}, 7, "raw", CPU), folder, "model")
    return str(folder)


def equal(network, other):
    return all(map(torch.equal, network.state_dict().values(), other.state_dict().values()))


@pytest.mark.parametrize("changes", [{}, {"attention_resolutions": (4,), "heads": 2}])
def test_a_run_begins_with_the_weights_of_a_folder_of_diffusers(changes, tmp_path):
    source, fresh = a_network(**changes), a_network(**changes)
    start_from(fresh, folder_of_diffusers(source, tmp_path / "model"), model=describe(fresh))
    assert equal(fresh, source)


def test_a_folder_of_another_network_is_refused_with_what_to_type(tmp_path):
    folder, narrow = folder_of_diffusers(a_network(), tmp_path / "model"), a_network(base_channels=4, heads=2)
    with pytest.raises(ValueError, match=r"model holds the weights of another network; set model.base_channels=8"):
        start_from(narrow, folder, model=describe(narrow))


def test_a_folder_whose_heads_lie_in_another_order_is_refused(tmp_path):
    attends = {"attention_resolutions": (4,), "heads": 2}
    folder = folder_of_diffusers(a_network(**attends), tmp_path / "model")
    other = a_network(**attends, attention_order="qkv_first")
    with pytest.raises(ValueError, match=r"weights of another network; set .*model\.attention_order="):
        start_from(other, folder, model=describe(other))


@pytest.mark.parametrize("changes", [{"augmentation_numbers": 3}, {"num_classes": 2}, {}])
def test_a_run_begins_with_the_average_in_a_checkpoint(changes, tmp_path):
    source, fresh = a_network(**changes), a_network(**changes)
    described = describe(source)
    state = {key: {} for key in ("optimizer", "scaler", "schedule_sampler", "averages")}
    state |= {"step": 1, "model": fresh.state_dict(), "ema": {"0.9": source.state_dict()}}
    state["config"] = {"model": described, "diffusion": {}, "data": None, "train": {}, "conditions": {}}
    path = save_checkpoint(tmp_path, state, keep=1, keep_every=None)
    start_from(fresh, str(path), model=described)
    assert equal(fresh, source)
