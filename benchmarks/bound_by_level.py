"""Where bits are spent: python benchmarks/bound_by_level.py runs/

Reads what `evaluation=likelihood` left in the run folders, groups runs that differ by their seed only, and prints the
terms of the bound, in bits/dim, summed over bands of the log-SNR: the mean over seeds. The last band holds the
decoder's term, that of t = 0, which stands apart as well.
"""

from __future__ import annotations

import argparse
from itertools import pairwise
from pathlib import Path

import numpy as np
import torch

import diffusion
from diffusion.cli.command import report_errors
from diffusion.report.differences import Group, groups
from diffusion.report.runs import find_runs, read_run

HEADS = ["decoder", "prior", "total"]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("runs", type=Path)
    parser.add_argument("--edges", type=float, nargs="+", default=[-6, -2, 2, 4, 6, 8], help="between the bands")
    chosen = parser.parse_args()
    runs = [read_run(folder) for folder in find_runs([chosen.runs])[0]]
    measured = [run for run in runs if terms_of(run.folder)]
    if not measured:
        raise ValueError(f"{chosen.runs} holds no runs measured by evaluation=likelihood; measure some")
    edges = [-np.inf, *sorted(chosen.edges), np.inf]
    bands = [f"{low:g} to {high:g}" for low, high in pairwise(edges)]
    print(f"| what differs | {' | '.join([*bands, *HEADS])} |")
    print("|---" * (len(bands) + len(HEADS) + 1) + "|")
    for group in groups(measured):
        print(f"| {group.label} | {' | '.join(f'{bits:.3f}' for bits in spent(group, edges))} |")


def terms_of(folder: Path) -> list[Path]:
    """The tables of its measurements, the newest last."""
    return sorted(folder.glob("evaluation/likelihood*/terms.npz"), key=lambda path: path.stat().st_mtime)


def spent(group: Group, edges: list[float]) -> list[float]:
    """The bits/dim of each band, of the decoder, of the prior, and of all, over the images and the seeds."""
    rows = []
    for run in group.runs:
        tables = np.load(terms_of(run.folder)[-1])
        vb, t = tables["vb"].mean(0), tables["t"]
        log_snr = diffusion.load(run.folder).diffusion.process.level(torch.from_numpy(t)).log_snr.numpy()
        bands = [vb[(low <= log_snr) & (log_snr < high)].sum() for low, high in pairwise(edges)]
        rows.append([*bands, vb[t == 0].sum(), tables["prior"].mean(), tables["total"].mean()])
    return np.mean(rows, axis=0).tolist()


if __name__ == "__main__":
    with report_errors("bound_by_level"):
        main()
