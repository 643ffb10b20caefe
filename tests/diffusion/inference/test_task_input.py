"""What a model is asked to draw by a task, in files and in Python."""

import numpy as np
import pytest
import torch
from PIL import Image
from toy_gaussian import Called, ToyGaussian

from diffusion import (
    DDIM,
    Ancestral,
    Classification,
    Cosine,
    DPMSolver,
    Draw,
    Epsilon,
    EvenSpacing,
    FixedLarge,
    GaussianDiffusion,
    Guidance,
    Heun,
    ImageToImage,
    Inpaint,
    Interpolate,
    Replacement,
    Vary,
)
from diffusion.data.conditions import Label, SmallImage
from diffusion.inference.film import Film
from diffusion.inference.image_files import Request, draw_to_files, samples_folder_name
from diffusion.inference.model import Model
from diffusion.inference.prompts import Prompts
from diffusion.inference.task_input import task_prompts
from diffusion.inference.trained import Trained

TOY = ToyGaussian(mean=0.0, std=0.1, steps=10)
TOY_JUDGE = GaussianDiffusion(
    steps=10, schedule=Cosine(), prediction=Epsilon(), variance=FixedLarge(), loss=Classification(), rescale_times=False
)
GIVEN = torch.linspace(-1, 1, 32).view(2, 1, 4, 4)


def network(x, time, y=None):
    """Class y is drawn y / 2 lighter."""
    eps, log_variance = TOY.network(x, time).chunk(2, dim=1)
    return torch.cat([eps - (0 if y is None else y.view(-1, 1, 1, 1)), log_variance], dim=1)


def model(kind=Model, *, classes=("a", "b"), low_res_size=None):
    small = {} if low_res_size is None else {"low_res": SmallImage(size=low_res_size)}
    conditions = {"y": Label(), **small}
    return kind(
        network=Called(network, "y"), diffusion=TOY.diffusion, shape=(1, 4, 4), classes=classes and list(classes),
        config={}, step=7, weights="ema_0.9", device=torch.device("cpu"), conditions=conditions,
    )  # fmt: skip


def prompts(task, sampler=None, labels=None, low_res=None, **options):
    return task_prompts(model(Trained, **options), task, sampler or DDIM(eta=1.0), labels=labels, low_res=low_res)


def test_the_classes_are_those_named_or_those_that_the_images_bring(tmp_path):
    np.savez(tmp_path / "images.npz", np.zeros((2, 4, 4, 1), np.uint8), np.array([1, 0]))
    npz = str(tmp_path / "images.npz")
    assert prompts(Vary(images=npz)).arguments["y"].tolist() == [1, 0]
    assert prompts(Vary(images=npz), labels=["b"]).arguments["y"].tolist() == [1]
    assert prompts(Draw()).arguments["y"].tolist() == [0, 1]
    assert prompts(Interpolate(), DDIM()).arguments["y"].tolist() == [0, 1]
    assert "y" not in prompts(Vary(images=npz), classes=None).arguments
    with pytest.raises(ValueError, match=r"class-conditional and a tensor .* has no labels; name the class of each"):
        prompts(Vary(images=GIVEN))


def test_a_model_that_enlarges_draws_only_and_other_tasks_enlarge_nothing():
    with pytest.raises(ValueError, match=r"the model enlarges images, for which Vary has no meaning; leave task out"):
        prompts(Vary(images=GIVEN), labels=[0], low_res_size=2)
    with pytest.raises(ValueError, match=r"low_res=small was given, but Vary enlarges no images; leave it out"):
        prompts(Vary(images=GIVEN), labels=[0], low_res="small")


TASKS = [
    (Inpaint(images=GIVEN, mask=torch.eye(4), versions=2, jump_length=2, jump_n_sample=2), Ancestral()),
    (ImageToImage(images=GIVEN, versions=2), Ancestral()),
    (Vary(images=GIVEN, versions=2), Ancestral()),
    (Interpolate(images=GIVEN, count=4), DDIM()),
]


