"""Which faults of one place the tests do not see: python benchmarks/mutations.py [--only FILE] [--limit 100]

Every sign, operator, constant, comparison, order of arguments and term in ROOMS is changed, one at a time,
in a copy of the repository, and the tests beside it are run until one fails. What none sees survives, and is printed:
either a test is missing, or the change says the same in other words. A fixed shuffle decides which come first, so that
--limit is a fair sample. Results are kept in --results: the same command goes on where it stopped; --again tries
what survived, after a test was added.
"""

from __future__ import annotations

import argparse
import ast
import hashlib
import json
import os
import random
import shutil
import signal
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).parents[1]
COPIED = ("src", "tests", "conf", "docs", "benchmarks", "pyproject.toml", "README.md", "CONTRIBUTING.md")
EQUAL = "tests/proofs/test_page.py::test_equal_formulas_are_equal"
LIKELIHOODS = ["tests/diffusion/evaluation/test_likelihoods.py"]
PROOFS = [EQUAL, "tests/proofs/test_edges.py", "tests/proofs/test_refusals.py", "tests/proofs/test_page.py"]
SAMPLING = ["tests/diffusion/samplers", *PROOFS]
# Of each room, the quickest tests that know it, in the order in which they are run.
ROOMS = {
    "process": ["tests/diffusion/process", *SAMPLING],
    "denoiser": ["tests/diffusion/denoiser", *SAMPLING],
    "losses": ["tests/diffusion/losses", *LIKELIHOODS, "tests/diffusion/test_golden.py", "tests/proofs/test_page.py"],
    "samplers": SAMPLING,
}
TESTS = {
    f"{room}/{path.name}": tests
    for room, tests in ROOMS.items()
    for path in sorted((ROOT / "src/diffusion" / room).glob("[!_]*.py"))
}
OPERATORS = {ast.Add: ast.Sub, ast.Sub: ast.Add, ast.Mult: ast.Div, ast.Div: ast.Mult, ast.Pow: ast.Mult}
COMPARISONS = {
    ast.Lt: ast.LtE, ast.LtE: ast.Lt, ast.Gt: ast.GtE, ast.GtE: ast.Gt, ast.Eq: ast.NotEq, ast.NotEq: ast.Eq,
    ast.Is: ast.IsNot, ast.IsNot: ast.Is, ast.In: ast.NotIn, ast.NotIn: ast.In,
}  # fmt: skip
UNARY = ("sqrt", "exp", "log", "sigmoid", "abs", "flip", "cos", "tan", "atan", "logit", "square", "cumprod", "cumsum",
         "diff", "round", "floor", "clamp", "mean", "nan_to_num", "neg")  # fmt: skip
OTHERS = {"min": "max", "max": "min", "argmin": "argmax", "expm1": "exp", "log1p": "log", "isneginf": "isposinf"}


class Mutation(NamedTuple):
    """One change of the text of a file from `start` to `end`."""

    file: str
    line: int
    start: int
    end: int
    before: str
    after: str

    @property
    def name(self) -> str:
        return f"{self.file}:{self.line}:{self.start}: {self.before} -> {self.after}"


def changes(node: ast.AST) -> Iterator[ast.AST]:
    """What the node could have been by mistake."""
    match node:
        case ast.BinOp(left, operator, right) if type(operator) in OPERATORS:
            yield ast.BinOp(left, OPERATORS[type(operator)](), right)
            yield left
            if isinstance(operator, ast.Add | ast.Mult):
                yield right
        case ast.UnaryOp(ast.USub() | ast.Not(), operand):
            yield operand
        case ast.Constant(bool() as value):
            yield ast.Constant(not value)
        case ast.Constant(int() | float() as value):
            yield ast.Constant(value + 1)
        case ast.Compare(left, [operator, *more], right):
            yield ast.Compare(left, [COMPARISONS[type(operator)](), *more], right)
        case ast.BoolOp(operator, values):
            yield ast.BoolOp(ast.And() if isinstance(operator, ast.Or) else ast.Or(), values)
            yield from values
        case ast.IfExp(test, body, orelse):
            yield ast.IfExp(test, orelse, body)
        case ast.Call(function, arguments, keywords):
            if isinstance(function, ast.Attribute) and function.attr in UNARY:
                yield function.value
            if isinstance(function, ast.Attribute) and function.attr in OTHERS:
                yield ast.Call(ast.Attribute(function.value, OTHERS[function.attr]), arguments, keywords)
            if isinstance(function, ast.Name) and function.id in OTHERS:
                yield ast.Call(ast.Name(OTHERS[function.id]), arguments, keywords)
            if len(arguments) > 1 and not any(isinstance(one, ast.Starred) for one in arguments[:2]):
                yield ast.Call(function, [arguments[1], arguments[0], *arguments[2:]], keywords)


def nodes(node: ast.AST) -> Iterator[ast.AST]:
    """All that is computed: no annotations, messages, names of things, nor what is decided while importing."""
    if isinstance(node, ast.Raise | ast.JoinedStr | ast.Import | ast.ImportFrom | ast.Assert):
        return
    if isinstance(node, ast.FunctionDef) and node.name in ("name", "settings", "__repr__"):
        return
    yield node
    for field, value in ast.iter_fields(node):
        if field not in ("annotation", "returns", "decorator_list", "bases"):
            for child in value if isinstance(value, list) else [value]:
                if isinstance(child, ast.AST):
                    yield from nodes(child)


