import torch
from diffusion.samplers.draw import draw
from tiny_training import by_loss, tiny_diffusion, tiny_images, tiny_network

from diffusion import DDIM, Ancestral, Uniform
from diffusion.compute.randomness import generator, normal
from diffusion.training.preview import Preview, caption
from diffusion.training.strip import IMAGES, Strip, moments

SHAPE = (1, 8, 8)


def drawn(sampler) -> torch.Tensor:
    network, told = tiny_network().eval(), {"y": torch.arange(6) % 2}
    return draw(sampler, tiny_diffusion(), network, range(6), shape=SHAPE, seed=0, condition=told)


def pictures(schedule_sampler=None) -> dict:
    network = tiny_network()
    weights = {name: network.state_dict() for name in ("raw", "ema_0.5", "ema_0.9")}
    found = Preview(every=1, images=6).pictures(
        network, weights, tiny_diffusion(), Ancestral(steps=3), tiny_images(), schedule_sampler
    )
    return {name: picture for name, picture in found}


def warm():
    sampler = by_loss()
    for _ in range(2):
        sampler.update(torch.arange(4), torch.tensor([8.0, 4.0, 2.0, 1.0]))
    return sampler


def test_a_strip_changes_nothing_about_what_is_drawn():
    for sampler in (Ancestral(steps=3), DDIM()):
        strip = Strip(sampler)
        assert torch.equal(drawn(strip), drawn(sampler))


def test_a_strip_goes_from_the_noise_to_the_image():
    strip = Strip(Ancestral())
    x = drawn(strip)
    assert torch.equal(strip.x_t[-1], x[:IMAGES]) and torch.equal(strip.x_0[-1], x[:IMAGES])
    noise = torch.stack([normal([generator(0, "sample", number)], SHAPE)[0] for number in range(IMAGES)])
    assert torch.equal(strip.x_t[0], noise)
    assert len(strip.x_t) == len(moments(4)) == 5


def test_moments_are_evenly_spaced_and_begin_and_end_with_the_walk():
    assert moments(1) == [0, 1] and moments(4) == [0, 1, 2, 3, 4]
    assert moments(90) == list(range(0, 91, 10))
    assert moments(1000)[0] == 0 and moments(1000)[-1] == 1000 and len(moments(1000)) == 10


def test_raw_and_averages_are_drawn_and_the_slowest_average_has_a_strip():
    assert list(pictures()) == ["raw", "ema_0.5", "ema_0.9", "strip_ema_0.9"]


def test_the_weights_over_t_are_drawn_when_they_differ():
    assert "schedule_sampler" not in pictures(Uniform(steps=4)) and "schedule_sampler" not in pictures(by_loss())
    plot = pictures(warm())["schedule_sampler"]
    assert plot.shape[2] == 3 and plot.min() < 100


def test_a_caption_says_step_weights_and_sampler():
    assert caption(20, "ema_0.9", Ancestral(steps=50)) == "step 20, ema_0.9, Ancestral, 50 steps"
    assert caption(20, "strip_raw", DDIM()).startswith("step 20, raw, DDIM, all steps; x_t from noise to image")
    assert caption(20, "schedule_sampler", DDIM()) == "step 20, how often each t is drawn"
