"""Does a test catch each wrong line of the mathematics? python benchmarks/mutations.py [--per-file 8] [--only samplers]

Changes one place at a time, a sign, an operator, a number, a bound or a function, in the files of the process, the
denoiser, the losses, the samplers and the likelihoods, in a copy of the repository, and runs the tests of that file.
Prints each mutation that no test notices, and how many were tried. The places are spread evenly over each file.
"""

import argparse
import ast
import copy
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from itertools import accumulate
from pathlib import Path
from queue import SimpleQueue
from typing import Any, NamedTuple

ROOT = Path(__file__).resolve().parents[1]
SRC = "src/diffusion"
GOLDEN = ["tests/diffusion/test_golden.py"]
SAMPLED = ["tests/diffusion/samplers", "tests/test_proofs.py"]
LIKELIHOODS = ["tests/diffusion/losses/test_golden_likelihood.py", "tests/diffusion/evaluation/test_likelihoods.py"]
TESTS = {
    "process/level.py": [*SAMPLED, *GOLDEN], "process/chain.py": ["tests/diffusion/process", *SAMPLED, *GOLDEN],
    "process/continuum.py": ["tests/diffusion/process", *SAMPLED], "process/log_snr.py": ["tests/diffusion/process"],
    "process/schedules.py": ["tests/diffusion/process", *GOLDEN],
    "process/respacing.py": ["tests/diffusion/process", *GOLDEN],
    "denoiser/predictions.py": ["tests/diffusion/denoiser", *GOLDEN, *SAMPLED],
    "denoiser/variances.py": ["tests/diffusion/denoiser", *GOLDEN],
    "denoiser/guided_denoisers.py": ["tests/diffusion/denoiser", *GOLDEN],
    "losses/bound.py": [*GOLDEN, "tests/diffusion/losses", *LIKELIHOODS],
    "losses/losses.py": ["tests/diffusion/losses", *GOLDEN],
    "losses/weightings.py": ["tests/diffusion/losses"], "losses/log_snr_laws.py": ["tests/diffusion/losses"],
    "losses/schedule_samplers.py": ["tests/diffusion/losses", *GOLDEN],
    "losses/continuous_bound.py": LIKELIHOODS, "losses/density.py": LIKELIHOODS,
    "samplers/ancestral.py": SAMPLED, "samplers/sampler.py": SAMPLED, "samplers/spacing.py": SAMPLED,
    "samplers/dpm_solver.py": SAMPLED, "samplers/heun.py": SAMPLED, "samplers/unipc.py": SAMPLED,
}  # fmt: skip
OPERATORS = {ast.Add: ast.Sub, ast.Sub: ast.Add, ast.Mult: ast.Div, ast.Div: ast.Mult, ast.Pow: ast.Mult}
BOUNDS = {ast.Lt: ast.LtE, ast.LtE: ast.Lt, ast.Gt: ast.GtE, ast.GtE: ast.Gt}
FUNCTIONS = {"sqrt", "exp", "log", "sigmoid", "square", "cumsum", "cumprod", "flip", "abs"}


class Mutation(NamedTuple):
    file: str
    line: int
    before: str
    after: str
    source: str


class Mathematics(ast.NodeVisitor):
    """The nodes of a file that compute, outside of messages, annotations, imports and documentation."""

    def __init__(self) -> None:
        self.found: list[ast.AST] = []

    def visit_Raise(self, node: ast.Raise) -> None:
        pass

    def visit_JoinedStr(self, node: ast.JoinedStr) -> None:
        pass

    def visit_FunctionDef(self, node: ast.FunctionDef) -> None:
        for part in [*node.args.defaults, *filter(None, node.args.kw_defaults), *node.body]:
            self.visit(part)

    def visit_AnnAssign(self, node: ast.AnnAssign) -> None:
        if node.value is not None:
            self.visit(node.value)

    def generic_visit(self, node: ast.AST) -> None:
        if changed(node) is not None:
            self.found.append(node)
        super().generic_visit(node)