def mutations(file: str) -> list[Mutation]:
    """Every change of a file under src/diffusion, in the order of its text."""
    text = (ROOT / "src/diffusion" / file).read_text(encoding="utf-8")
    starts = [0]
    for line in text.encode().splitlines(keepends=True):
        starts.append(starts[-1] + len(line))
    found = []
    for node in nodes(ast.parse(text)):
        for changed in changes(node):
            start, end = starts[node.lineno - 1] + node.col_offset, starts[node.end_lineno - 1] + node.end_col_offset  # type: ignore[attr-defined]
            before, after = text.encode()[start:end].decode(), ast.unparse(ast.fix_missing_locations(changed))
            if ast.unparse(node) != after:
                found.append(Mutation(file, node.lineno, start, end, " ".join(before.split()), after))  # type: ignore[attr-defined]
    return sorted(set(found), key=lambda each: (each.start, each.end, each.after))


def tested(copy: Path, file: str) -> int:
    """The process id of a child that runs the tests of a file in a copy, and ends with pytest's exit code."""
    if pid := os.fork():
        return pid
    code = 1
    try:
        os.setsid()
        with open(os.devnull, "w") as nothing:
            os.dup2(nothing.fileno(), 1)
            os.dup2(nothing.fileno(), 2)
        os.chdir(copy)
        sys.path[:0] = [str(copy / "src"), str(copy / "tests")]
        import pytest

        code = int(pytest.main(["-n0", "-x", "-q", "-p", "no:cacheprovider", *TESTS[file]]))
    finally:
        os._exit(code)


def waited(pid: int, limit: float) -> str:
    """ "killed", "survived", or "timeout", which kills a mutation too."""
    end = time.monotonic() + limit
    while time.monotonic() < end:
        ended, status = os.waitpid(pid, os.WNOHANG)
        if ended:
            return "survived" if status == 0 else "killed"
        time.sleep(0.01)
    os.killpg(pid, signal.SIGKILL)
    os.waitpid(pid, 0)
    return "timeout"


def tried(copy: Path, mutation: Mutation, limit: float) -> str:
    path = copy / "src/diffusion" / mutation.file
    text = path.read_bytes()
    changed = text[: mutation.start] + f"({mutation.after})".encode() + text[mutation.end :]
    try:
        path.write_bytes(changed)
        return waited(tested(copy, mutation.file), limit)
    finally:
        path.write_bytes(text)


def copied(to: Path) -> Path:
    for name in COPIED:
        source = ROOT / name
        if source.is_dir():
            shutil.copytree(source, to / name, ignore=shutil.ignore_patterns("__pycache__"))
        else:
            shutil.copy(source, to / name)
    return to


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", nargs="*", default=list(TESTS), metavar="FILE", help="such as samplers/heun.py")
    parser.add_argument("--limit", type=int, help="of so many of the changes, the same ones each time")
    parser.add_argument("--again", action="store_true", help="those that survived")
    parser.add_argument("--timeout", type=float, default=120, help="seconds for the tests of one")
    parser.add_argument("--results", type=Path, default=Path(tempfile.gettempdir()) / "mutations.json")
    return parser.parse_args()


def main() -> None:
    chosen = arguments()
    kept: dict[str, str] = json.loads(chosen.results.read_text()) if chosen.results.exists() else {}
    sample = [one for file in chosen.only for one in mutations(file)]
    random.Random(0).shuffle(sample)
    sample = sample[: chosen.limit]
    sys.dont_write_bytecode = True
    import pytest  # noqa: F401  once, not in every child
    import torch

    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory() as folder:
        copy = copied(Path(folder))
        for file in {str(TESTS[one.file]): one.file for one in sample}.values():
            assert waited(tested(copy, file), 600) == "survived", f"the tests of {file} fail without any change"
        for number, one in enumerate(sample, 1):
            source = hashlib.sha256((ROOT / "src/diffusion" / one.file).read_bytes()).hexdigest()[:8]
            key = f"{one.name} ({source})"
            if key not in kept or (chosen.again and kept[key] == "survived"):
                kept[key] = tried(copy, one, chosen.timeout)
                chosen.results.write_text(json.dumps(kept, indent=1))
                print(f"{number}/{len(sample)} {kept[key]}: {one.name}", flush=True)
    print(*table(sample, kept), sep="\n")


def table(sample: list[Mutation], kept: dict[str, str]) -> list[str]:
    """Of each file how many changes were tried and seen, and what survived."""
    known = {key.rpartition(" (")[0]: result for key, result in kept.items()}
    rows = ["| file | changes | seen by a test |", "|---|---|---|"]
    for file in TESTS:
        results = [known[one.name] for one in sample if one.file == file]
        if results:
            rows.append(f"| {file} | {len(results)} | {len(results) - results.count('survived')} |")
    rows += ["", "| survived | from | to |", "|---|---|---|"]
    alive = [one for one in sorted(sample) if known[one.name] == "survived"]
    return rows + [f"| {one.file}:{one.line} | `{one.before}` | `{one.after}` |" for one in alive]


if __name__ == "__main__":
    main()
