"""The project's files: found, run, and gathered into definitions."""

import glob
import importlib.util
import json
import sys
import threading
import traceback
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from functools import cache, partial
from pathlib import Path
from typing import Any, NamedTuple

from falaj.definitions.pipeline import Pipeline, kinds_of, trace_of
from falaj.definitions.project import Definition, Definitions, collect
from falaj.definitions.project_step import rights_of
from falaj.definitions.reference import found_by
from falaj.definitions.yaml.files import MARK, VERSION, YamlFiles, is_marked, lacks_mark
from falaj.definitions.yaml.text import MOST_BYTES
from falaj.kernel.errors import Conflict, DefinitionError, FalajError, ProjectError
from falaj.kernel.settings import PROJECT_FILE, ProjectSettings, Settings
from falaj.pipelines.graph import Graph
from falaj.pipelines.traced import graph_of
from falaj.storage.disk import chosen_path

YAML = (".yaml", ".yml")
_turn = threading.RLock()
"""The import path is the process's own: two threads that load the files at once would find each other's."""
_loading: ContextVar[bool] = ContextVar("falaj_definitions_are_being_read", default=False)


def refuse_while_loading() -> None:
    """Return unless the project's files are being run for what they declare.

    Raises:
        ProjectError: They are: whoever asks for a plan does not ask for predictions.
    """
    if _loading.get():
        raise ProjectError(
            "fj.open() would act on the project while its definitions are read",
            hint="name the files that declare something: [project] files = [...] in falaj.toml",
        )


def begin_project(folder: Path) -> Path | None:
    """Make a project of a folder that has definitions, by the one file it lacks; None where nothing is defined there.

    Returns:
        The settings file written.

    Raises:
        Conflict: The folder is a project already.
        InputError: The file cannot be written.
    """
    files = definition_files(folder, ProjectSettings())
    if not files:
        return None
    path = folder / PROJECT_FILE
    if path.exists():
        raise Conflict(f"{path} exists: the folder is a project already", hint="go on with 'falaj plan'")
    names = json.dumps([glob.escape(file.name) for file in files], ensure_ascii=False)
    lines = (
        "# Settings of this project. Every one has a default; 'falaj reference --out DIR' writes what they mean.",
        "[project]",
        f"name = {json.dumps(folder.resolve().name, ensure_ascii=False)}",
        f"files = {names}  # where the definitions are",
    )
    with chosen_path(path):
        path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return path


def load_definitions(folder: Path, settings: Settings) -> Definitions:
    """Run the project's definition files and gather what they declare.

    Only Python files that import falaj are run, and only YAML files that say `falaj: 1` are read: other files of the
    folder stay as they are.

    Args:
        folder: The project's folder.
        settings: `project.files` says which files.

    Raises:
        ProjectError: There are no such files, or one of them fails; the message names file and line.
        DefinitionError: A definition does not make sense.
    """
    files = definition_files(folder, settings.project)
    if not files:
        raise ProjectError(
            f"no definitions in {folder} ({', '.join(settings.project.files)})",
            hint="write a Python file that says 'import falaj as fj', or a YAML file that says 'falaj: 1', or correct "
            "[project] files in falaj.toml",
        )
    written = [file for file in files if file.suffix in YAML]
    values: list[tuple[str, object]] = []
    with _importable(folder):
        contents = [(file.relative_to(folder).as_posix(), yaml_content(file)) for file in written]
        yaml = YamlFiles(contents, find_module=cache(partial(_module, folder)))
        with found_by(yaml.definition):
            for file in files:
                if file not in written:
                    values += [(f"{file.name}: {name}", value) for name, value in _run(file).items()]
        if written:
            values += _made(yaml, collect(values))
    return collect(values)


class TracedPipeline(NamedTuple):
    """A pipeline as a run of it is submitted.

    Attributes:
        graph: Its steps.
        params: Its parameters, as plain JSON.
        kinds: Their types, as JSON has types.
        contexts: Names of the steps that take a `StepContext`.
        rights: What whoever starts it must be allowed: action, and on what.
    """

    graph: Graph
    params: dict[str, Any]
    kinds: dict[str, str]
    contexts: tuple[str, ...]
    rights: tuple[tuple[str, str], ...] = ()


