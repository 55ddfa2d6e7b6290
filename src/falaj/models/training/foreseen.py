"""Foreseen: what a training would be refused for, as far as it shows without importing a library."""

import ast
import importlib.util
from pathlib import Path

from falaj.definitions.trainer import Trainer
from falaj.kernel.errors import DefinitionError, ExtraMissing
from falaj.kernel.names import did_you_mean
from falaj.models.training.lightgbm_params import refuse_unknown


def refuse_misspelt(trainer: Trainer) -> None:
    """Refuse a trainer that names what its library does not have.

    LightGBM's parameters and scikit-learn's classes are looked at. Others show when the training begins.

    Raises:
        DefinitionError: A parameter or a class does not exist.
    """
    if trainer.kind == "lightgbm":
        searched = trainer.tuning.space if trainer.tuning is not None else {}
        try:
            refuse_unknown([*trainer.params, *searched])
        except ExtraMissing:  # it may be there where the training runs
            return
    if trainer.kind == "sklearn":
        _refuse_unknown_class(trainer.estimator)


def missing_library(trainer: Trainer) -> str:
    """Return which library that the trainer needs is not installed here, with the line that installs it.

    Example:
        >>> from falaj.definitions.trainer import lightgbm
        >>> missing_library(lightgbm())
        ''
    """
    needed = {"optuna": "tune"} if trainer.tuning is not None else {}
    needed |= {"flaml": "automl"} if trainer.automl is not None else {}
    needed |= {"river": "online"} if trainer.kind == "river" else {}
    for name, extra in needed.items():
        if importlib.util.find_spec(name) is None:
            return f"its training needs {name}, which is not installed: pip install 'falaj[{extra}]'"
    return ""


def _refuse_unknown_class(path: str) -> None:
    module, _, name = path.rpartition(".")
    file = _file_of(module)
    if file is None:
        raise DefinitionError(
            f"sklearn trainer: {path!r} does not exist", hint="write it like 'sklearn.linear_model.LogisticRegression'"
        )
    names = _names_in(file)
    if names is not None and name not in names:
        classes = [one for one in names if one[:1].isupper()]
        raise DefinitionError(f"sklearn trainer: {path!r} does not exist", hint=did_you_mean(name, classes))


def _file_of(module: str) -> Path | None:
    """Return a module's source file, found as Python finds it, and without running its package."""
    top, *rest = module.split(".")
    spec = importlib.util.find_spec(top)
    for root in [] if spec is None else spec.submodule_search_locations or []:
        place = Path(root).joinpath(*rest)
        for file in (place / "__init__.py", place.with_suffix(".py")):
            if file.is_file():
                return file
    return None


def _names_in(file: Path) -> set[str] | None:
    """Return what a file binds at its top; None where that does not show in its text."""
    found: set[str] = set()
    for node in ast.walk(ast.parse(file.read_bytes())):
        if isinstance(node, ast.Import | ast.ImportFrom):
            found |= {(alias.asname or alias.name).partition(".")[0] for alias in node.names}
        elif isinstance(node, ast.ClassDef | ast.FunctionDef):
            found.add(node.name)
        elif isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
            found.add(node.id)
    return None if found & {"*", "__getattr__"} else found
