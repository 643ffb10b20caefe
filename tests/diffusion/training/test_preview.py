"""Pictures of what the network draws while it learns."""

import numpy as np
import torch
from tiny_training import by_loss, tiny_diffusion, tiny_images, tiny_network

from diffusion import DDIM, Ancestral, Uniform
from diffusion.data.conditions import BY_LABEL
from diffusion.inference.draw import draw_steps
from diffusion.inference.prompts import prompts_from
from diffusion.inference.trained import Trained
from diffusion.pictures.lettering import titled
from diffusion.samplers.sampler import draw
from diffusion.training.preview import STRIP, Preview, Strip, caption

SAMPLER = Ancestral(steps=3)
PROMPTS = prompts_from(BY_LABEL, tiny_images(), 6, classes=("0", "1"))


def model() -> Trained:
    return Trained(tiny_network(), tiny_diffusion(), (1, 8, 8), ["0", "1"], {}, 1, "raw", torch.device("cpu"))


def pictures(schedule_sampler=None, **weights) -> dict:
    weights = weights or {name: model().network.state_dict() for name in ("raw", "ema_0.5", "ema_0.9")}
    found = Preview(every=1, images=6).pictures(model(), weights, SAMPLER, PROMPTS, schedule_sampler)
    return {name: picture for name, picture in found}


def warm():
    sampler = by_loss()
    for _ in range(2):
        sampler.update(torch.arange(4), torch.tensor([8.0, 4.0, 2.0, 1.0]), tiny_diffusion().process)
    return sampler


def test_a_picture_shows_what_drawing_with_those_weights_gives():
    other = {name: 0.5 * weight for name, weight in model().network.state_dict().items()}
    found = pictures(raw=model().network.state_dict(), ema=other)
    for name, weights in (("raw", model().network.state_dict()), ("ema", other)):
        one = model()
        one.network.load_state_dict(weights)
        condition = PROMPTS.condition(range(6), one.device)
        strip = Strip(3)
        x = draw(strip.watch(draw_steps(one, SAMPLER, range(6), seed=0, condition=condition)))
        title = f"model · step 1 · {name}\nAncestral, 3 steps · seed 0"
        assert np.array_equal(found[name], titled(PROMPTS.picture(x), title))
    assert np.array_equal(found["strip_ema"], titled(strip.picture(PROMPTS.labels(range(6))), f"{title}\n{STRIP}"))


def test_raw_and_averages_are_drawn_and_the_slowest_average_has_a_strip():
    assert list(pictures()) == ["raw", "ema_0.5", "ema_0.9", "strip_ema_0.9"]


def test_drawing_them_says_how_long_it_takes(slow, capsys):
    pictures()
    assert capsys.readouterr().err == "Drawing the preview of step 1: about 7 s left, 22% done\n"


def test_the_weights_over_t_are_drawn_when_they_differ():
    assert "schedule_sampler" not in pictures(Uniform()) and "schedule_sampler" not in pictures(by_loss())
    plot = pictures(warm())["schedule_sampler"]
    assert plot.shape[2] == 3 and plot.min() < 100


def test_every_run_ends_with_a_picture_but_one_that_wants_none():
    assert [Preview(every=4).due(step, last=step == 3) for step in range(4)] == [False, False, False, True]
    assert Preview(every=4).due(4, last=False) and Preview(every=4).due(9, last=True)
    assert not Preview(every=4).due(0, last=True) and not Preview(every=0).due(3, last=True)


def test_a_caption_says_step_weights_and_sampler():
    assert caption(20, "ema_0.9", Ancestral(steps=50)) == "step 20, ema_0.9, Ancestral, 50 steps"
    assert caption(20, "strip_raw", DDIM()).startswith("step 20, raw, DDIM, all steps; x_t from noise to image")
    assert caption(20, "schedule_sampler", DDIM()) == "step 20, how often each t is drawn"
