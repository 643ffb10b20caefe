"""Every reference number of the modern methods is used, or left out by name and with a reason."""

import ast
from pathlib import Path

import pytest
from golden import load_golden

HERE = Path(__file__).parent
READERS = [path for path in sorted(HERE.rglob("test_*.py")) if "modern(" in path.read_text() and path != Path(__file__)]


class Collected:
    """The ids of all collected tests."""

    def pytest_collection_modifyitems(self, items):
        self.ids = {item.callspec.id for item in items if hasattr(item, "callspec")}


def left_out(path: Path) -> set[str]:
    """The cases that a file names in LEFT_OUT, a dictionary from the reason to the cases."""
    for node in ast.parse(path.read_text()).body:
        if isinstance(node, ast.Assign) and getattr(node.targets[0], "id", "").endswith("LEFT_OUT"):
            value = ast.literal_eval(node.value)
            return {case for cases in value.values() for case in cases} if isinstance(value, dict) else set(value)
    return set()


def test_every_case_is_run_by_some_test_or_left_out_with_a_reason():
    collected = Collected()
    options = ["--collect-only", "-q", "-n0", "-p", "no:cacheprovider"]
    assert pytest.main([*options, *map(str, READERS)], plugins=[collected]) == 0
    cases = {case["id"] for case, _, _ in load_golden.cases(folder=HERE / "golden_modern")}
    assert len(cases) == 168
    named = set().union(*map(left_out, READERS))
    assert cases - collected.ids - named == set()
    assert named & collected.ids == set() and named <= cases