def trace_pipeline(folder: Path, pipeline: Pipeline, params: Mapping[str, Any]) -> TracedPipeline:
    """Load a pipeline's function from the project's files and call it, to see its steps.

    Args:
        folder: The project's folder.
        pipeline: The definition.
        params: Its parameters by name.

    Raises:
        ProjectError: Its file cannot be loaded, has no such function, or the function fails.
        InputError: A parameter is unknown, is missing, or is not of its type.
        DefinitionError: The function asks for what is not known before a step has run.
    """
    module, _, name = pipeline.function.partition(":")
    with _importable(folder):
        reading = _loading.set(True)
        try:
            found: Any = getattr(importlib.import_module(module), name, None)
            function = found.__dict__["declared"] if isinstance(found, Pipeline) else found
            if not callable(function):
                raise ProjectError(f"{module}.py has no function {name!r}", hint="correct it, and run 'falaj apply'")
            trace, plain = trace_of(pipeline.name, function, params)
            kinds, rights = kinds_of(function), tuple(dict.fromkeys(rights_of(trace)))
        except DefinitionError as error:
            place = _place(error, folder / f"{module.replace('.', '/')}.py")
            if ":" not in place:  # it is not a line of the file that is wrong
                raise
            raise DefinitionError(f"pipeline {pipeline.name!r}: {place}: {error.message}", hint=error.hint) from error
        except FalajError:
            raise
        except Exception as error:
            file = folder / f"{module.replace('.', '/')}.py"
            raise ProjectError(
                f"pipeline {pipeline.name!r}: {_place(error, file)}: {type(error).__name__}: {error}",
                hint="correct the file",
            ) from error
        finally:
            _loading.reset(reading)
    contexts = tuple(step.name for step in trace.steps if step.context)
    return TracedPipeline(graph_of(pipeline.name, trace, notify=pipeline.notify), plain, kinds, contexts, rights)


def definition_files(folder: Path, project: ProjectSettings) -> list[Path]:
    """Return the files of a folder that hold definitions, as the project's settings say."""
    return sorted({file for pattern in project.files for file in folder.glob(pattern) if _declares(file)})


def _declares(file: Path) -> bool:
    if file.suffix in YAML:
        raw = yaml_content(file)
        if lacks_mark(raw):
            raise ProjectError(
                f"{file.name} does not say that it is Falaj's", hint=f"begin it with '{MARK}: {VERSION}'"
            )
        return is_marked(raw)
    text = file.read_text(encoding="utf-8", errors="replace")
    return any(line.startswith(("import falaj", "from falaj")) for line in text.splitlines())


def yaml_content(file: Path) -> bytes:
    """Return what stands in a YAML file, up to a byte more than is allowed, which is refused where it is read."""
    with file.open("rb") as opened:
        return opened.read(MOST_BYTES + 1)


def _module(folder: Path, name: str) -> dict[str, object]:
    """Run a Python file of the folder that YAML names; others are installed packages, and not the project's."""
    file = folder / f"{name}.py"
    if not file.is_file():
        raise DefinitionError(f"{file.name} does not exist", hint="name a Python file beside the YAML file")
    return _run(file)


def _made(yaml: YamlFiles, python: Definitions) -> list[tuple[str, Definition]]:
    try:
        return yaml.definitions(python)
    except FalajError:
        raise
    except Exception as error:  # the code of an on-demand view runs here
        frames = [frame for frame in traceback.extract_tb(error.__traceback__) if frame.filename.startswith("<")]
        place = f"{frames[-1].filename[1:].rpartition(':')[0]}:{frames[-1].lineno}: " if frames else ""
        raise ProjectError(f"{place}{type(error).__name__}: {error}", hint="correct the file") from error


def _run(file: Path) -> dict[str, object]:
    name = f"_falaj_project_{file.stem}"
    spec = importlib.util.spec_from_file_location(name, file)
    if spec is None or spec.loader is None:
        raise ProjectError(f"{file} cannot be loaded as Python", hint="give it the ending .py")
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    reading = _loading.set(True)
    try:
        spec.loader.exec_module(module)
    except FalajError as error:
        raise type(error)(f"{_place(error, file)}: {error.message}", hint=error.hint) from error
    except Exception as error:
        raise ProjectError(
            f"{_place(error, file)}: {type(error).__name__}: {error}", hint="correct the file"
        ) from error
    finally:
        _loading.reset(reading)
        sys.modules.pop(name, None)
    return dict(vars(module))


def _place(error: BaseException, file: Path) -> str:
    lines = [frame.lineno for frame in traceback.extract_tb(error.__traceback__) if frame.filename == str(file)]
    if isinstance(error, SyntaxError) and error.filename == str(file):
        lines.append(error.lineno)
    return f"{file.name}:{lines[-1]}" if lines else file.name


@contextmanager
def _importable(folder: Path) -> Iterator[None]:
    """Let the project's files import one another, and forget them afterwards so that a changed file is read anew."""
    with _turn:
        before = set(sys.modules)
        sys.path.insert(0, str(folder))
        bytecode, sys.dont_write_bytecode = sys.dont_write_bytecode, True
        importlib.invalidate_caches()
        try:
            yield
        finally:
            sys.dont_write_bytecode = bytecode
            sys.path.remove(str(folder))
            for name in set(sys.modules) - before:
                file = Path(getattr(sys.modules[name], "__file__", None) or "/")
                if file.is_relative_to(folder) and "site-packages" not in file.parts:
                    del sys.modules[name]
