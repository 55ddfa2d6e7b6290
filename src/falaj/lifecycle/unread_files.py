"""Files of a project's folder that declare something and that nobody reads."""

import ast
from collections.abc import Iterator
from pathlib import Path

from falaj.definitions.project import KINDS
from falaj.definitions.yaml.files import is_marked
from falaj.kernel.settings import ProjectSettings
from falaj.lifecycle.project import YAML, definition_files, yaml_content

_DECLARING = {kind.__name__ for kind in KINDS} | {"on_demand", "pipeline"}


def unread_files(folder: Path, project: ProjectSettings) -> list[str]:
    """Return the files that declare something and are not among those that are read, by their names.

    One that a file which is read imports is read too. Scripts that only use a project declare nothing.

    Args:
        folder: The project's folder.
        project: `files` says which files are read.
    """
    read = set(definition_files(folder, project))
    others = {file for pattern in ProjectSettings().files for file in folder.glob(pattern)} - read
    python = {file.stem: file for file in others if file.suffix not in YAML}
    waiting = [file for file in read if file.suffix not in YAML]
    while waiting:
        imported = set(_imported(_parsed(waiting.pop())))
        waiting += [python.pop(name) for name in imported & python.keys()]
    found = [file for file in python.values() if any(_declarations(_parsed(file)))]
    found += [file for file in others if file.suffix in YAML and is_marked(yaml_content(file))]
    return sorted(file.name for file in found)


def _parsed(file: Path) -> ast.Module:
    try:
        return ast.parse(file.read_bytes())
    except (SyntaxError, ValueError, OSError):  # which a file that nobody reads may have
        return ast.Module([], [])


def _imported(module: ast.Module) -> Iterator[str]:
    for node in ast.walk(module):
        if isinstance(node, ast.Import):
            yield from (alias.name.partition(".")[0] for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            yield node.module.partition(".")[0]


def _declarations(module: ast.Module) -> Iterator[str]:
    """Give what of Falaj's makes a definition at the top of a file, where a project's files are looked at."""
    packages: set[str] = set()
    names: dict[str, str] = {}
    for statement in module.body:
        if isinstance(statement, ast.Import):
            packages |= {alias.asname or alias.name for alias in statement.names if alias.name == "falaj"}
        elif isinstance(statement, ast.ImportFrom) and statement.module == "falaj":
            names |= {alias.asname or alias.name: alias.name for alias in statement.names}
    for statement in module.body:
        for made in _makers(statement):
            if isinstance(made, ast.Attribute) and isinstance(made.value, ast.Name) and made.value.id in packages:
                name = made.attr
            else:
                name = names.get(made.id, "") if isinstance(made, ast.Name) else ""
            if name in _DECLARING:
                yield name


def _makers(statement: ast.stmt) -> Iterator[ast.expr]:
    if isinstance(statement, ast.Assign | ast.AnnAssign):
        expressions = [statement.value] if statement.value is not None else []
    elif isinstance(statement, ast.FunctionDef):
        yield from statement.decorator_list
        expressions = statement.decorator_list
    else:
        return
    yield from (one.func for one in expressions if isinstance(one, ast.Call))
