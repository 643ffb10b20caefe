"""docs/python.md: its blocks run in order, as one session would."""

import re
import sys
from pathlib import Path
from types import ModuleType

PAGE = Path(__file__).parents[1] / "docs" / "python.md"


def test_the_blocks_of_the_page_run_in_order(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    blocks = re.findall(r"^```python\n(.*?)^```", PAGE.read_text(encoding="utf-8"), re.M | re.S)
    session = ModuleType("notebook")  # where the page's classes lie, as those of a notebook lie in __main__
    monkeypatch.setitem(sys.modules, session.__name__, session)
    assert blocks
    for block in blocks:
        exec(compile(block, "docs/python.md", "exec"), vars(session))
    assert (tmp_path / "digits.png").is_file()
