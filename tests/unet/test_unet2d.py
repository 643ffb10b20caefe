"""Networks as diffusers' UNet2DModel, both ways: the library itself computes the same with the weights under its names.

Its numbers are float32, and so is the tolerance: a few hundred roundings of numbers of size 1.
"""

import json

import pytest
import torch
from modern_cases import modern
from safetensors.torch import save_file

from unet import (
    Classifier,
    DDPMUNet,
    SuperResolutionUNet,
    UNet,
    read_unet2d,
    save_released,
    unet2d_config,
    unet2d_tensors,
)

diffusers = pytest.importorskip("diffusers")
TOLERANCE = 2e-5
# google/ddpm-cifar10-32 but for its width: the names of an old file, and what a newer one adds is left out.
CIFAR10 = json.loads("""{
    "_class_name": "UNet2DModel", "_diffusers_version": "0.0.4", "act_fn": "silu", "attention_head_dim": null,
    "block_out_channels": [32, 64, 64, 64], "center_input_sample": false, "downsample_padding": 0,
    "down_block_types": ["DownBlock2D", "AttnDownBlock2D", "DownBlock2D", "DownBlock2D"], "flip_sin_to_cos": false,
    "freq_shift": 1, "in_channels": 3, "layers_per_block": 2, "mid_block_scale_factor": 1, "norm_eps": 1e-06,
    "norm_num_groups": 32, "out_channels": 3, "sample_size": 16, "time_embedding_type": "positional",
    "up_block_types": ["UpBlock2D", "UpBlock2D", "AttnUpBlock2D", "UpBlock2D"]
}""")


def theirs(config, weights=None):
    """Their network, with these weights or random ones."""
    torch.manual_seed(0)
    network = diffusers.UNet2DModel.from_config(config).eval()
    if weights is not None:
        network.load_state_dict(weights)
        return network
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.add_(torch.randn_like(parameter), alpha=0.05)
    return network


@torch.no_grad()
def assert_same(ours, other, *, size=8):
    x, time = torch.randn(2, ours.in_channels, size, size), torch.tensor([3.0, 777.25])
    y = None if ours.num_classes is None else torch.tensor([0, ours.num_classes - 1])
    mine, their = ours.eval()(x, time, y), other(x, time, class_labels=y).sample
    assert (mine - their).abs().max() <= TOLERANCE * max(1, their.abs().max())


OPTIONS = {
    "plain": {},
    "classes and a learned variance": {"num_classes": 3, "out_channels": 6},
    "added time": {"scale_shift": False},
    "queries first": {"attention_order": "qkv_first"},
    "channels per head": {"channels_per_head": 4, "attention_resolutions": (8, 4)},
    "one head at two widths": {"heads": 1, "attention_resolutions": (8, 4)},
    "residual resampling": {"resampling": "residual"},
    "an odd width": {"base_channels": 15, "norm_groups": 5, "heads": 3, "attention_resolutions": ()},
    "three levels, two blocks": {"channel_mult": (1, 2, 2), "blocks_per_level": 2},
}


@pytest.mark.parametrize("name", OPTIONS)
def test_the_library_computes_what_the_network_does(tiny, tmp_path, name):
    ours = tiny(**OPTIONS[name])
    config, tensors = unet2d_config(ours), unet2d_tensors(ours)
    assert_same(ours, theirs(config, tensors))
    save_file(tensors, tmp_path / "model.safetensors")
    again = read_unet2d(json.loads(json.dumps(config)), tmp_path / "model.safetensors")
    assert type(again) is UNet and unet2d_config(again) == config
    assert all(torch.equal(tensor, tensors[key]) for key, tensor in unet2d_tensors(again).items())


@pytest.mark.parametrize("case, inputs, expected", modern(28, "interchange"))
def test_their_reference_weights_are_read(tmp_path, case, inputs, expected):
    save_file({key: torch.from_numpy(a) for key, a in inputs["diffusers_weights"].items()}, tmp_path / "w.safetensors")
    network = read_unet2d(case["args"]["diffusers_config"], tmp_path / "w.safetensors").eval()
    y = torch.from_numpy(inputs["y"]).long() if "y" in inputs else None
    with torch.no_grad():
        got = network(torch.from_numpy(inputs["x"]).float(), torch.from_numpy(inputs["t"]).float(), y)
    floor = case["outputs"]["out"]["noise_floor"]
    worst = (got.double() - torch.from_numpy(expected["out"])).abs().max().item()
    assert worst <= max(10 * floor, 2e-5 * abs(expected["out"]).max())


@pytest.mark.parametrize("case, inputs, expected", modern(28, "interchange"))
def test_the_reference_networks_are_written_as_the_library_has_them(tmp_path, case, inputs, expected):
    weights = {key: torch.from_numpy(a) for key, a in inputs["diffusers_weights"].items()}
    save_file(weights, tmp_path / "w.safetensors")
    network = read_unet2d(case["args"]["diffusers_config"], tmp_path / "w.safetensors")
    written, tensors = unet2d_config(network), unet2d_tensors(network)
    assert {key: written[key] for key in case["args"]["diffusers_config"]} == case["args"]["diffusers_config"]
    assert tensors.keys() == weights.keys() and all(torch.equal(tensors[key], weights[key]) for key in weights)


