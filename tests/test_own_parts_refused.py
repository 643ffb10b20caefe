"""What a part of one's own does wrong is refused in one line that names it, before hours are lost."""

import numpy as np
import pytest
import torch
from torch import nn

from diffusion import (
    DDIM,
    EMA,
    Cosine,
    EvenSpacing,
    GaussianDiffusion,
    Guidance,
    Resident,
    Sampler,
    Uniform,
    public_classes,
    train,
    trajectory,
)
from diffusion.config.trust import is_trusted
from diffusion.data.conditions import Condition, Label, SmallImage
from diffusion.denoiser.denoiser import conditions_of
from diffusion.denoiser.predictions import Epsilon
from diffusion.denoiser.variances import FixedSmall
from diffusion.inference.prompts import rows_in_turn
from diffusion.losses.losses import Simple
from diffusion.runs.state import require_readable


def process():
    parts = {"prediction": Epsilon(), "variance": FixedSmall(), "loss": Simple(), "rescale_times": False}
    return GaussianDiffusion(steps=20, schedule=Cosine(), **parts).process


def test_no_step_is_no_drawing():
    with pytest.raises(ValueError, match=r"sampler.steps=0 .* at least 1"):
        DDIM(steps=0).levels(process())
    assert len(EvenSpacing().t(process(), 1)) == 1


def test_a_network_that_takes_anything_says_what():
    class Anything(nn.Module):
        def forward(self, x, time, **told):
            return x

    with pytest.raises(ValueError, match=r"does not say what it is told; .* conditions = \('y',\)"):
        conditions_of(Anything())
    Anything.conditions = ("y",)
    assert conditions_of(Anything()) == ("y",)


def test_a_weight_in_two_places_has_one_average():
    network = nn.Sequential(nn.Linear(2, 2), nn.Linear(2, 2))
    network[1].weight = network[0].weight
    ema, began = EMA(network, (0.5,)), network[0].weight.detach().clone()
    with torch.no_grad():
        network[0].weight.add_(1)
    ema.update(1)
    average = ema.state_dict()["0.5"]
    assert set(average) == set(network.state_dict())
    for place in ("0.weight", "1.weight"):
        torch.testing.assert_close(average[place], began + 0.5)


def test_a_sampler_that_yields_no_steps_is_named():
    class Bare(Sampler):
        def walk(self, denoise, levels, x, noise):
            yield x

    with pytest.raises(ValueError, match=r"Bare yields a Tensor; its walk must yield Step"):
        list(trajectory(Bare(steps=2), process(), lambda x, level: None, lambda: torch.zeros(1, 1, 2, 2)))


@pytest.mark.parametrize(
    "value",
    [
        *(np.float64(1.0), {1, 2}, object(), [{"a": np.zeros(2)}], 2**63, {(1, 2): 3}, {True: 1}),
        *(torch.ones(2).to_sparse(), torch.zeros(1, dtype=torch.bits8), torch.zeros([1] * 9)),
    ],
)
def test_a_state_that_no_checkpoint_may_hold_is_named(value):
    with pytest.raises(ValueError, match=r"^checkpoint\['optimizer'\]\['mean'\]\S* (is|has) .*; a checkpoint holds"):
        require_readable({"optimizer": {"mean": value}})


@pytest.mark.parametrize("pixels", [torch.rand(4, 1, 2, 2), torch.zeros(4, 2, 2, dtype=torch.uint8)])
def test_pixels_are_bytes_in_four_dimensions(pixels):
    with pytest.raises(ValueError, match=r"pixels must be uint8 \(N, C, H, W\)"):
        Resident(pixels, torch.zeros(4, dtype=torch.long), classes=None, flip=False)


def test_a_checkpoint_may_name_public_classes_only():
    assert is_trusted("diffusion.Cosine", ()) and "Cosine" in public_classes()
    assert not is_trusted("diffusion.Path", ()) and not is_trusted("diffusion.Any", ())


def test_what_needs_no_image_is_asked_for_in_turn():
    class Bright(Condition):
        def __call__(self, x_0, labels):
            return x_0.mean((1, 2, 3))

        def in_turn(self, num_classes):
            return torch.tensor([-1.0, 1.0])

    told = {"y": Label(), "bright": Bright(), "low_res": SmallImage(size=2)}
    assert {name: rows.tolist() for name, rows in rows_in_turn(told, ["a", "b", "c"]).items()} == {
        "y": [0, 1, 2],
        "bright": [-1.0, 1.0],
    }
    assert set(rows_in_turn(told, None)) == {"bright"}


