import pytest
import torch
from toy_drawing import correlated, drawing

from diffusion import DDIM, ImageToImage, Inpaint, Interpolate, Replacement, Vary
from diffusion.tasks.draw import Draw

SHAPE = (1, 2, 2)
FOUR = correlated(torch.eye(4, dtype=torch.float64))
GIVEN, MASK = torch.zeros(2, *SHAPE), torch.ones(2, 2)
TASKS = [
    Draw(), ImageToImage(images=GIVEN, strength=0.4), Vary(images=GIVEN, strength=0.4), Interpolate(),
    Inpaint(images=GIVEN, mask=MASK, jump_length=2, jump_n_sample=3), Replacement(images=GIVEN, mask=MASK),
]  # fmt: skip


@pytest.mark.parametrize("task", TASKS, ids=lambda task: type(task).__name__)
def test_a_task_has_as_many_steps_as_it_says(task):
    sampler = DDIM(steps=10, eta=0.5 if isinstance(task, Vary) else 0.0)
    asked = drawing(sampler, range(2), SHAPE, FOUR)
    assert task.num_steps(sampler, asked.process) == len(list(task.steps(asked)))