def test_a_network_of_the_tensorflow_kind_computes_the_same_here(tmp_path):
    other = theirs(CIFAR10)
    old = {"to_q": "query", "to_k": "key", "to_v": "value", "to_out.0": "proj_attn"}
    weights = {}
    for key, tensor in other.state_dict().items():
        for new, name in old.items():
            key = key.replace(f".{new}.", f".{name}.")
        weights[key] = tensor
    save_file(weights, tmp_path / "w.safetensors")
    ours = read_unet2d(CIFAR10, tmp_path / "w.safetensors")
    assert type(ours) is DDPMUNet
    assert_same(ours, other, size=16)
    assert_same(ours, theirs(unet2d_config(ours), unet2d_tensors(ours)), size=16)
    with pytest.raises(ValueError, match="DDPMUNet computes what the original's code does not"):
        save_released(ours, tmp_path / "w.pt")


REFUSED = {
    "two widths of heads": ({"attention_resolutions": (8, 4)}, "heads .* 8 or 16 .train with model.channels_per_head"),
    "pooling": ({"resampling": "pooling"}, "no resampling=pooling"),
    "a wide first level": ({"channel_mult": (2, 2)}, "base_channels, and here 2 times"),
    "volumes": ({"dims": 1}, "2 dimensions, the network 1"),
    "augmentation": ({"augmentation_numbers": 9}, "no augmentation"),
    "fourier features": ({"fourier_features": (6,)}, "without fourier_features"),
    "a small image": ({"kind": SuperResolutionUNet}, "SuperResolutionUNet is no unet.UNet"),
    "a classifier": ({"kind": Classifier, "num_classes": 3, "channels_per_head": 8}, "Classifier is no"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_a_network_that_has_no_counterpart_is_refused(tiny, name):
    options, said = REFUSED[name]
    with pytest.raises(ValueError, match=f"cannot be a UNet2DModel of diffusers: .*{said}"):
        unet2d_config(tiny(**options))


CHANGES = {
    "act_fn": "gelu", "time_embedding_type": "fourier", "mid_block_type": None, "add_attention": False,
    "class_embed_type": "timestep", "center_input_sample": True, "sample_size": None, "in_channels": 0,
    "block_out_channels": [32, 48], "layers_per_block": "two", "down_block_types": ["DownBlock2D", []],
    "up_block_types": ["AttnUpBlock2D"] * 2, "attn_norm_num_groups": None, "downsample_type": {}, "norm_eps": [1],
    "num_class_embeds": True, "freq_shift": 0.5, "time_embedding_dim": 5, "flip_sin_to_cos": "yes",
    "resnet_time_scale_shift": "spatial", "attention_head_dim": -1, "dropout": 2, "upsample_type": "resnet",
}  # fmt: skip


@pytest.mark.parametrize("key", CHANGES)
def test_a_configuration_that_no_network_follows_is_refused_by_its_setting(tiny, tmp_path, key):
    ours = tiny()
    save_file(unet2d_tensors(ours), tmp_path / "w.safetensors")
    with pytest.raises(ValueError, match=f"^{key}=") as caught:
        read_unet2d({**unet2d_config(ours), key: CHANGES[key]}, tmp_path / "w.safetensors")
    assert "\n" not in str(caught.value)


def test_weights_that_do_not_fit_take_no_memory(tiny, tmp_path):
    ours, path = tiny(), tmp_path / "w.safetensors"
    config, tensors = unet2d_config(ours), unet2d_tensors(ours)
    save_file(tensors, path)
    wide = {**config, "block_out_channels": [2**16, 2**16], "attention_head_dim": 2**16}
    for change, said in (
        (wide, r"conv_in.weight has shape \(16, 3, 3, 3\) in"),
        ({**config, "layers_per_block": 2**16}, "more layers than the"),
        ({**config, "num_class_embeds": 2}, "'class_embedding.weight' does not occur in"),
        ({**config, "colour": 1}, "setting 'colour', which this program does not know"),
    ):
        with pytest.raises(ValueError, match=said):
            read_unet2d(change, path)
    save_file({**tensors, "more": torch.zeros(1)}, path)
    with pytest.raises(ValueError, match="'more' does not occur in the configuration"):
        read_unet2d(config, path)
    save_file({**tensors, "conv_in.bias": torch.zeros(16, dtype=torch.long)}, path)
    with pytest.raises(ValueError, match=r"conv_in\.bias is of type I64"):
        read_unet2d(config, path)
    path.write_bytes(b"no weights")
    with pytest.raises(ValueError, match="damaged or no file of safetensors"):
        read_unet2d(config, path)


def test_half_precision_is_read(tiny, tmp_path):
    ours = tiny()
    save_file({key: tensor.half() for key, tensor in unet2d_tensors(ours).items()}, tmp_path / "w.safetensors")
    again = read_unet2d(unet2d_config(ours), tmp_path / "w.safetensors")
    assert all(torch.equal(a.half().float(), b) for a, b in zip(ours.parameters(), again.parameters(), strict=True))
