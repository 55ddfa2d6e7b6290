"""The content key of a step: everything its result depends on, as one digest."""

import ast
import importlib.util
import os
import platform
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from falaj.kernel.digest import digest_bytes, digest_value
from falaj.kernel.errors import DefinitionError
from falaj.pipelines.arguments import content
from falaj.pipelines.graph import Step
from falaj.pipelines.outputs import Outputs


class StepKeys:
    """Computes keys; reads each source file once for as long as it does not change.

    Args:
        roots: Folders whose modules are the project's own code.
        environment: Digest of everything installed, see `environment_digest`; or what returns it as it is now.
    """

    def __init__(self, roots: Sequence[Path], environment: str | Callable[[], str]) -> None:
        # Both as given and resolved: a module's file may be named either way.
        self._roots = list(
            dict.fromkeys(name for root in roots for name in (str(root.absolute()), str(root.resolve())))
        )
        self._environment: Callable[[], str] = environment if callable(environment) else lambda: environment
        self._parsed: dict[tuple[str, int, int], tuple[str, tuple[str, ...]]] = {}

    def key(
        self, step: Step, run_id: str, inputs: Mapping[str, Outputs], arguments: dict[str, Any] | None = None
    ) -> str:
        """Return the key of a step whose inputs are known.

        A step that has arguments depends on them alone: of a list that it goes over, each part has a key of its own,
        which other parts of the list do not change.

        Args:
            step: The step.
            run_id: Enters the key of a step that may not be taken from another run.
            inputs: Outputs by needed step.
            arguments: Those of a step function, resolved.

        Raises:
            DefinitionError: Its function's module cannot be found.
        """
        given: dict[str, Any] = {"arguments": content(arguments)}
        if arguments is None:
            digests = {need: {n: output.digest for n, output in outputs.items()} for need, outputs in inputs.items()}
            given = {"params": step.params, "inputs": digests}
        own = f"{run_id}/{step.name}/{step.again}" if step.again or not step.cache else ""
        code = self.code(step.function)
        return digest_value(
            {"function": step.function, "code": code, "environment": self._environment(), "run": own, **given}
        )

    def code(self, function: str) -> str:
        """Return the digest of the function's module and of the project's modules that it imports, at any remove.

        Raises:
            DefinitionError: The module cannot be found.
        """
        module = function.partition(":")[0]
        folders = self._import_folders()
        waiting = [(module, self._own_file(module, folders) or _source_of(module, function))]
        found: dict[str, str] = {}
        while waiting:
            name, path = waiting.pop()
            if name in found:
                continue
            found[name], imports = self._read(name, path)
            waiting.extend((other, file) for other in imports if (file := self._own_file(other, folders)) is not None)
        return digest_value(found)

    def _read(self, module: str, path: Path) -> tuple[str, tuple[str, ...]]:
        stat = path.stat()
        seen = (f"{module}={path}", stat.st_mtime_ns, stat.st_size)
        if seen not in self._parsed:
            source = path.read_bytes()
            package = module if path.name == "__init__.py" else module.rpartition(".")[0]
            try:
                imports = tuple(sorted(set(_imports(ast.parse(source), package))))
            except SyntaxError as error:
                raise DefinitionError(f"{path}: {error}", hint="correct the file") from None
            self._parsed[seen] = digest_bytes(source), imports
        return self._parsed[seen]

    def _own_file(self, module: str, folders: Sequence[str]) -> Path | None:
        # Looked up by path and never imported: resolving `sklearn.svm` by importing would cost seconds.
        loaded = getattr(sys.modules.get(module), "__file__", None)
        if loaded is not None and self._is_own(loaded):
            return Path(loaded)
        # Also where this process has another module of that name, such as the standard library's `calendar`: a step's
        # own process looks for the project's first.
        parts = module.replace(".", "/")
        for folder in folders:
            for path in (f"{folder}/{parts}.py", f"{folder}/{parts}/__init__.py"):
                if os.path.isfile(path):  # noqa: PTH113 dozens of misses for each key: a Path each would cost more
                    return Path(path)
        return None

    def _import_folders(self) -> list[str]:
        entries = [os.path.realpath(entry) for entry in sys.path if entry]
        return list(dict.fromkeys([*self._roots, *filter(self._is_own, entries)]))

    def _is_own(self, path: str) -> bool:
        return "site-packages" not in path and any(
            path == root or path.startswith(root + os.sep) for root in self._roots
        )


def environment_digest(import_path: Iterable[str] | None = None) -> str:
    """Return the digest of the interpreter, of every installed distribution, and of Falaj's own source.

    Falaj's source counts by its bytes, because a checkout changes without a new version number.

    Args:
        import_path: Folders to look for distributions in; `sys.path` by default.
    """
    folders = {Path(entry) for entry in (sys.path if import_path is None else import_path) if entry}
    installed = {info.name for folder in folders if folder.is_dir() for info in folder.glob("*.dist-info")}
    package = Path(__file__).parents[1]
    own = {
        path.relative_to(package).as_posix(): digest_bytes(path.read_bytes()) for path in sorted(package.rglob("*.py"))
    }
    return digest_value([platform.python_version(), platform.machine(), sys.platform, sorted(installed), own])


class InstalledNow:
    """The environment's digest, made anew once something was installed or removed.

    Whoever works for weeks starts steps in processes of their own, which load what is installed by then.

    Args:
        import_path: Folders to look for distributions in; `sys.path` by default.
    """

    def __init__(self, import_path: Sequence[str] | None = None) -> None:
        self._path = import_path
        self._seen: tuple[list[tuple[str, int]], str] | None = None

    def __call__(self) -> str:
        """Return the digest; for as long as no folder's list of files changes it is the one before."""
        changed = [(entry, _changed_ns(entry)) for entry in (sys.path if self._path is None else self._path) if entry]
        if self._seen is None or self._seen[0] != changed:
            self._seen = changed, environment_digest(self._path)
        return self._seen[1]


def _changed_ns(folder: str) -> int:
    try:
        return os.stat(folder).st_mtime_ns  # noqa: PTH116 for each key: a Path each would cost more
    except OSError:
        return 0


def _source_of(module: str, function: str) -> Path:
    try:
        spec = importlib.util.find_spec(module)
    except (ImportError, ValueError):
        spec = None
    if spec is None or spec.origin is None or not spec.origin.endswith(".py"):
        raise DefinitionError(
            f"step function {function!r} is in a module that cannot be found",
            hint="put the function in a file that Python can import; a notebook cell or a script's main is not one",
        )
    return Path(spec.origin)


def _imports(tree: ast.AST, package: str) -> Iterator[str]:
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            for alias in node.names:
                yield from _and_parents(alias.name)
        elif isinstance(node, ast.ImportFrom):
            base = node.module or ""
            if node.level:
                parts = package.split(".")
                base = ".".join([*parts[: len(parts) - node.level + 1], *filter(None, [node.module])])
            yield from _and_parents(base)
            # What is imported may itself be a module.
            yield from (f"{base}.{alias.name}" for alias in node.names if base)


def _and_parents(module: str) -> Iterator[str]:
    parts = module.split(".")
    yield from (".".join(parts[: length + 1]) for length in range(len(parts)) if module)
