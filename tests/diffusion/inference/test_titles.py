"""What pictures are called."""

import torch

from diffusion import DDIM, Ancestral, Guidance, ImageToImage
from diffusion.inference.titles import model_title, picture_title
from diffusion.inference.trained import Trained


def model(**other) -> Trained:
    parts = dict(network=torch.nn.Identity(), diffusion=None, shape=(1, 4, 4), classes=None, config={"name": "digits"})
    return Trained(**parts | dict(step=2500, weights="ema_0.995", device=torch.device("cpu")) | other)


def test_a_title_says_run_step_and_weights():
    assert model_title(model()) == "digits · step 2,500 · ema_0.995"
    assert model_title(model(config={}, name="released", step=None, weights="raw")) == "released · raw"


def test_below_it_stands_how_the_images_were_drawn():
    assert picture_title(model(), DDIM(), seed=3).splitlines()[1] == "DDIM, all steps · seed 3"
    task, steered = ImageToImage(images=torch.zeros(1, 1, 4, 4)), model(guidance=Guidance(scale=2.0))
    below = picture_title(steered, Ancestral(steps=5), seed=0, task=task).splitlines()[1]
    assert below.startswith("image to image · Ancestral, 5 steps · seed 0 · guided") and "2" in below
