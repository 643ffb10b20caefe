"""benchmarks/mutations.py makes changes that are changes, of all of the mathematics, the same ones each time."""

import ast
import importlib.util
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
FOUND = importlib.util.spec_from_file_location("mutations", ROOT / "benchmarks" / "mutations.py")
mutations = importlib.util.module_from_spec(FOUND)
FOUND.loader.exec_module(mutations)


def changed(one) -> str:
    text = (ROOT / "src/diffusion" / one.file).read_bytes()
    return (text[: one.start] + f"({one.after})".encode() + text[one.end :]).decode()


@pytest.mark.parametrize("file", ["samplers/heun.py", "process/level.py", "denoiser/predictions.py"])
def test_each_change_is_another_program_and_there_are_many(file):
    made = mutations.mutations(file)
    own = ast.unparse(ast.parse((ROOT / "src/diffusion" / file).read_text(encoding="utf-8")))
    others = {ast.unparse(ast.parse(changed(one))) for one in made}
    assert own not in others and len(others) == len(made) > 80
    assert made == mutations.mutations(file)


def test_signs_terms_arguments_constants_and_comparisons_are_changed():
    afters = {(one.before, one.after) for one in mutations.mutations("samplers/heun.py")}
    assert ("here.log_snr - 2 * rise", "here.log_snr + 2 * rise") in afters
    assert ("here.log_snr - 2 * rise", "here.log_snr") in afters
    assert ("Move(noisier, here)", "Move(here, noisier)") in afters
    assert ("up.upper.sqrt()", "up.upper") in afters
    assert ("self.order == 2", "self.order != 2") in afters
    assert not [one for one in mutations.mutations("samplers/heun.py") if "must be 0 or more" in one.before]


def test_every_file_of_the_mathematics_has_its_tests():
    assert {"process/level.py", "denoiser/guidance.py", "losses/weightings.py", "samplers/unipc.py"} <= set(
        mutations.TESTS
    )
    for test in {test.partition("::")[0] for tests in mutations.TESTS.values() for test in tests}:
        assert (ROOT / test).exists(), test
