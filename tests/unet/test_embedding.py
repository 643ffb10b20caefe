import math

import pytest
import torch

from unet import timestep_embedding
from unet.embedding import ConditionEmbedding


def test_time_embedding_is_its_formula():
    time, half = 12.5, 3
    w = [10_000 ** (-j / half) for j in range(half)]
    expected = [math.cos(time * v) for v in w] + [math.sin(time * v) for v in w] + [0.0]
    torch.testing.assert_close(timestep_embedding(torch.tensor([time]), 7), torch.tensor([expected]))


def test_whole_times_are_the_same_as_int_or_float():
    time = torch.tensor([0, 1, 999])
    assert torch.equal(timestep_embedding(time, 16), timestep_embedding(time.double(), 16))


def test_label_is_added_before_the_activation():
    embedding = ConditionEmbedding(8, num_classes=2)
    time = torch.tensor([5])
    with torch.no_grad():
        embedding.label.weight[0] = 0
        unlabelled = embedding.time(timestep_embedding(time, 8))
    torch.testing.assert_close(embedding(time, torch.tensor([0])), torch.nn.functional.silu(unlabelled))
    expected = torch.nn.functional.silu(unlabelled + embedding.label.weight[1])
    torch.testing.assert_close(embedding(time, torch.tensor([1])), expected)


def test_embedding_ignores_autocast():
    embedding = ConditionEmbedding(8, num_classes=None)
    time = torch.tensor([999.0])
    with torch.autocast("cpu", torch.bfloat16):
        low = embedding(time)
    assert torch.equal(low, embedding(time))


@pytest.mark.parametrize(
    "num_classes, y, message",
    [
        (3, None, "3 classes .* set model.num_classes=null"),
        (None, [0, 1], "unconditional .* set model.num_classes"),
        (3, [0, 3], r"0\.\.3, the network knows 0\.\.2"),
        (3, [0, -1], r"-1\.\.0, the network knows 0\.\.2"),
    ],
)
def test_wrong_labels_are_named(num_classes, y, message):
    embedding = ConditionEmbedding(8, num_classes)
    with pytest.raises(ValueError, match=message):
        embedding(torch.tensor([0, 1]), y if y is None else torch.tensor(y))
