"""Randomness that a key alone determines."""

import torch

from diffusion.compute.randomness import generator, normal, seed_of, uniform


def test_every_part_of_a_key_matters_and_so_does_its_kind():
    keys = [(0,), (1,), (0, 0), (0, "noise"), ("noise", 0), (0, "noise", 1), ("0",), (-1,), (2**40,)]
    seeds = [seed_of(*key) for key in keys]
    assert len(set(seeds)) == len(keys)
    assert all(0 <= seed < 2**63 for seed in seeds)


def test_a_seed_stays_what_it_was():
    # Written down, since old runs must resume and old samples be drawn again.
    assert seed_of(0, "sample", 3) == 4826775862454517698


def test_what_one_generator_gives_does_not_depend_on_its_neighbours():
    def noise(numbers):
        return normal([generator(0, "noise", n) for n in numbers], (2, 3))

    assert torch.equal(noise([0, 1, 2]), torch.cat([noise([0]), noise([1]), noise([2])]))
    assert torch.equal(noise([2, 0])[1], noise([0])[0])


def test_nothing_is_drawn_from_the_global_generator():
    before = torch.get_rng_state()
    uniform([generator(0, n) for n in range(3)])
    normal([generator(0, n) for n in range(3)], (4,))
    assert torch.equal(torch.get_rng_state(), before)


def test_numbers_of_neighbouring_keys_are_spread_as_they_should_be():
    u = uniform([generator(0, "train", n) for n in range(4000)])
    z = normal([generator(0, "train", n) for n in range(4000)], ())
    assert ((u >= 0) & (u < 1)).all()
    # five standard errors of a mean over 4000
    assert abs(u.mean() - 0.5) < 5 / (12 * 4000) ** 0.5
    assert abs(z.mean()) < 5 / 4000**0.5 and abs(z.var() - 1) < 5 * (2 / 4000) ** 0.5
