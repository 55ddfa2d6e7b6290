"""Kept values: what a step of a run gave, as what it is."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from falaj.app.values.run import OutputFile, StepOutput
from falaj.pipelines.values import read_kept


def read_value(found: StepOutput) -> Any:
    """Return what a step gave: tables as `pyarrow.Table`, models as such, files as paths."""
    return _value(found.value, {file.name: file for file in found.files})


def _value(tree: Any, files: Mapping[str, OutputFile]) -> Any:
    if isinstance(tree, list):
        return [_value(part, files) for part in tree]
    if not isinstance(tree, dict):
        return tree
    if list(tree) == ["file"] and tree["file"] in files:
        file = files[tree["file"]]
        return read_kept(file.kind, Path(file.path))
    return {key: _value(part, files) for key, part in tree.items()}
