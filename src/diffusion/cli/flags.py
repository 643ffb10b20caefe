"""What docs/flags.md says of the flags of the original's commands: what to type here instead."""

import re
from pathlib import Path

NUMBER = r"[+-]?[\d.]+(?:e[+-]?\d+)?"
SECTIONS = {"Sampling": "sample", "Likelihood": "evaluate"}  # the others are of train.py


def told_instead(flag: str, value: str, script: str) -> str | None:
    """What to type instead of `flag`, or of one that it begins; None of a flag that the page does not know."""
    told, command = told_by_command(Path(script).resolve().parent / "docs" / "flags.md"), Path(script).stem
    for name in [command, *(other for other in told if other != command)]:
        known = told.get(name, {})
        if here := known.get(flag) or next((known[one] for one in known if one.startswith(f"{flag}_")), None):
            setting = re.match(rf"([\w.]+=){NUMBER}(?![\w.])", here)
            here = f"{setting[1]}{value}" if setting and re.fullmatch(NUMBER, value) else here
            return here if name in (command, "train") else f"python {name}.py {here}"
    return None


def told_by_command(page: Path) -> dict[str, dict[str, str]]:
    """The right column of the page's tables, by command and flag; {} without the page."""
    told: dict[str, dict[str, str]] = {}
    command = "train"
    for line in page.read_text(encoding="utf-8").splitlines() if page.is_file() else ():
        if line.startswith("## "):
            command = next((name for title, name in SECTIONS.items() if title in line), "train")
        if row := re.fullmatch(r"\| (`--\w.*?) \| (.+) \|", line):
            for flag in re.findall(r"`--(\w+)", row[1]):
                told.setdefault(command, {}).setdefault(flag, row[2].replace("`", ""))
    return told
