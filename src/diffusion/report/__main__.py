"""Make one HTML page about the runs in some folders: python -m diffusion.report runs/ [runs/... ...]"""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from diffusion.report.page import write_page
from diffusion.report.runs import find_runs, single_line


def main(arguments: Sequence[str] | None = None) -> int:
    """0, or 1 after one line that says what is wrong."""
    parser = argparse.ArgumentParser(prog="python -m diffusion.report", description=__doc__)
    parser.add_argument("folders", nargs="+", type=Path, help="run folders, or folders of them at any depth")
    parser.add_argument("--out", type=Path, default=Path("report.html"), help="the page (default: %(default)s)")
    options = parser.parse_args(arguments)
    try:
        runs, skipped = find_runs(options.folders)
        if skipped:
            names = single_line(", ".join(map(str, skipped)))
            print(f"Skipped, as these hold no run that can be read: {names}", file=sys.stderr)
        if not runs:
            raise ValueError("no run among them; give folders that train.py wrote, such as runs/default")
        tables = write_page(runs, options.out)
    except ValueError as error:
        print(f"report: {error}", file=sys.stderr)
        return 1
    except OSError as error:
        print(f"report: {options.out} cannot be written: {error.strerror}; give another --out", file=sys.stderr)
        return 1
    print(f"{tables}\n\nReport: {options.out}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
