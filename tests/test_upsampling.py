"""Super-resolution from the data to the preview, without a command line."""

import math

import torch
from tiny_training import tiny_run, tiny_trainer

from diffusion.data.conditions import Label, SmallImage
from diffusion.data.synthetic import Synthetic
from diffusion.inference.prompts import prompts_from
from diffusion.inference.trained import Trained
from diffusion.pictures.grid import GAP, MIN_WIDTH
from diffusion.pictures.lettering import FRAME
from diffusion.training.loop import fit
from diffusion.training.preview import Preview
from unet import SuperResolutionUNet


def tiny_upsampling_run(folder):
    torch.manual_seed(0)
    network = SuperResolutionUNet(
        image_size=8, in_channels=1, out_channels=2, num_classes=2, base_channels=16, channel_mult=(1, 2),
        blocks_per_level=1, attention_resolutions=(), heads=2, norm_groups=8,
    )  # fmt: skip
    with torch.no_grad():
        network.head[-1].weight.normal_(std=0.1)  # a fresh network ends in zeros and passes no gradient on
    images = Synthetic(image_size=8, channels=1, num_classes=2, num_images=12)
    return tiny_run(folder, model=network, images=images, conditions={"y": Label(), "low_res": SmallImage(size=4)})


def test_the_network_learns_from_the_small_image(tmp_path):
    run = tiny_upsampling_run(tmp_path)
    seen = run.model.trunk.stem.weight[:, 1].detach().clone()
    fit(tiny_trainer(max_steps=2), run)
    assert not torch.equal(run.model.trunk.stem.weight[:, 1], seen)


def test_a_preview_enlarges_the_first_images_and_shows_them_between_small_and_true(tmp_path):
    run, trainer = tiny_upsampling_run(tmp_path), tiny_trainer()
    learner, prompts = trainer.learner(run), prompts_from(run.conditions, run.images, 4, classes=run.images.classes)
    model = Trained(learner.model, run.diffusion, (1, 8, 8), ["0", "1"], {}, 0, "raw", run.device)
    pictures = list(Preview(every=1, images=4).pictures(model, learner.weights(), run.sampler, prompts))
    assert [name for name, _ in pictures] == ["raw", "ema_0.5", "ema_0.9", "strip_ema_0.9"]
    for number in range(4):
        left, middle, right = (tile(pictures[0][1], 3 * number + place) for place in range(3))
        small = prompts.arguments["low_res"][number, 0].repeat_interleave(2, 0).repeat_interleave(2, 1)
        assert close(left, small) and close(right, prompts.true[number, 0])
        assert not close(middle, small) and not close(middle, prompts.true[number, 0])


def tile(picture, column: int) -> torch.Tensor:
    """Tile `column` of a titled picture with one row of 12 images of 8x8, in [-1, 1]."""
    factor = math.ceil(MIN_WIDTH / (12 * 8))
    pixels, left = picture[-8 * factor - FRAME : -FRAME, FRAME:], column * (8 * factor + GAP)
    return torch.from_numpy(pixels[::factor, left : left + 8 * factor : factor, 0].copy()) / 127.5 - 1


def close(shown: torch.Tensor, image: torch.Tensor) -> bool:
    """Equal up to the rounding to 256 levels."""
    return bool((shown - image).abs().max() <= 0.51 / 127.5)