@pytest.mark.parametrize("task, sampler", TASKS, ids=lambda each: type(each).__name__)
def test_python_and_files_hold_the_same_images_whatever_the_batch(task, sampler, tmp_path):
    x = model().draw(4, task=task, sampler=sampler, labels=[0, 1], seed=3)
    for batch_size in (1, 4):
        told = prompts(task, sampler, labels=[0, 1])
        request = Request(task.total(64, (1, 4, 4)), batch_size, 3, told, task)
        film = Film(tmp_path / "way.gif")
        draw_to_files(request, model(Trained), sampler, tmp_path / "out", film)
        stored = np.load(tmp_path / "out" / "samples.npz")
        assert np.abs(stored["arr_0"][..., 0] - ((x[:, 0].clamp(-1, 1) + 1) * 127.5).numpy()).max() <= 0.51
        assert stored["arr_1"].tolist() == ([0, 0, 1, 1] if isinstance(task, Interpolate) else [0, 1, 0, 1])
        with Image.open(tmp_path / "out" / "grid.png") as picture, Image.open(tmp_path / "way.gif") as gif:
            assert picture.width > picture.height and gif.n_frames > 1
    several = model().draw(4, task=task, sampler=sampler, labels=[0, 1], seed=4)
    assert torch.equal(several, x) == isinstance(task, Interpolate)  # whose images are those between given ones


def test_an_inpainted_image_is_of_the_class_asked_for_where_it_was_unknown():
    task = Inpaint(images=torch.zeros(1, 1, 4, 4), mask=torch.eye(4), jump_n_sample=1)
    dark, light = model().draw(2, task=task, labels=["a", "b"], sampler=Ancestral())[:, 0]
    unknown = torch.eye(4) == 0
    assert torch.equal(dark.diagonal(), torch.zeros(4)) and torch.equal(light.diagonal(), torch.zeros(4))
    assert light[unknown].mean() > dark[unknown].mean() + 0.2


@pytest.mark.parametrize("kind", [Inpaint, Replacement])
@pytest.mark.parametrize("sampler", [Ancestral(), DDIM(), Heun(), DPMSolver(spacing=EvenSpacing())])
def test_known_pixels_are_kept_and_the_others_led_by_a_guide(kind, sampler):
    # log p(y | x) rises with x for class 1 and falls for class 0, as a logistic function.
    logistic = Called(lambda x, time: torch.stack([-x.sum((1, 2, 3)), x.sum((1, 2, 3))], dim=1))
    classifier = model(Trained)._replace(network=logistic, classes=["a", "b"], diffusion=TOY_JUDGE, name="judge")
    unconditional = model(classes=None)
    options = {"jump_n_sample": 1} if kind is Inpaint else {}
    task = kind(images=torch.zeros(1, 1, 4, 4), mask=torch.eye(4), **options)
    guidance = Guidance(classifier=classifier, scale=20.0)
    dark, light = unconditional.draw(2, task=task, labels=["a", "b"], sampler=sampler, guidance=guidance)[:, 0]
    assert torch.equal(dark.diagonal(), torch.zeros(4)) and torch.equal(light.diagonal(), torch.zeros(4))
    assert light[torch.eye(4) == 0].mean() > dark[torch.eye(4) == 0].mean() + 0.02


def test_another_task_is_another_folder():
    def name(task):
        request = Request(1, 1, 0, Prompts(), task)
        return samples_folder_name(request, model(Trained), DDIM(steps=5), labels=None, low_res=None)

    plain = samples_folder_name(Request(1, 1, 0, Prompts()), model(Trained), DDIM(steps=5), labels=None, low_res=None)
    assert name(Draw()) == plain == "ddim_5_ema_0.9_step_7"
    assert name(Vary(images="a.png")) == "vary_images-a.png_" + plain
    assert name(Vary(images=["/a/" + 50 * "b" + f"/{n}.png" for n in range(9)])) not in (plain, name(Vary(images="b")))
