"""docs/tour.ipynb: its cells run in order, with few steps; its pictures lie inside."""

import json
import sys
from pathlib import Path
from types import ModuleType

import matplotlib.pyplot as plt

NOTEBOOK = Path(__file__).parents[1] / "docs" / "tour.ipynb"
CODE = [cell for cell in json.loads(NOTEBOOK.read_text(encoding="utf-8"))["cells"] if cell["cell_type"] == "code"]
FEWER = {
    "STEPS = 1500": "STEPS = 2",
    "base_channels=32": "base_channels=8",
    "1000": "12",
    "steps=100": "steps=3",
    "steps=50": "steps=6",
    "mask=left": "mask=left, jump_length=1",
    "steps=10": "steps=3",
}


def test_the_cells_of_the_tour_run_in_order(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(plt, "show", plt.close)
    session = ModuleType("tour")
    monkeypatch.setitem(sys.modules, session.__name__, session)
    for cell in CODE:
        source = "".join(cell["source"])
        for many, few in FEWER.items():
            source = source.replace(many, few)
        exec(compile(source, "docs/tour.ipynb", "exec"), vars(session))
    assert session.drawn.shape == (30, 1, 16, 16) and session.bits.isfinite().all()


def test_every_cell_that_shows_a_picture_holds_it():
    for cell in CODE:
        source, outputs = "".join(cell["source"]), cell["outputs"]
        assert not any(output["output_type"] == "error" for output in outputs)
        if "\nshow(" in f"\n{source}" or "plt.show" in source:
            assert any("image/png" in output.get("data", {}) for output in outputs), source
