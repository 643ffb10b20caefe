"""The table and the plot of a finished ablation: python benchmarks/ablation.py runs/ --out ablation.png

Reads the runs of `python train.py experiment=digits_ablation`: schedule by objective, their bits/dim with its standard
error over the images, and how far their samples are from real images.
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

import matplotlib
import yaml

from diffusion.cli.command import report_errors
from diffusion.runs.metrics import MetricsFile

matplotlib.use("agg")

from matplotlib import pyplot as plt

OBJECTIVES = {"Simple": "simple", "Hybrid": "hybrid", "VLB": "VLB"}
COLOURS = {"Linear": "#0072b2", "Cosine": "#d55e00"}
MEASURES = {"bits_per_dim": "bits/dim of test images", "frechet_distance": "Fréchet distance, recogniser features"}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("runs", type=Path)
    parser.add_argument("--out", type=Path, default=Path("ablation.png"))
    chosen = parser.parse_args()
    found = [measured(path.parent) for path in sorted(chosen.runs.glob("*digits_ablation*/metrics.jsonl"))]
    if not found:
        raise ValueError(f"{chosen.runs} holds no run of experiment=digits_ablation; give the folder that does")
    print(f"{'schedule':9} {'objective':10} {'bits/dim':>15} {'Fréchet':>8} {'precision':>9} {'recall':>6}")
    for run in sorted(found, key=lambda run: (run["schedule"], list(OBJECTIVES).index(run["objective"]))):
        bits = f"{run['bits_per_dim']:.3f} ± {run['bits_per_dim_standard_error']:.3f}"
        print(
            f"{run['schedule']:9} {OBJECTIVES[run['objective']]:10} {bits:>15} {run['frechet_distance']:8.3f} "
            f"{run['precision']:9.2f} {run['recall']:6.2f}"
        )
    plot(found, chosen.out)


def measured(folder: Path) -> dict[str, Any]:
    """What a run was, and its last value of everything that was measured, by the metric's name before its features."""
    config = yaml.safe_load((folder / "config.yaml").read_text())["diffusion"]
    values = {name: value for line in MetricsFile.read(folder / "metrics.jsonl") for name, value in line.items()}
    kinds = {part: config[part]["_target_"].rpartition(".")[2] for part in ("schedule", "loss")}
    return {
        **{name.partition("_recogniser")[0]: value for name, value in values.items()},
        "schedule": kinds["schedule"],
        "objective": kinds["loss"],
    }


def plot(found: list[dict[str, Any]], path: Path) -> None:
    """Both measures of every run, less being better in both."""
    figure, axes = plt.subplots(1, 2, figsize=(8, 3), layout="constrained")
    for axis, (name, label) in zip(axes, MEASURES.items(), strict=True):
        for schedule, colour in COLOURS.items():
            of_it = [
                run for kind in OBJECTIVES for run in found if (run["schedule"], run["objective"]) == (schedule, kind)
            ]
            places = [
                list(OBJECTIVES).index(run["objective"]) + (0.08 if schedule == "Cosine" else -0.08) for run in of_it
            ]
            error = [run.get(f"{name}_standard_error", 0) for run in of_it]
            heights = [run[name] for run in of_it]
            axis.errorbar(places, heights, error, fmt="o", color=colour, capsize=3, label=schedule.lower())
        axis.set_xticks(range(len(OBJECTIVES)), OBJECTIVES.values())
        axis.set_xlim(-0.5, len(OBJECTIVES) - 0.5)
        axis.set_title(label, fontsize=10)
        axis.grid(axis="y", alpha=0.3)
        axis.spines[["top", "right"]].set_visible(False)
    axes[0].legend(frameon=False)
    figure.savefig(path, dpi=130)


if __name__ == "__main__":
    with report_errors("ablation"):
        main()
