"""Images drawn to files."""

import re

import numpy as np
import pytest
import torch
from PIL import Image
from toy_gaussian import Called, ToyGaussian

from diffusion.denoiser.guidance import Guidance
from diffusion.inference.image_files import Request, draw_batches, draw_to_files, sampler_name, samples_folder_name
from diffusion.inference.prompts import Prompts
from diffusion.inference.trained import Trained
from diffusion.pictures.grid import save_picture
from diffusion.pictures.lettering import titled
from diffusion.pictures.pixels import from_uint8
from diffusion.samplers.ancestral import Ancestral
from diffusion.samplers.ddim import DDIM
from diffusion.samplers.spacing import EvenSpacing, TrailingSpacing


def classes(*labels: int) -> Prompts:
    """These classes in turn."""
    return Prompts({"y": torch.tensor(labels)})


@pytest.fixture
def model():
    """A model whose class y is drawn y / 2 lighter."""
    toy = ToyGaussian(mean=0.0, std=0.1, steps=10)

    def network(x, time, y=None):
        eps, log_variance = toy.network(x, time).chunk(2, dim=1)
        return torch.cat([eps - (0 if y is None else y.view(-1, 1, 1, 1)), log_variance], dim=1)

    return Trained(
        network=Called(network, "y"), diffusion=toy.diffusion, shape=(1, 4, 4), classes=["a", "b"], config={}, step=7,
        weights="ema_0.9", device=torch.device("cpu"),
    )  # fmt: skip


def test_files_agree_with_each_other_and_with_the_labels(model, tmp_path):
    draw_to_files(
        Request(num_images=7, batch_size=3, seed=0, prompts=classes(1, 0)),
        model,
        Ancestral(steps=5),
        tmp_path,
    )
    stored = np.load(tmp_path / "samples.npz")
    assert stored["arr_0"].dtype == np.uint8 and stored["arr_0"].shape == (7, 4, 4, 1)
    assert stored["arr_1"].tolist() == [1, 0, 1, 0, 1, 0, 1]
    pictures = [np.asarray(Image.open(path)) for path in sorted((tmp_path / "images").iterdir())]
    assert np.array_equal(np.stack(pictures), stored["arr_0"][..., 0])
    lightness = stored["arr_0"].mean((1, 2, 3))
    assert lightness[0::2].min() > lightness[1::2].max()
    prompts = classes(1, 0)
    words = "model · step 7 · ema_0.9\nAncestral, 5 steps · seed 0"
    drawn = from_uint8(torch.from_numpy(stored["arr_0"]).permute(0, 3, 1, 2))
    assert np.array_equal(np.asarray(Image.open(tmp_path / "grid.png")), titled(prompts.picture(drawn), words)[..., 0])


def test_the_same_seed_draws_the_same_images_whatever_the_batch_size(model):
    def images(batch_size, seed=0):
        return torch.cat(list(draw_batches(Request(5, batch_size, seed, classes(0, 1)), model, DDIM(steps=5))))

    assert torch.equal(images(1), images(5)) and torch.equal(images(2), images(5))
    assert not torch.equal(images(5), images(5, seed=1))


def test_drawing_says_how_long_it_takes_step_by_step(model, slow, capsys):
    list(draw_batches(Request(6, 3, 0, classes(0, 1)), model, DDIM(steps=5)))
    assert capsys.readouterr().err == "Drawing 6 images: about 8 s left, 20% done\n"


def test_several_processes_draw_the_images_of_one(model, monkeypatch):
    def images():
        return torch.cat(list(draw_batches(Request(5, 2, 0, classes(0, 1)), model, Ancestral(steps=5))))

    alone = images()
    monkeypatch.setenv("WORLD_SIZE", "2")
    shares = []
    for rank in range(2):
        monkeypatch.setenv("RANK", str(rank))
        shares.append(images())
    assert [len(share) for share in shares] == [3, 2] and torch.equal(torch.cat(shares), alone)


def test_a_disk_that_fills_up_ends_the_drawing_and_keeps_nothing(model, tmp_path, monkeypatch):
    def full(path, image):
        save_picture(path, image)
        if path.name == "00002.png":
            raise OSError(28, "No space left on device")

    monkeypatch.setattr("diffusion.inference.image_files.save_picture", full)
    with pytest.raises(OSError, match="No space left") as caught:
        draw_to_files(Request(4, 1, 0, Prompts()), model, DDIM(steps=3), tmp_path / "new")
    assert caught.value.filename.endswith("new/images.partial/00002.png") and not (tmp_path / "new").exists()


def test_drawing_fewer_images_leaves_none_of_the_old_ones_but_strangers(model, tmp_path):
    draw_to_files(Request(4, 4, 0, Prompts()), model, DDIM(steps=3), tmp_path)
    (tmp_path / "images" / "mine.png").touch()
    draw_to_files(Request(2, 4, 0, Prompts()), model, DDIM(steps=3), tmp_path)
    assert sorted(path.name for path in (tmp_path / "images").iterdir()) == ["00000.png", "00001.png", "mine.png"]
    assert "arr_1" not in np.load(tmp_path / "samples.npz")


