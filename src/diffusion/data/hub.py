"""Data sets through the library `datasets`: those of the Hugging Face hub, and the same formats on this disk.

Nothing that comes with a data set is run: the library has run no scripts since its version 4, and what reads a local
path is chosen here.
"""

import os
import re
import sys
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from pathlib import Path
from types import ModuleType
from typing import Any
from unittest.mock import patch

from diffusion.runs.printable import reason

TABLES = {".parquet": "parquet", ".arrow": "arrow"}


def library() -> ModuleType:
    """The library; ValueError if it is not installed."""
    try:
        import datasets
    except ImportError:
        raise ValueError('data=hub needs its package; type: pip install -e ".[hub]"') from None
    import huggingface_hub

    for each in (datasets, huggingface_hub):  # what goes wrong is raised, and said in one line
        each.logging.set_verbosity_error()
    if not sys.stderr.isatty():
        datasets.disable_progress_bars()
    return datasets


def is_local(name: str) -> bool:
    """Whether `name` is written as a file or folder rather than as a name on the hub, whatever lies where one works."""
    return Path(name).suffix in TABLES or not re.fullmatch(r"[\w-][\w.-]*(/[\w-][\w.-]*)?", name)


def is_divided(name: str) -> bool:
    """Whether the set has splits to choose from: a file has none, nor has one table that was saved to a folder."""
    path = Path(name).expanduser()
    return not is_local(name) or not (path.is_file() or (path / "state.json").is_file())


def open_table(name: str, *, subset: str | None, split: str, download: bool) -> Any:
    """The rows of the split, a `datasets.Dataset`; ValueError that says what is there instead."""
    datasets, local = library(), is_local(name)
    if not local:
        require_hub_name(datasets, name)
    try:
        with offline() if local or not download else nullcontext():
            if local:
                return open_local(datasets, Path(name).expanduser().absolute(), subset, split)
            return datasets.load_dataset(name, subset, split=split)
    except Exception as error:  # The library raises its own, and those of all that it reads with.
        fetch = "" if download or local else "; set data.download=true to fetch it"
        raise ValueError(f"cannot read {name}, data.split={split} ({reason(error)}){fetch}") from error


def require_hub_name(datasets: ModuleType, name: str) -> None:
    """Raise ValueError for a name by which the library would read what lies in the working directory."""
    if name in datasets.packaged_modules._PACKAGED_DATASETS_MODULES:
        raise ValueError(
            f"data.name={name} is a format, of which the library reads what lies here; type data.name=./FOLDER"
        )
    if os.path.exists(name):
        raise ValueError(
            f"data.name={name} is a name on the hub, and something lies here by that name; type data.name=./{name} for "
            "it, or start in another folder"
        )


def open_local(datasets: ModuleType, path: Path, subset: str | None, split: str) -> Any:
    """The rows of a file of a table, of what was saved by `save_to_disk`, or of a folder of tables or images."""
    if subset is not None:
        raise ValueError(f"a path has no subsets; leave data.subset={subset} out")
    if path.exists() and not is_divided(str(path)) and split != "train":
        raise ValueError(f"it is not divided; leave data.split={split} out")
    if path.is_file():
        if path.suffix not in TABLES:
            raise ValueError(f"a file must be one of {', '.join(TABLES)}; for arrays of NumPy there is data=npz")
        return datasets.load_dataset(TABLES[path.suffix], data_files=str(path), split="train")
    if not path.is_dir():
        raise ValueError(f"there is no {path}; a name on the hub is as in uoft-cs/cifar10")
    if (path / "state.json").is_file():
        return datasets.load_from_disk(str(path))
    if (path / "dataset_dict.json").is_file():
        splits = datasets.load_from_disk(str(path))
        if split not in splits:
            raise ValueError(f"there are {', '.join(splits)}")
        return splits[split]
    kind = next((kind for suffix, kind in TABLES.items() if next(path.rglob(f"*{suffix}"), None)), "imagefolder")
    return datasets.load_dataset(kind, data_dir=str(path), split=split)


@contextmanager
def offline() -> Iterator[None]:
    """Keep the library from asking the network for anything, as it does of what it has in its cache too."""
    import datasets
    import huggingface_hub

    with (
        patch.object(datasets.config, "HF_HUB_OFFLINE", True),
        patch.object(huggingface_hub.constants, "HF_HUB_OFFLINE", True),
    ):
        yield
