"""Damaged and hostile checkpoints run no code, load nothing wrong, and are refused in one line: one of each kind.

benchmarks/damaged_checkpoints.py tries hundreds.
"""

import importlib.util
from pathlib import Path

FILE = Path(__file__).parents[1] / "benchmarks" / "damaged_checkpoints.py"


def test_no_damaged_checkpoint_runs_code_or_loads_wrongly(tmp_path):
    found = importlib.util.spec_from_file_location("damaged_checkpoints", FILE)
    damaged_checkpoints = importlib.util.module_from_spec(found)
    found.loader.exec_module(damaged_checkpoints)
    one_of_each = dict(damaged_checkpoints.kinds(200))
    bench = damaged_checkpoints.Bench(tmp_path)
    broken, rows = damaged_checkpoints.tried(bench, one_of_each.items())
    assert broken == 0 and len(rows) == len(one_of_each) > 20
    sound = bench.spoil(lambda path, _: None)
    assert bench.opened(sound) == bench.resumed(sound) == "the same"
