import inspect

import pytest
import torch

from unet import Classifier, SuperResolutionUNet, UNet

CIFAR = {"image_size": 32, "channel_mult": (1, 2, 2, 2), "blocks_per_level": 3, "out_channels": 6}
LARGE = {"image_size": 256, "channel_mult": (1, 1, 2, 2, 4, 4), "out_channels": 6}


@pytest.mark.parametrize(
    "kind, options, count, tensors",
    [
        (UNet, {"image_size": 64, "out_channels": 3}, 92_025_731, 338),
        (UNet, {"image_size": 64, "out_channels": 6, "blocks_per_level": 3}, 121_063_942, 450),
        (UNet, CIFAR, 52_546_438, 446),
        (
            UNet,
            {"image_size": 64, "out_channels": 6, "blocks_per_level": 3, "base_channels": 192, "num_classes": 1000},
            273_049_350,
            451,
        ),
        (UNet, LARGE | {"attention_resolutions": (16,), "heads": 1, "scale_shift": False}, 113_676_678, 426),
        (SuperResolutionUNet, LARGE | {"base_channels": 192, "num_classes": 1000}, 279_792_390, 457),
    ],
    ids=["64", "imagenet_64", "cifar_10", "imagenet_64_conditional", "lsun_256", "upsampler"],
)
def test_published_networks_have_their_number_of_parameters(kind, options, count, tensors):
    with torch.device("meta"):
        network = kind(in_channels=3, **options)
    parameters = list(network.parameters())
    assert sum(parameter.numel() for parameter in parameters) == count
    assert len(parameters) == tensors


@pytest.mark.parametrize("resampling", ["convolution", "pooling", "residual"])
@pytest.mark.parametrize("mult", [(1, 2), (2, 1), (3, 1, 2)])
def test_a_fresh_network_outputs_zero(resampling, mult):
    network = UNet(
        image_size=8,
        in_channels=3,
        out_channels=5,
        base_channels=8,
        channel_mult=mult,
        attention_resolutions=(4,),
        norm_groups=4,
        resampling=resampling,
    )
    assert torch.equal(network(torch.randn(2, 3, 8, 8), torch.tensor([0, 9])), torch.zeros(2, 5, 8, 8))


@pytest.mark.parametrize(
    "dims, size", [(1, (16,)), (1, (6,)), (2, (8, 12)), (2, (20, 6)), (3, (3, 4, 6)), (3, (2, 8, 4))]
)
@pytest.mark.parametrize("resampling", ["convolution", "pooling", "residual"])
def test_any_size_that_can_be_halved_works(tiny, dims, size, resampling):
    network = tiny(dims=dims, resampling=resampling, attention_order="qkv_first", num_classes=4)
    x = torch.randn(2, 3, *size)
    out = network(x, torch.tensor([0.5, 3]), torch.tensor([0, 3]))
    assert out.shape == x.shape
    assert out.std() > 0


def test_odd_widths_work(tiny):
    network = tiny(base_channels=9, norm_groups=3, heads=3, heads_up=9)
    assert network(torch.randn(1, 3, 8, 8), torch.tensor([7])).std() > 0


def test_images_of_a_batch_do_not_mix(tiny):
    network = tiny(num_classes=3).double()
    x, time, y = torch.randn(3, 3, 8, 8, dtype=torch.float64), torch.tensor([1, 20, 300]), torch.tensor([0, 1, 2])
    alone = torch.cat([network(x[i : i + 1], time[i : i + 1], y[i : i + 1]) for i in range(3)])
    # Far below float32: anything that mixed would show; the order of summation may differ with the batch.
    torch.testing.assert_close(network(x, time, y), alone, rtol=0, atol=1e-12)


@pytest.mark.parametrize("what", ["time", "y"])
def test_time_and_label_reach_the_output(tiny, what):
    network = tiny(num_classes=3)
    x, told = torch.randn(1, 3, 8, 8), {"time": torch.tensor([1]), "y": torch.tensor([0])}
    assert not torch.allclose(network(x, **told), network(x, **told | {what: torch.tensor([2])}), atol=1e-3)


def test_recomputing_gives_the_same_gradients_despite_dropout(tiny):
    x, time = torch.randn(2, 3, 8, 8), torch.tensor([1, 20])
    gradients = []
    for checkpoint in ((), (8, 4)):
        network = tiny(dropout=0.1, checkpoint=checkpoint)
        torch.manual_seed(0)
        network(x, time).square().sum().backward()
        gradients.append([parameter.grad for parameter in network.parameters()])
    assert all(map(torch.equal, *gradients))


def test_dropout_only_acts_in_training(tiny):
    network = tiny(dropout=0.5)
    x, time = torch.randn(1, 3, 8, 8), torch.tensor([1])
    assert not torch.equal(network(x, time), network(x, time))
    assert torch.equal(network.eval()(x, time), network(x, time))


def test_memory_format_changes_nothing(tiny):
    network = tiny().double()
    x, time = torch.randn(2, 3, 8, 8, dtype=torch.float64), torch.tensor([1, 20])
    expected = network(x, time)
    torch.testing.assert_close(network(x.to(memory_format=torch.channels_last), time), expected)