def test_a_guidance_of_ones_own_is_its_arguments_and_its_call():
    class Away(Guidance):
        def __init__(self, *, worse, scale):
            self.worse, self.scale = worse, scale

    class Worse:
        name, classes, shape, diffusion, denoiser = "worse_step_9", None, (1, 2, 2), None, None

    guidance = Away(worse=Worse(), scale=2.5)
    guidance.check(Worse())
    assert [guide.name for guide in guidance.guides] == ["worse_step_9"]
    assert guidance.name == "away_worse_step_9_2.5"
    assert Guidance().name == "" and Guidance().guides == []


class Answers(nn.Module):
    """Answers with a function of x."""

    def __init__(self, answer):
        super().__init__()
        self.weight, self.answer = nn.Parameter(torch.ones(())), answer

    def forward(self, x, time):
        return self.answer(self.weight * x)


def begin(folder, answer, **settings):
    parts = {"prediction": Epsilon(), "variance": FixedSmall(), "loss": Simple()}
    images = Resident(torch.zeros(4, 1, 4, 4, dtype=torch.uint8), -torch.ones(4).long(), classes=None, flip=False)
    chain = GaussianDiffusion(steps=20, schedule=Cosine(), **parts)
    return train(Answers(answer), chain, images, max_steps=1, folder=folder, batch_size=2, device="cpu", **settings)


@pytest.mark.parametrize(
    ("answer", "said"),
    [
        (lambda x: x.mean((2, 3), keepdim=True), r"gives \(2, 1, 1, 1\) .*; needed \(2, 1, 4, 4\)"),
        (lambda x: x[:1], r"gives \(1, 1, 4, 4\) .*; needed \(2, 1, 4, 4\)"),
        (lambda x: (x,), r"gives a tuple; it must give one tensor"),
        (lambda x: x.flatten(1), r"gives \(2, 16\)"),
        (
            lambda x: x @ torch.ones(3, 3, device=x.device),
            r"Answers cannot be called as .* with images of \(1, 4, 4\)",
        ),
        (lambda x: torch.cat([x, x], 1), r"needs 1 output channels"),
    ],
)
def test_an_answer_of_another_shape_is_refused_though_it_would_broadcast(tmp_path, answer, said):
    with pytest.raises(ValueError, match=said):
        begin(tmp_path, answer)
    assert not list(tmp_path.iterdir())


class LooksUp(nn.Module):
    """Adds to each image a number that it looks up by its label, among `rows`."""

    def __init__(self, rows):
        super().__init__()
        self.table = nn.Embedding(rows, 1)

    def forward(self, x, time, y):
        return x + self.table(y)[..., None, None]


@pytest.mark.parametrize(("rows", "dropout"), [(1, 0.0), (2, 0.5)])
def test_a_table_with_too_few_rows_for_the_labels_is_refused(tmp_path, rows, dropout):
    parts = {"prediction": Epsilon(), "variance": FixedSmall(), "loss": Simple()}
    chain = GaussianDiffusion(steps=20, schedule=Cosine(), **parts)
    images = Resident(torch.zeros(4, 1, 4, 4, dtype=torch.uint8), torch.arange(4) % 2, classes=("a", "b"), flip=False)
    settings = {"max_steps": 1, "folder": tmp_path, "batch_size": 2, "device": "cpu", "label_dropout": dropout}
    with pytest.raises(ValueError, match=rf"LooksUp looks up .* a table of {rows} rows, .*Embedding\({rows + 1}"):
        train(LooksUp(rows), chain, images, **settings)
    assert not list(tmp_path.iterdir())
    assert train(LooksUp(rows + 1), chain, images, **settings).step == 1


def test_a_network_that_looks_at_its_images_is_trained_without_that_check(tmp_path):
    assert begin(tmp_path, lambda x: x * float(x.detach().numpy().std() + 1)).step == 1


def test_a_law_whose_memory_no_checkpoint_may_hold_is_refused_before_it_learns(tmp_path):
    class Remembers(Uniform):
        def state_dict(self):
            return {"mean": np.float64(0)}

    with pytest.raises(ValueError, match=r"\['schedule_sampler'\]\['mean'\] is a numpy.float64"):
        begin(tmp_path, lambda x: x, schedule_sampler=Remembers())


@pytest.mark.parametrize("betas", [torch.full((19,), 0.1), [0.1] * 20, None])
def test_a_schedule_of_another_length_is_named(betas):
    class Short:
        def betas(self, steps):
            return betas

    parts = {"prediction": Epsilon(), "variance": FixedSmall(), "loss": Simple()}
    with pytest.raises(ValueError, match=r"Short.betas\(20\) must give a tensor of shape \(20,\)"):
        GaussianDiffusion(steps=20, schedule=Short(), **parts)


def test_a_spacing_that_rises_is_refused():
    class Upwards(EvenSpacing):
        def t(self, process, steps):
            return process.evenly(steps).flip(0)

    with pytest.raises(ValueError, match=r"Upwards names levels that do not lead from noise"):
        DDIM(steps=5, spacing=Upwards()).levels(process())
