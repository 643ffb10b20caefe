"""Make one HTML page about the runs in some folders: python -m diffusion.report runs/ [runs/... ...]"""

import argparse
import os
import sys
from collections.abc import Sequence
from pathlib import Path

from diffusion.report.page import write_page
from diffusion.report.runs import find_runs
from diffusion.runs.printable import single_line


def main(arguments: Sequence[str] | None = None) -> int:
    """0, or 1 after one line that says what is wrong."""
    parser = argparse.ArgumentParser(prog="python -m diffusion.report", description=__doc__)
    parser.add_argument("folders", nargs="+", type=Path, help="run folders, or folders of them at any depth")
    parser.add_argument("--out", type=Path, help="the page (default: report.html in the folder that holds all of them)")
    options = parser.parse_args(arguments)
    try:
        runs, skipped = find_runs(options.folders)
        out = options.out or default_page(options.folders, runs)
        if skipped:
            names = single_line(", ".join(map(str, skipped)))
            print(f"Skipped, as these hold no run that can be read: {names}", file=sys.stderr)
        if not runs:
            raise ValueError("no run among them; give folders that train.py wrote, such as runs/default")
        tables = write_page(runs, out)
    except ValueError as error:
        print(f"report: {error}", file=sys.stderr)
        return 1
    except OSError as error:
        print(
            f"report: {error.filename or 'the page'} cannot be written: {error.strerror}; give another --out",
            file=sys.stderr,
        )
        return 1
    try:
        print(f"{tables}\n\nReport: {out}", flush=True)
    except BrokenPipeError:  # Its reader has read enough, such as `head`; what is left must not be tried again at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    return 0


def default_page(folders: Sequence[Path], runs: Sequence[Path]) -> Path:
    """report.html beside the runs, which git does not see: in the one folder, or in that which holds all of them.

    Where that also holds the working directory, and none of the runs itself, the page goes into the first one.
    """
    common = Path(os.path.commonpath([folder.resolve() for folder in folders]))
    holds_runs = any(run.resolve().parent == common for run in runs)
    if len(folders) == 1 or (Path.cwd().is_relative_to(common) and not holds_runs):
        return folders[0] / "report.html"
    return (common.relative_to(Path.cwd()) if common.is_relative_to(Path.cwd()) else common) / "report.html"


if __name__ == "__main__":
    sys.exit(main())
