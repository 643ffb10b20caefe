"""The name of a run, made of its overrides: the same command finds the same folder again."""

import hashlib
import re
import shlex
from collections.abc import Collection, Iterable
from pathlib import Path

from diffusion.runs.resuming import same_experiment

MOST_LETTERS = 100


def run_name(overrides: Iterable[str], also: Collection[str] = ()) -> str:
    """A folder name made of the overrides that make the experiment; "default" when there are none.

    model.heads=2 and data.root=/a/b become data.root-a-b-9f02cbd2+model.heads-2, which Hydra takes unquoted.
    """
    chosen = sorted(o.lstrip("+~") for o in overrides if not same_experiment(o.lstrip("+~").split("=")[0], also))
    return shorten("+".join(slugify(o) for o in chosen)) or "default"


def slugify(override: str) -> str:
    """key=value in ASCII letters, digits, dots, underscores and hyphens, with a hash where the value was another text.

    Words, numbers and lists of numbers can be read back without one: [8,4] becomes 8-4.
    """
    key, _, value = override.partition("=")
    text = re.sub(r"[^\w.]+", "-", f"{key}-{value}", flags=re.ASCII).strip("-")
    readable = re.fullmatch(r"\w[\w.]*(-[\w.]+)*|\[?[\d.]+(,[\d.]+)*]?|", value, re.ASCII)
    return text if readable else f"{text}-{short_hash(override)}"


def shorten(name: str) -> str:
    """`name`, or its beginning and a hash of the whole when it is long."""
    return name if len(name) <= MOST_LETTERS else f"{name[: MOST_LETTERS - 9]}-{short_hash(name)}"


def short_hash(text: str) -> str:
    return hashlib.blake2b(text.encode(), digest_size=4).hexdigest()


def check_name(name: str) -> str:
    """`name` where it is that of a folder below the runs folder; ValueError otherwise."""
    parts = name.split("/")
    if name.startswith("/") or ".." in parts or not set(parts) - {"", "."} or not name.isprintable():
        raise ValueError(
            f"name={name} is no folder below the runs folder; set name=my_run, or runs=... to keep runs elsewhere"
        )
    return name


def check_runs(folder: str) -> str:
    """`folder` where it can hold runs; ValueError if it says nothing."""
    if not folder.strip() or not folder.isprintable():
        raise ValueError(f"runs={folder} names no folder; set runs=runs, or another folder to keep runs in")
    return folder


def sweep_name(command: Iterable[str], also: Collection[str] = ()) -> str:
    """The name that the runs of one sweep share, made of what makes the experiments, as for `run_name`."""
    words = [word.lstrip("+~") for word in command if "=" in word and not word.startswith("-")]
    chosen = [slugify(word) for word in words if not same_experiment(word.split("=")[0], also)]
    return shorten("+".join(["sweep", *chosen]))


def run_folder_of(checkpoint: Path) -> Path:
    """The run folder of a checkpoint: itself, the one around its file, or the file's own folder if it is in no run."""
    if checkpoint.is_dir():
        return checkpoint
    return checkpoint.parent.parent if checkpoint.parent.name == "checkpoints" else checkpoint.parent


def shell_override(key: str, value: object) -> str:
    """key=value as a shell and Hydra take it, quoted for both where it must be."""
    text = str(value)
    if re.fullmatch(r"[\w./+@%-]+", text, re.ASCII):
        return f"{key}={text}"
    escaped = text.replace("\\", "\\\\").replace("'", "\\'")
    return shlex.quote(f"{key}='{escaped}'")
