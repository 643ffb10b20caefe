"""Plots on a machine that has made none."""

import os
import subprocess
import sys

PLOT = """
import logging
import sys
from pathlib import Path

logging.basicConfig(level=logging.INFO)
from diffusion.pictures.plots import plot_distances, plot_weights

plot_distances(Path(sys.argv[1]), {"a": [1.0, 2.0]}, xlabel="a")

plot_weights([0.25] * 4)
"""


def test_a_first_plot_says_nothing_of_fonts(tmp_path):
    words = [sys.executable, "-c", PLOT, str(tmp_path / "plot.png")]
    place = {**os.environ, "MPLCONFIGDIR": str(tmp_path), "XDG_CACHE_HOME": str(tmp_path)}
    done = subprocess.run(words, capture_output=True, text=True, timeout=120, env=place)
    assert (done.returncode, done.stderr) == (0, "")
