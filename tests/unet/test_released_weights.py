import pytest
import torch
from safetensors.torch import load_file

from unet import Classifier, SuperResolutionUNet, UNet, export_released, load_released, save_released
from unet.released_weights import released_parameters

KINDS = [
    (UNet, {"num_classes": 4}),
    (UNet, {"resampling": "pooling", "scale_shift": False}),
    (UNet, {"resampling": "residual", "channels_per_head": 8, "channel_mult": (2, 1)}),
    (UNet, {"dims": 1}),
    (SuperResolutionUNet, {"dims": 3}),
    (Classifier, {"num_classes": 4, "channels_per_head": 8}),
    (Classifier, {"num_classes": 4, "channels_per_head": 8, "pool": "spatial_v2"}),
]


@pytest.mark.parametrize("kind, options", KINDS)
@pytest.mark.parametrize("suffix", ["pt", "safetensors"])
def test_a_file_brings_back_every_byte(tiny, tmp_path, kind, options, suffix):
    network, other = tiny(kind, seed=1, **options), tiny(kind, seed=2, **options)
    path = tmp_path / f"weights.{suffix}"
    save_released(network, path)
    load_released(other, load_file(path) if suffix == "safetensors" else torch.load(path, weights_only=True))
    ours, theirs = network.state_dict(), other.state_dict()
    assert all(torch.equal(ours[name], theirs[name]) for name in ours)
    assert list(export_released(network)) == list(export_released(other))


@pytest.mark.parametrize("kind, options", KINDS)
def test_every_parameter_has_one_released_name(tiny, kind, options):
    network = tiny(kind, **options)
    assert list(map(id, released_parameters(network).values())) == list(map(id, network.parameters()))


def test_an_export_is_a_copy(tiny):
    network = tiny()
    for tensor in export_released(network).values():
        tensor.zero_()
    assert all(parameter.any() for parameter in network.parameters())


@pytest.mark.parametrize(
    "network, file, message",
    [
        ({"base_channels": 32}, {}, "set model.base_channels=16"),
        ({}, {"num_classes": 4}, "label_emb.weight .* does not occur in the network; set model.num_classes=4"),
        ({"num_classes": 4}, {}, "label_emb.weight does not occur in the file .* set model.num_classes=null"),
        ({}, {"blocks_per_level": 2}, "set model.blocks_per_level=2"),
        ({}, {"channel_mult": (1, 3)}, r"\(48,.*\(32,.* set 'model.channel_mult=\[1,3\]'"),
        ({}, {"channel_mult": (1, 2, 2)}, r"model.channel_mult=\[1,2,2\]"),
        ({}, {"attention_resolutions": (8, 4)}, r"set 'model.attention_resolutions=\[8,4\]'"),
        ({}, {"out_channels": 6}, r"out.2.weight has shape \(6, .*\(3, .* set model.out_channels=6"),
        ({}, {"resampling": "pooling"}, "set model.resampling=pooling"),
        ({}, {"resampling": "residual"}, "set model.resampling=residual"),
        ({"resampling": "residual"}, {}, "set model.resampling=convolution"),
        ({}, {"scale_shift": False}, "set model.scale_shift=false"),
        ({}, {"dims": 1}, "set model.dims=1"),
        ({}, {"in_channels": 6}, "set model._target_=unet.SuperResolutionUNet"),
    ],
)
def test_a_file_that_does_not_fit_says_what_to_change(tiny, network, file, message):
    ours = tiny(**network)
    before = export_released(ours)
    with pytest.raises(ValueError, match=message) as caught:
        load_released(ours, export_released(tiny(seed=1, **file)))
    assert "\n" not in str(caught.value)
    assert all(torch.equal(before[name], tensor) for name, tensor in export_released(ours).items())


def test_an_incomplete_file_is_refused(tiny):
    weights = export_released(tiny())
    del weights["out.2.bias"]
    with pytest.raises(ValueError, match=r"out.2.bias does not occur in the file and has shape \(3,\) in the network"):
        load_released(tiny(), weights)


@pytest.mark.parametrize(
    "content, message",
    [
        ({"state": {}, "param_groups": []}, "optimizer; give the file model"),
        ({"step": 3, "model": {"a": torch.zeros(1)}}, "holds int under 'step'"),
        ({"model": {"a": torch.zeros(1)}}, "wraps its tensors, under 'model'"),
        ({"conv1.weight": torch.zeros(1)}, "not from improved-diffusion or guided-diffusion"),
        ({"input_blocks.0.0.weight": torch.zeros(1), "time_embed.0.weight": torch.zeros(1)}, "not from improved-diff"),
        ({"input_blocks.x.0.weight": torch.zeros(1)}, "not from improved-diffusion or guided-diffusion"),
        ([torch.zeros(1)], "holds list, not a state dict"),
        ({}, "not a state dict"),
    ],
)
def test_another_kind_of_content_is_named(tiny, content, message):
    with pytest.raises(ValueError, match=message):
        load_released(tiny(), content)
