"""What a suite tells MLflow for the whole process, which no other suite may hear."""

import os
from collections.abc import Iterator

import pytest


def _said() -> dict[str, str]:
    return {name: value for name, value in os.environ.items() if name.lstrip("_").startswith("MLFLOW_")}


@pytest.fixture(autouse=True, scope="module")
def mlflow_environment() -> Iterator[None]:
    """Put MLflow's environment back, which a project that is opened as in a notebook sets for good."""
    before = _said()
    yield
    for name in _said().keys() - before.keys():
        del os.environ[name]
    os.environ.update(before)
