"""Which image stands where in the endless stream."""

import torch

from diffusion.data import stream

LENGTH, SEED = 10, 3


def test_every_epoch_shows_each_image_once_in_an_order_of_its_own():
    epochs = [stream.indices(range(e * LENGTH, (e + 1) * LENGTH), length=LENGTH, seed=SEED) for e in range(3)]
    assert all(torch.equal(epoch.sort().values, torch.arange(LENGTH)) for epoch in epochs)
    assert len({tuple(epoch.tolist()) for epoch in epochs}) == 3


def test_coins_are_tossed_anew_in_every_epoch():
    first, second = stream.mirrored(range(200), length=100, seed=SEED).split(100)
    assert not torch.equal(first, second)


def test_any_piece_agrees_with_the_whole():
    for read in (stream.indices, stream.mirrored):
        whole = read(range(0, 4 * LENGTH), length=LENGTH, seed=SEED)
        for start, stop in [(0, 1), (7, 13), (9, 10), (10, 20), (5, 35)]:
            assert torch.equal(read(range(start, stop), length=LENGTH, seed=SEED), whole[start:stop])


def test_the_seed_changes_order_and_coins():
    for read in (stream.indices, stream.mirrored):
        first, second = (read(range(100), length=100, seed=seed) for seed in (0, 1))
        assert not torch.equal(first, second)


def test_coins_are_fair_and_do_not_follow_the_order():
    positions = range(10_000)
    coins = stream.mirrored(positions, length=10_000, seed=SEED).float()
    places = stream.indices(positions, length=10_000, seed=SEED).float()
    # Both have a standard deviation of 0.01 or less: five of them.
    assert abs(coins.mean() - 0.5) < 0.025
    assert abs(torch.corrcoef(torch.stack([coins, places]))[0, 1]) < 0.05
