"""The walls of the house, read off its files: `python tests/test_structure.py` prints what they measure."""

from __future__ import annotations

import ast
import collections
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
SRC = ROOT / "src"
FILES = {str(path.relative_to(SRC)): path for path in sorted(SRC.rglob("*.py"))}
SCRIPTS = {path.name: path for path in sorted(ROOT.glob("*.py"))}

# Which rooms each room may import from. `package` is diffusion itself, whose names are looked up when asked for.
BASE = {"compute", "runs", "pictures"}
METHOD = {"process", "denoiser", "losses", "samplers", "compute"}
WALLS = {
    "compute": set(),
    "pictures": set(),
    "runs": {"compute"},
    "data": BASE,
    "process": {"compute"},
    "denoiser": {"process", "compute"},
    "losses": {"denoiser", "process", "compute"},
    "samplers": {"denoiser", "process", "compute"},
    "tasks": METHOD | BASE | {"data"},
    "inference": METHOD | BASE | {"data", "tasks"},
    "interchange": METHOD | BASE | {"inference", "unet"},
    "tracking": {"runs", "compute"},
    "report": {"runs", "pictures"},
    "training": METHOD | BASE | {"data", "inference", "tracking"},
    "evaluation": METHOD | BASE | {"data", "inference"},
    "config": METHOD
    | BASE
    | {"data", "tasks", "inference", "training", "evaluation", "tracking", "interchange", "unet"},
    "cli": BASE | {"config", "report", "tracking"},
}
ONLY = {
    "hydra": {"config", "cli"},
    "omegaconf": {"config", "cli"},
    "wandb": {"tracking"},
    "tensorboard": {"tracking"},
    "torch.distributed": {"compute", "training"},
    "torchvision": {"data"},
    "datasets": {"data"},
}


def room(file: str) -> str:
    """The room of a file: diffusion/process/chain.py is in process, unet/unet.py in unet."""
    parts = file.split("/")
    return parts[1] if parts[0] == "diffusion" and len(parts) > 2 else parts[0]


def imports(path: Path) -> set[str]:
    """The full names of modules and of what is taken from them, also under TYPE_CHECKING and inside functions."""
    names = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            module = node.module or ""
            if node.level:
                package = path.relative_to(SRC).parts[: -node.level]
                module = ".".join([*package, *([node.module] if node.module else [])])
            names |= {f"{module}.{alias.name}" for alias in node.names} | {module}
    return names


def is_of(name: str, package: str) -> bool:
    return name == package or name.startswith(f"{package}.")


def rooms_of(name: str) -> set[str]:
    """The room that an imported name lies in, if it lies in this program."""
    parts = name.split(".")
    if parts[0] == "unet":
        return {"unet"}
    return {parts[1]} if parts[0] == "diffusion" and len(parts) > 1 else set()


def module_arrows() -> dict[str, set[str]]:
    """Which modules each module imports, by dotted name."""
    modules = {
        file.removesuffix(".py").removesuffix("/__init__").replace("/", "."): path for file, path in FILES.items()
    }
    found = {}
    for module, path in modules.items():
        found[module] = {known for name in imports(path) for known in modules if name == known and known != module}
    return found


def circles() -> list[list[str]]:
    """The circles of imports between modules (Tarjan's strongly connected components of more than one)."""
    arrows, order, low, stack, found = module_arrows(), {}, {}, [], []

    def visit(node: str) -> None:
        order[node] = low[node] = len(order)
        stack.append(node)
        for other in arrows[node]:
            if other not in order:
                visit(other)
            if other in stack:
                low[node] = min(low[node], low[other])
        if low[node] == order[node]:
            circle = stack[stack.index(node) :]
            del stack[stack.index(node) :]
            found.extend([circle] if len(circle) > 1 else [])

    for node in arrows:
        if node not in order:
            visit(node)
    return found


def arrows_up() -> list[str]:
    """Imports that no wall lets through."""
    return [
        f"{file} imports {name}"
        for file, path in FILES.items()
        if (own := room(file)) in WALLS
        for name in sorted(imports(path))
        if not rooms_of(name) <= WALLS[own] | {own}
    ]


def hallway() -> list[str]:
    return [file for file in FILES if file.count("/") == 1 and file.startswith("diffusion/") and "__init__" not in file]


def names_twice() -> dict[str, set[str]]:
    """Classes and functions without an underscore that the top of more than one module defines."""
    places = collections.defaultdict(set)
    for file, path in FILES.items():
        for node in ast.parse(path.read_text()).body:
            if isinstance(node, ast.FunctionDef | ast.ClassDef) and not node.name.startswith("_"):
                places[node.name].add(file)
    return {name: files for name, files in places.items() if len(files) > 1}


def longest_functions() -> list[tuple[int, str]]:
    functions = [
        (node.end_lineno - node.lineno + 1, f"{file} {node.name}")
        for file, path in (FILES | SCRIPTS).items()
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.FunctionDef)
    ]
    return sorted(functions, reverse=True)


def test_nothing_lies_in_the_hallway():
    assert hallway() == []


def test_every_room_has_its_walls():
    assert {room(file) for file in FILES} - {"unet", "diffusion", "hydra_plugins"} == WALLS.keys()


def test_no_arrow_runs_back_up():
    assert arrows_up() == []


def test_there_is_no_circle():
    assert circles() == []


def test_a_name_is_defined_once():
    assert names_twice() == {}


def test_a_function_fits_a_screen_and_a_file_a_sitting():
    length, function = longest_functions()[0]
    assert length <= 45, function
    lines = {file: len(path.read_text().splitlines()) for file, path in (FILES | SCRIPTS).items()}
    assert {file: count for file, count in lines.items() if count > 250} == {}


@pytest.mark.parametrize("package", ONLY)
def test_only_these_rooms_import(package):
    rooms = {room(file) for file, path in FILES.items() if any(is_of(name, package) for name in imports(path))}
    assert rooms - {"unet"} <= ONLY[package]


def test_the_network_knows_nothing_of_diffusion():
    allowed = {"torch", "einops", "safetensors", "unet"} | sys.stdlib_module_names
    for file, path in FILES.items():
        if file.startswith("unet/"):
            assert {name.split(".")[0] for name in imports(path)} <= allowed, file


def test_hydra_builds_objects_in_one_place():
    callers = {
        file
        for file, path in (FILES | SCRIPTS).items()
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.Attribute) and ast.unparse(node).endswith("hydra.utils.instantiate")
    }
    assert callers == {"diffusion/config/instantiate.py"}


def test_nothing_is_unpickled_that_could_run_code():
    refused = ("pickle.load", "pickle.loads", "pickle.Unpickler", "eval", "exec")
    for file, path in (FILES | SCRIPTS).items():
        for call in [node for node in ast.walk(ast.parse(path.read_text())) if isinstance(node, ast.Call)]:
            function, said = ast.unparse(call.func), ast.unparse(call)
            assert function not in refused, file
            assert function != "torch.load" or "weights_only=True" in said, file
            assert function not in ("np.load", "numpy.load") or "allow_pickle" not in said, file


if __name__ == "__main__":
    print(f"modules in the hallway: {len(hallway())}")
    print(f"rooms: {len(WALLS) + 1}, circles: {len(circles())}, arrows up: {len(arrows_up())}")
    print(f"names defined twice: {len(names_twice())}")
    print("longest function: {} lines, {}".format(*longest_functions()[0]))
    print(f"lines in src: {sum(len(path.read_text().splitlines()) for path in FILES.values())}")
    for line in [*arrows_up(), *map(str, circles()), *map(str, names_twice().items())]:
        print("  " + line)
