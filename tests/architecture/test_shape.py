"""House rules that a program can hold: sizes, names, boundaries, errors."""

import ast
import tomllib
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest

import falaj
from falaj.kernel import errors
from falaj.kernel.errors import FalajError

ROOT = Path(__file__).parents[2]
SOURCE = ROOT / "src" / "falaj"
MAX_MODULE_LINES = 500
MAX_FUNCTION_LINES = 60

BOUNDARIES = {
    # worker loop: one step's or reconciler's fault must not end the others
    "pipelines/attempt.py",
    "pipelines/worker.py",
    "pipelines/reconcile.py",
    # the top of a thread: whatever one renewal raises, the next must be tried, or another worker takes the step
    "pipelines/lease.py",
    # request handler: whoever asked gets an answer, not a closed connection or a trace
    "serving/boundary.py",
    "cli/main.py",
    # plugin load: a project's files are code of other people
    "lifecycle/project.py",
    # the same in a process of its own, where a model's class is other people's
    "models/python/host.py",
}
"""The files that may say `except Exception`."""


@cache
def modules() -> dict[str, ast.Module]:
    """Path relative to the package -> syntax tree, templates included."""
    return {
        path.relative_to(SOURCE).as_posix(): ast.parse(path.read_text(encoding="utf-8"))
        for path in sorted(SOURCE.rglob("*.py"))
    }


def nodes(kind: type[ast.AST] | tuple[type[ast.AST], ...]) -> Iterator[tuple[str, ast.AST]]:
    for name, tree in modules().items():
        yield from ((name, node) for node in ast.walk(tree) if isinstance(node, kind))


def test_no_module_is_too_long() -> None:
    # A revision of the schema is written whole by a program, and never added to.
    kept = [name for name in modules() if not name.startswith("app/migrations/versions/")]
    lines = {name: len((SOURCE / name).read_text(encoding="utf-8").splitlines()) for name in kept}
    assert {name: count for name, count in lines.items() if count > MAX_MODULE_LINES} == {}


def test_no_function_is_too_long() -> None:
    long = {}
    for name, node in nodes((ast.FunctionDef, ast.AsyncFunctionDef)):
        assert isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
        count = (node.end_lineno or node.lineno) - node.lineno + 1
        if ast.get_docstring(node) is not None:  # saying more must not count against a function
            count -= (node.body[0].end_lineno or 0) - node.body[0].lineno + 1
        if count > MAX_FUNCTION_LINES:
            long[f"{name}:{node.lineno} {node.name}"] = count
    assert long == {}


def test_everything_is_caught_at_the_boundaries_only() -> None:
    found = set()
    for name, node in nodes(ast.ExceptHandler):
        assert isinstance(node, ast.ExceptHandler)
        caught = {n.id for n in ast.walk(node.type) if isinstance(n, ast.Name)} if node.type else {"BaseException"}
        if caught & {"Exception", "BaseException"}:
            found.add(name)
    assert found == BOUNDARIES


def test_no_module_is_called_utils() -> None:
    drawers = {"util", "utils", "helper", "helpers", "common", "misc"}
    assert [name for name in modules() if drawers & set(name.removesuffix(".py").split("/"))] == []


def test_every_module_says_what_it_is() -> None:
    assert [name for name, tree in modules().items() if not ast.get_docstring(tree)] == []


def all_errors(root: type[FalajError] = FalajError) -> list[type[FalajError]]:
    return [root, *(e for child in root.__subclasses__() for e in all_errors(child))]


def test_every_error_has_a_code_of_its_own() -> None:
    own = [error for error in all_errors() if error.__module__ == errors.__name__]
    codes = {error.__name__: error.__dict__.get("code") for error in own}
    assert [name for name, code in codes.items() if not code] == []
    assert len(set(codes.values())) == len(codes)


def test_every_error_stands_in_the_tree_and_comes_from_the_kernel() -> None:
    tree = {line.strip(" │├└─").split(" ")[0] for line in (errors.__doc__ or "").splitlines() if line.strip()}
    assert {e.__name__ for e in all_errors()} <= tree
    defined = [
        f"{name}: {node.name}"
        for name, node in nodes(ast.ClassDef)
        if isinstance(node, ast.ClassDef)
        and name != "kernel/errors.py"
        and {base.id for base in node.bases if isinstance(base, ast.Name)} & {e.__name__ for e in all_errors()}
    ]
    assert defined == []


def test_the_version_is_the_same_everywhere() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    assert project["version"] == falaj.__version__


@pytest.mark.parametrize("folder", ["src", "tests", "bench", "scripts", "docs"])
def test_nothing_names_a_machine_mocks_our_code_or_hides_work_undone(folder: str) -> None:
    # spelled in two, so that this file is no finding of its own
    forbidden = ("/work" + "/", "/ro" + "ot/", "unittest." + "mock", "TO" + "DO", "FIX" + "ME")
    found = []
    for path in sorted((ROOT / folder).rglob("*")):
        if path.suffix in {".py", ".md", ".toml", ".html", ""} and path.is_file() and "__pycache__" not in path.parts:
            text = path.read_text(encoding="utf-8")
            found += [f"{path.relative_to(ROOT)}: {word}" for word in forbidden if word in text]
    assert found == []