def changed(node: ast.AST) -> ast.AST | None:
    """A wrong version of one node; None if it is left alone."""
    wrong = copy.deepcopy(node)
    if isinstance(wrong, ast.BinOp) and type(wrong.op) in OPERATORS:
        wrong.op = OPERATORS[type(wrong.op)]()
    elif isinstance(wrong, ast.UnaryOp) and isinstance(wrong.op, ast.USub):
        return wrong.operand
    elif isinstance(wrong, ast.Compare) and type(wrong.ops[0]) in BOUNDS:
        wrong.ops[0] = BOUNDS[type(wrong.ops[0])]()
    elif isinstance(wrong, ast.Constant) and isinstance(wrong.value, int | float) and abs(wrong.value) > 1:
        wrong.value = wrong.value * 1.1 if isinstance(wrong.value, float) else wrong.value + 1
    elif isinstance(wrong, ast.Call) and isinstance(wrong.func, ast.Attribute) and wrong.func.attr in FUNCTIONS:
        inner = wrong.func.value
        return None if isinstance(inner, ast.Name) and inner.id in ("torch", "math") else inner
    else:
        return None
    return wrong


def mutations(file: str, most: int) -> Iterator[Mutation]:
    """At most so many of a file, evenly spread over what it computes."""
    source = (ROOT / SRC / file).read_text()
    finder = Mathematics()
    finder.visit(ast.parse(source))
    places = finder.found
    lines = source.splitlines(keepends=True)
    for number in range(min(most, len(places))):
        node: Any = places[number * len(places) // min(most, len(places))]
        wrong = changed(node)
        assert wrong is not None
        before = [0, *accumulate(len(line.encode()) for line in lines)]
        begin, end = before[node.lineno - 1] + node.col_offset, before[node.end_lineno - 1] + node.end_col_offset
        code = source.encode()
        after = f"({ast.unparse(wrong)})"
        text = (code[:begin] + after.encode() + code[end:]).decode()
        yield Mutation(file, node.lineno, " ".join(code[begin:end].decode().split()), after, text)


def is_caught(mutation: Mutation, copies: SimpleQueue, timeout: float) -> bool:
    """Whether a test of the file fails, in a free copy of the repository."""
    place: Path = copies.get()
    path = place / SRC / mutation.file
    right = path.read_text()
    command = [sys.executable, "-m", "pytest", "-x", "-q", "-n0", "-p", "no:cacheprovider", *TESTS[mutation.file]]
    environment = {**os.environ, "PYTHONPATH": str(place / "src"), "OMP_NUM_THREADS": "1"}
    try:
        path.write_text(mutation.source)
        done = subprocess.run(command, cwd=place, env=environment, capture_output=True, timeout=timeout)
        return done.returncode != 0
    except subprocess.TimeoutExpired:
        return True  # it never ends
    finally:
        path.write_text(right)
        copies.put(place)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--per-file", type=int, default=8, help="how many mutations of each file")
    parser.add_argument("--only", default="", help="the files whose name holds this")
    parser.add_argument("--jobs", type=int, default=2, help="how many at once")
    parser.add_argument("--timeout", type=float, default=600, help="seconds for the tests of one")
    chosen = parser.parse_args()
    wanted = [m for file in TESTS if chosen.only in file for m in mutations(file, chosen.per_file)]
    with tempfile.TemporaryDirectory() as folder, ThreadPoolExecutor(chosen.jobs) as pool:
        copies: SimpleQueue = SimpleQueue()
        for number in range(chosen.jobs):
            place = Path(folder) / str(number)
            for part in ("src", "tests", "conf", "docs"):
                shutil.copytree(ROOT / part, place / part, ignore=shutil.ignore_patterns("__pycache__"))
            shutil.copy(ROOT / "pyproject.toml", place)
            copies.put(place)
        survivors = 0
        results = pool.map(lambda mutation: is_caught(mutation, copies, chosen.timeout), wanted)
        for mutation, caught in zip(wanted, results, strict=True):
            survivors += not caught
            mark = "caught" if caught else "SURVIVES"
            print(f"{mark:9} {mutation.file}:{mutation.line}  {mutation.before}  ->  {mutation.after}", flush=True)
    print(f"{len(wanted)} mutations, {survivors} survive")


if __name__ == "__main__":
    main()
