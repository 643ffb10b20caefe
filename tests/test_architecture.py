"""Who may import whom (DESIGN: "Who may import whom"), read off the files."""

from __future__ import annotations

import ast
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
FILES = {str(path.relative_to(ROOT / "src")): path for path in sorted((ROOT / "src").rglob("*.py"))}
SCRIPTS = {path.name: path for path in sorted(ROOT.glob("*.py"))}


def imports(path: Path) -> set[str]:
    """The full names of modules and what is taken from them: "torch.nn", "diffusion.process.ForwardProcess"."""
    names = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            module = node.module or ""
            if node.level:
                package = path.relative_to(ROOT / "src").parts[: -node.level]
                module = ".".join([*package, *([node.module] if node.module else [])])
            names |= {f"{module}.{alias.name}" for alias in node.names} | {module}
    return names


def importers(package: str) -> set[str]:
    return {file for file, path in (FILES | SCRIPTS).items() if any(is_of(name, package) for name in imports(path))}


def is_of(name: str, package: str) -> bool:
    return name == package or name.startswith(f"{package}.")


def test_these_tests_see_the_files():
    assert {"unet/unet.py", "diffusion/process.py", "diffusion/training/trainer.py"} < FILES.keys()
    assert {"train.py", "sample.py"} <= SCRIPTS.keys()
    assert is_of("torch.distributed", "torch") and not is_of("torchvision", "torch")


def test_the_network_knows_nothing_of_diffusion():
    allowed = {"torch", "einops", "safetensors", "unet"} | sys.stdlib_module_names
    for file, path in FILES.items():
        if file.startswith("unet/"):
            assert {name.split(".")[0] for name in imports(path)} <= allowed, file


@pytest.mark.parametrize(
    "package, places",
    [
        ("hydra", {"config.py", "build.py", "command.py", "mistakes.py", "restore.py", "sweep.py", "worker.py"}),
        ("omegaconf", {"config.py", "build.py", "command.py", "mistakes.py", "restore.py", "sweep.py"}),
        ("unet", {"config.py", "restore.py"}),
        ("wandb", {"tracking/logger.py", "tracking/wandb_run.py"}),
        ("torch.distributed", {"distributed.py", "training/parallel.py"}),
    ],
)
def test_only_these_may_import(package, places):
    assert {file for file in importers(package) if file in FILES and not file.startswith("unet/")} <= {
        f"diffusion/{place}" for place in places
    }


def test_torchvision_is_where_images_are_read():
    assert all(file.startswith("diffusion/data/") for file in importers("torchvision"))


# Each layer may import itself and those before it; of modules that are in no layer (randomness), anyone may.
LAYERS = [
    {"schedules", "files", "figures", "number_formats", "transfer"},
    {"process"},
    {"predictions", "variances"},
    {"gaussian"},
    {"bound"},
    {"losses", "samplers", "schedule_samplers", "data"},
    {
        "distributed",
        "speed",
        "compiled",
        "inference",
        "trained",
        "labels",
        "tracking",
        "training",
        "evaluation",
        "drawing",
        "run_folder",
        "outcome",
        "splits",
        "low_res",
        "agreement",
        "report",
    },
    {"targets", "build", "config", "command", "mistakes", "restore", "sweep", "worker"},
]
LEVEL = {name: level for level, names in enumerate(LAYERS) for name in names}


def test_every_module_has_its_layer():
    modules = {file.split("/")[1].removesuffix(".py") for file in FILES if file.startswith("diffusion/")}
    assert modules - {"__init__", "randomness"} == LEVEL.keys()


def test_a_layer_imports_only_itself_and_those_before_it():
    for file, path in FILES.items():
        own = file.split("/")[1].removesuffix(".py") if file.startswith("diffusion/") else None
        if own not in LEVEL:
            continue
        for name in imports(path):
            other = name.split(".")[1] if name.startswith("diffusion.") else "randomness"
            # config may take classes from the package, which gathers them; an inner module would import its own users.
            known = other in LEVEL or other == "randomness" or own == "config"
            assert known and LEVEL.get(other, 0) <= LEVEL[own], f"{file} imports {name}"


def calls(path: Path, name: str) -> bool:
    """Whether a function called `name`, however it is reached, is called."""
    return any(
        isinstance(node, ast.Call) and getattr(node.func, "attr", getattr(node.func, "id", None)) == name
        for node in ast.walk(ast.parse(path.read_text()))
    )


def test_hydra_builds_objects_in_one_place():
    reaching = importers("hydra.utils")
    for file, path in (FILES | SCRIPTS).items():
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Attribute) and ast.unparse(node).endswith("hydra.utils.instantiate"):
                reaching.add(file)
    assert reaching == {"diffusion/build.py"}
    assert calls(FILES["diffusion/build.py"], "instantiate")


def test_nothing_but_a_checkpoint_is_unpickled_and_that_without_code():
    for file, path in (FILES | SCRIPTS).items():
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Call) and ast.unparse(node.func) == "torch.load":
                assert "weights_only=True" in ast.unparse(node), file
            if isinstance(node, ast.Call) and ast.unparse(node.func) in ("np.load", "numpy.load"):
                assert "allow_pickle" not in ast.unparse(node), file
            assert not (isinstance(node, ast.Call) and ast.unparse(node.func) in ("eval", "exec", "pickle.load")), file


def test_no_file_outgrows_a_sitting():
    lines = {file: len(path.read_text().splitlines()) for file, path in (FILES | SCRIPTS).items()}
    assert {file: count for file, count in lines.items() if count > 250} == {}