def test_autocast_stays_close_and_returns_float32(tiny):
    network = tiny()
    x, time = torch.randn(2, 3, 8, 8), torch.tensor([1, 20])
    expected = network(x, time)
    with torch.autocast("cpu", torch.bfloat16):
        low = network(x, time)
    assert low.dtype == torch.float32
    # bfloat16 has 8 bits: a few layers of it stay within some percent of the output's size.
    torch.testing.assert_close(low, expected, rtol=0, atol=0.05 * expected.abs().max().item())


def test_a_whole_network_can_be_bfloat16(tiny):
    network = tiny(num_classes=2).bfloat16()
    assert network(torch.randn(1, 3, 8, 8).bfloat16(), torch.tensor([3]), torch.tensor([1])).dtype == torch.bfloat16


@pytest.mark.parametrize(
    "options, message",
    [
        ({"channel_mult": (1, 2, 2, 2, 2)}, r"image_size=8 .* data.image_size=16, or fewer levels"),
        ({"channel_mult": ()}, "model.channel_mult"),
        ({"attention_resolutions": (16,)}, r"'model.attention_resolutions=\[...\]' from \[8, 4\]"),
        ({"checkpoint": (2,)}, r"'model.checkpoint=\[...\]' from \[8, 4\]"),
        ({"heads": 3}, "model.heads=..."),
        ({"heads_up": 3}, "model.heads_up=..."),
        ({"heads_up": 0}, "model.heads_up=..."),
        ({"channels_per_head": 12}, "model.channels_per_head"),
        ({"channels_per_head": 8, "heads": 2}, "model.channels_per_head=null, or model.heads=4"),
        (
            {"channels_per_head": 8, "heads_up": 2},
            "heads_up=2 would do nothing; set model.channels_per_head=null, or model.heads_up=null",
        ),
        ({"norm_groups": 32}, "model.norm_groups=16"),
        ({"resampling": "bicubic"}, "model.resampling=convolution or pooling or residual"),
        ({"attention_order": "keys_first"}, "model.attention_order=heads_first or qkv_first"),
        ({"dims": 4}, "model.dims to 1, 2 or 3"),
    ],
)
def test_impossible_options_are_named(tiny, options, message):
    with pytest.raises(ValueError, match=message):
        tiny(**options)


@pytest.mark.parametrize(
    "shape, times, message",
    [
        ((2, 3, 8, 7), 2, "8 x 7 cannot .* multiples of 2"),
        ((2, 4, 8, 8), 2, r"reads \(N, 3, ...\) .* model.in_channels"),
        ((2, 3, 8), 2, "with 2 axes"),
        ((2, 3, 8, 8), 1, r"one for each image: \(2,\)"),
    ],
)
def test_inputs_that_do_not_fit_are_named(tiny, shape, times, message):
    with pytest.raises(ValueError, match=message):
        tiny()(torch.randn(shape), torch.zeros(times))


def test_the_signature_is_the_schema():
    for kind in (UNet, SuperResolutionUNet):
        parameters = inspect.signature(kind).parameters.values()
        assert len(parameters) == 20
        assert all(p.kind is p.KEYWORD_ONLY and p.annotation is not p.empty for p in parameters)


def test_a_network_says_what_it_is_told_beside_image_and_time(tiny):
    for classes, labels in ((None, ()), (3, ("y",))):
        assert tiny(num_classes=classes).conditions == labels
        assert tiny(SuperResolutionUNet, num_classes=classes).conditions == ("low_res", *labels)
    assert Classifier.conditions == ()  # it names the label itself


@pytest.mark.parametrize("image_size, sizes", [(16, (8, 4)), (32, (16, 8)), (28, (14, 7))])
def test_sizes_of_feature_maps_may_be_counted_from_the_coarsest(image_size, sizes):
    options = {"image_size": image_size, "in_channels": 1, "out_channels": 1, "base_channels": 8, "norm_groups": 4}
    levels = {"channel_mult": (1, 1, 1), "blocks_per_level": 1, "heads": 1}
    counted, named = (
        UNet(**options, **levels, attention_resolutions=each, checkpoint=each) for each in ((-2, -1), sizes)
    )
    assert counted.attention_resolutions == counted.checkpoint == sizes
    assert counted.state_dict().keys() == named.state_dict().keys()


@pytest.mark.parametrize("size", [-4, 0, 5])
def test_sizes_that_never_occur_are_refused(size):
    with pytest.raises(ValueError, match=rf"names size {size}, which never occurs at image_size=16; .*\[16, 8, 4\]"):
        UNet(image_size=16, in_channels=1, out_channels=1, channel_mult=(1, 1, 1), attention_resolutions=(size,))


@pytest.mark.parametrize("image_size, nearest", [(30, "28 or 32"), (3, "4")])
def test_an_unsuitable_size_names_the_nearest_that_fit(image_size, nearest):
    with pytest.raises(
        ValueError, match=f"image_size={image_size} cannot be halved 2 times; set data.image_size={nearest},"
    ):
        UNet(image_size=image_size, in_channels=1, out_channels=1, channel_mult=(1, 1, 1))