def test_pictures_that_were_not_drawn_here_are_left_alone(model, tmp_path):
    (tmp_path / "images").mkdir()
    (tmp_path / "images" / "00000.png").write_text("a user's")
    with pytest.raises(ValueError, match="were not drawn here; give another out="):
        draw_to_files(Request(1, 1, 0, Prompts()), model, DDIM(steps=3), tmp_path)
    assert (tmp_path / "images" / "00000.png").read_text() == "a user's"


def test_drawing_that_fails_leaves_the_old_images_and_nothing_half_written(model, tmp_path):
    def everything():
        return {path.name: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()}

    draw_to_files(Request(2, 2, 0, Prompts()), model, DDIM(steps=3), tmp_path)
    before = everything()
    broken = model._replace(network=Called(lambda x, time: torch.full((len(x), 2, 4, 4), torch.nan)))
    with pytest.raises(ValueError, match=r"not finite \(DDIM with sampler.steps=3, .*; set sampler.clip=true"):
        draw_to_files(Request(2, 2, 0, Prompts()), broken, DDIM(steps=3), tmp_path)
    assert everything() == before and not (tmp_path / "images.partial").exists()


def test_a_folder_that_cannot_be_made_is_noticed_before_anything_is_drawn(model, tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(OSError):
        draw_to_files(
            Request(1, 1, 0, Prompts()), model._replace(network=None), DDIM(steps=3), tmp_path / "file" / "new"
        )


def test_steps_that_cannot_be_taken_leave_no_folder(model, tmp_path):
    with pytest.raises(ValueError, match=r"sampler\.steps"):
        draw_to_files(Request(1, 1, 0, Prompts()), model, DDIM(steps=11), tmp_path / "new")
    assert not (tmp_path / "new").exists()


@pytest.mark.parametrize("counts", [{"num_images": 0}, {"batch_size": -1}])
def test_counts_below_one_are_refused_before_anything_is_written(model, tmp_path, counts):
    request = Request(**dict(num_images=1, batch_size=1, seed=0, prompts=Prompts()) | counts)
    with pytest.raises(ValueError, match="must be at least 1"):
        draw_to_files(request, model, DDIM(), tmp_path / "new")
    assert not (tmp_path / "new").exists()


def test_another_way_of_drawing_is_another_folder(model):
    def name(sampler=None, seed=0, labels=None, low_res=None, **changes):
        request, sampler = Request(1, 1, seed, Prompts()), sampler or Ancestral(steps=5)
        changed = model._replace(**changes)
        return samples_folder_name(request, changed, sampler, labels=labels, low_res=low_res)

    judge = model._replace(name="judge")
    names = [
        name(), name(DDIM(steps=5)), name(Ancestral()), name(seed=1), name(labels=[3, 7]), name(labels=3),
        name(low_res="/a/b.npz"), name(low_res="/a/c.npz"), name(guidance=Guidance(classifier=judge)),
        name(guidance=Guidance(classifier=judge, scale=2.0)), name(guidance=Guidance(classifier=model)),
       
        name(step=8), name(weights="raw"), name(DDIM(steps=5, eta=1.0)), name(Ancestral(steps=5, clip=False)),
        name(precision="bf16"),
    ]  # fmt: skip
    assert len(set(names)) == len(names)
    assert name(labels="all") == name() == "ancestral_5_ema_0.9_step_7"
    assert len(name(labels=list(range(300)))) < 255
    assert name(labels=[3, 7]) == "ancestral_5_ema_0.9_step_7_labels_3-7"
    spoken = [name(labels=[word], low_res=word) for word in ("a/b", "a-b", "a b", "../x", "['사진']", "x,y")]
    assert len(set(spoken)) == len(spoken) and all(re.fullmatch(r"[\w.-]+", each, re.ASCII) for each in spoken)


@pytest.mark.parametrize(
    ("sampler", "name"),
    [
        (Ancestral(steps=50), "ancestral_50"),
        (Ancestral(clip=False), "ancestral_all_no_clip"),
        (DDIM(steps="ddim5", eta=0.5), "ddim_ddim5_eta_0.5"),
        (DDIM(steps=5, spacing=TrailingSpacing()), "ddim_5_trailing"),
        (DDIM(steps="10,15,20"), "ddim_10-15-20"),
        (DDIM(steps=5, spacing=EvenSpacing()), "ddim_5"),
    ],
)
def test_a_sampler_is_named_by_what_it_does_otherwise(sampler, name):
    assert sampler_name(sampler) == name


def test_a_guide_steers_a_model_without_classes_towards_those_asked_for(model):
    # log p(y | x) rises with x for class 1 and falls for class 0, as a logistic function.
    logistic = lambda x, time: torch.stack([-x.sum((1, 2, 3)), x.sum((1, 2, 3))], dim=1)  # noqa: E731
    classifier = model._replace(network=Called(logistic), classes=["dark", "light"])
    guidance = Guidance(classifier=classifier, scale=20.0)
    unconditional = model._replace(network=Called(model.network), classes=None, guidance=guidance)
    assert unconditional.classes_to_ask == ["dark", "light"]
    dark, light = torch.cat(list(draw_batches(Request(2, 2, 0, classes(0, 1)), unconditional, Ancestral()))).mean(
        (1, 2, 3)
    )
    free = torch.cat(list(draw_batches(Request(2, 2, 0, Prompts()), model, Ancestral()))).mean((1, 2, 3))
    assert dark < free[0] - 0.02 and light > free[1] + 0.02
