"""A checkpoint builds what its settings describe only if its weights are those of that, and images can be such."""

import copy
import time

import pytest
import torch

from diffusion.config.load import restore_model
from diffusion.config.restored import on_meta_with_at_most
from unet import UNet

NETWORK = {
    "_target_": "unet.UNet", "image_size": 8, "in_channels": 1, "out_channels": 1, "base_channels": 8,
    "channel_mult": [1], "attention_resolutions": [], "norm_groups": 4, "num_classes": 3, "blocks_per_level": 1,
}  # fmt: skip
DIFFUSION = {
    "_target_": "diffusion.GaussianDiffusion", "steps": 20,
    "schedule": {"_target_": "diffusion.Cosine"}, "prediction": {"_target_": "diffusion.Epsilon"},
    "variance": {"_target_": "diffusion.FixedSmall"}, "loss": {"_target_": "diffusion.Simple"},
}  # fmt: skip


@pytest.fixture(scope="module")
def weights():
    torch.manual_seed(0)
    return UNet(**{key: value for key, value in NETWORK.items() if key != "_target_"}).state_dict()


@pytest.fixture
def state(weights):
    config = {
        "model": NETWORK, "diffusion": DIFFUSION, "data": {"_target_": "diffusion.Digits", "image_size": 8},
        "train": {}, "conditions": {"y": {"_target_": "diffusion.Label"}}, "shape": [1, 8, 8],
        "classes": ["a", "b", "c"],
    }  # fmt: skip
    return {"step": 5, "ema": {}, "model": dict(weights), "config": copy.deepcopy(config)}


def opened(state):
    return restore_model(state, ema=None, device="cpu")


def test_a_sound_state_is_opened(state, weights):
    model = opened(state)
    assert all(torch.equal(weight, weights[name]) for name, weight in model.network.state_dict().items())
    assert (model.shape, model.classes, model.origin) == ((1, 8, 8), ["a", "b", "c"], "raw_step_5")


IMPOSSIBLE = [
    ("shape", "abc", "says that its images are 'abc', and not"),
    ("shape", [3, 0, 0], r"says that its images are \[3, 0, 0\], and not"),
    ("shape", [1, 2**20, 2**20], "numbers each, and may be"),
    ("shape", [3, 8, 8], "a network of in_channels=1, and needs 3"),
    ("shape", None, "says that its images are None, and not"),
    ("classes", 5, "says that its classes are 5, and not"),
    ("classes", [1, 2], r"says that its classes are \[1, 2\], and not"),
    ("classes", [str(number) for number in range(9)], "names 9 classes, and its network knows 3"),
    ("classes", None, "is told y, and the checkpoint does not say"),
    ("data", "digits", "says data='digits', which describes nothing"),
    ("data", {}, "says of its data no class"),
    ("train", 3, "says train=3, which describes nothing"),
    ("train.label_dropout", "text", "label_dropout='text', which is no number"),
    ("conditions", [], r"its conditions are \[\]"),
    ("conditions.y", {"_target_": "diffusion.Cosine"}, "conditions.y needs a diffusion.Condition"),
    ("conditions.low_res", {"_target_": "diffusion.SmallImage", "size": 10**9}, "does not shrink images"),
    ("model.more", 1, "model in the checkpoint is refused: Key 'more' not in 'UNet'"),
    ("model.base_channels", "wide", "model in the checkpoint is refused: Value 'wide'"),
    ("model.base_channels", 10**9, "cannot be built .*overflowed"),
    ("model.base_channels", 16, r"holds \(32, 8\) for \S+, the network \(64, 16\); give the weights"),
    ("model.blocks_per_level", 100, "a network of more weights than it holds"),
    ("model.channel_mult", [1] * 60, "cannot be halved"),
    ("model.num_classes", 10**12, "give the weights of the same network|is not what its settings say"),
    ("model.out_channels", 10**9, "give the weights of the same network|is not what its settings say"),
    ("diffusion.steps", 3 * 10**8, "at most 1000000 steps"),
    ("diffusion.steps", "${oc.env:HOME}", "it holds an interpolation, and must be a plain value"),
    ("diffusion.steps", None, "diffusion in the checkpoint is refused: "),
    ("diffusion.loss.weight", 2, "diffusion.loss in the checkpoint is refused: Key 'weight' not in 'Simple'"),
    ("diffusion.schedule.offset", float("nan"), "beta of nan"),
    ("diffusion.loss", {"_target_": "diffusion.Classification"}, "only one is to classify"),
    ("diffusion.variance", {"_target_": "diffusion.LearnedRange"}, "simple loss never trains LearnedRange"),
]


@pytest.mark.parametrize("place, value, said", IMPOSSIBLE)
def test_what_cannot_be_is_refused_in_a_line_at_once(state, place, value, said):
    *parents, last = place.split(".")
    node = state["config"]
    for key in parents:
        node = node[key]
    node[last] = value
    since = time.perf_counter()
    with pytest.raises(ValueError, match=said) as caught:
        opened(state)
    assert "\n" not in str(caught.value) and time.perf_counter() - since < 2


@pytest.mark.parametrize(
    "change",
    [
        lambda weights: weights.popitem(),
        lambda weights: weights.update(more=torch.zeros(1)),
        lambda weights: weights.update({"head.2.bias": torch.zeros(())}),
        lambda weights: weights.update({"head.2.bias": torch.zeros(1, dtype=torch.int64)}),
    ],
)
def test_weights_of_another_network_are_refused(state, change):
    change(state["model"])
    with pytest.raises(ValueError, match=r"^the checkpoint holds .*; give the weights of the same network$"):
        opened(state)


def test_what_is_built_to_look_at_takes_no_memory():
    with on_meta_with_at_most(2):
        assert torch.nn.Linear(10**6, 10**6).weight.is_meta
    with pytest.raises(ValueError, match="of more weights than it holds"), on_meta_with_at_most(1):
        torch.nn.Linear(1, 1)
    assert not torch.nn.Linear(1, 1).weight.is_meta
