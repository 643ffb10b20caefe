"""Work shared among processes: every item once, and in order."""

import os
import subprocess
import sys

import pytest

from diffusion.compute import distributed


@pytest.mark.parametrize("items, world", [(7, 1), (7, 2), (8, 3), (3, 3)])
def test_the_shares_in_order_of_rank_are_the_whole(monkeypatch, items, world):
    monkeypatch.setenv("WORLD_SIZE", str(world))
    together = []
    for rank in range(world):
        monkeypatch.setenv("RANK", str(rank))
        share = distributed.shard(range(items))
        assert len(share) > 0
        together += share
    assert together == list(range(items))


def test_the_leader_has_a_share_of_whatever_there_is(monkeypatch):
    monkeypatch.setenv("WORLD_SIZE", "3")
    monkeypatch.setenv("RANK", "0")
    assert list(distributed.shard(range(1))) == [0]


def test_one_process_needs_no_group():
    assert distributed.all_gather("all") == ["all"]
    assert distributed.is_leader()


ENDS = [("pass", 0, ""), ("sys.exit(143)", 143, ""), ("sys.exit('no')", 1, "no\n")]


@pytest.mark.parametrize(("end", "code", "said"), ENDS)
def test_one_of_several_ends_with_what_it_comes_to_and_all_that_was_promised(end, code, said):
    program = f"""if True:
        import atexit, sys
        from diffusion.compute import distributed
        atexit.register(print, "tidied")
        with distributed.exit_without_teardown():
            print("worked")
            {end}
        print("never here")
    """
    environment = {**os.environ, "WORLD_SIZE": "2"}
    done = subprocess.run([sys.executable, "-c", program], env=environment, capture_output=True, text=True)
    assert (done.returncode, done.stdout, done.stderr) == (code, "worked\ntidied\n", said)
