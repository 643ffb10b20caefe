"""The golden numbers are all used: what a test stops reading would otherwise go unnoticed."""

from __future__ import annotations

from pathlib import Path

import pytest
from golden import load_golden

HERE = Path(__file__).parent


class Collected:
    """The ids of all collected tests."""

    def pytest_collection_modifyitems(self, items):
        self.ids = {item.callspec.id for item in items if hasattr(item, "callspec")}


def test_every_golden_case_is_run_by_some_test():
    readers = [str(path) for path in HERE.rglob("test_*.py") if "golden" in path.read_text() and path != Path(__file__)]
    collected = Collected()
    assert pytest.main(["--collect-only", "-p", "no:cacheprovider", *readers], plugins=[collected]) == 0
    cases = {case["id"] for case, _, _ in load_golden.cases()}
    assert len(cases) == 185
    assert cases - collected.ids == set()
