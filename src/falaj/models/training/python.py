"""Python: a user's own class, fitted if it can be, and packed with its files."""

import os
import tempfile
from pathlib import Path
from typing import Any

import msgspec
from numpy.typing import NDArray

from falaj.definitions.task import Task
from falaj.definitions.trainer import Trainer
from falaj.models.python.child import Child
from falaj.models.python.package import PythonPackage, read_folder
from falaj.models.python.place import PythonPlace
from falaj.models.python.runtime import PythonRuntime
from falaj.models.runtimes.port import Matrix
from falaj.models.training.fitted import Fitted

_LEARNS = b"def fit("


def fit_python(
    trainer: Trainer, matrix: Matrix, labels: NDArray[Any], names: tuple[str, ...], folder: Path, place: PythonPlace,
    *, task: Task,
) -> Fitted:  # fmt: skip
    """Pack a class and its files, after its `fit`, where it has one, has written more of them.

    Args:
        trainer: Names the class and its folder.
        matrix: Rows to learn from.
        labels: 0 and 1, int8, or of a regression float64, (rows,).
        names: The matrix's columns.
        folder: The project's.
        place: Where its process works, and within what limits.
        task: What is to be learned.

    Raises:
        NotFound: There is no such folder.
        DataError: A file of it cannot be kept.
        FalajError: The class raised, or its process ended.
    """
    package = PythonPackage(trainer.estimator, trainer.params, read_folder(folder / trainer.folder))
    if _learns(package):
        package = _fitted(package, matrix, labels, place)
    runtime = PythonRuntime(package, len(names), place)
    return Fitted("python", None, package.encode(), runtime.predict, names, {}, dict(trainer.params), task)


def _learns(package: PythonPackage) -> bool:
    module = package.entry.partition(":")[0].replace(".", "/")
    return any(_LEARNS in package.files.get(path, b"") for path in (f"{module}.py", f"{module}/__init__.py"))


def _fitted(package: PythonPackage, matrix: Matrix, labels: NDArray[Any], place: PythonPlace) -> PythonPackage:
    settings = msgspec.structs.replace(place.settings, threads=os.cpu_count() or 1, processors=0)
    with tempfile.TemporaryDirectory(prefix="falaj-fit-") as made:
        work = Path(made)
        package.write(work)
        log = (place.folder or work.parent) / f"{place.name}.log"
        log.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        child = Child(work, log, settings)
        try:
            child.fit(package.entry, package.params, work, matrix, labels)
        finally:
            child.kill()
        return msgspec.structs.replace(package, files=read_folder(work))
