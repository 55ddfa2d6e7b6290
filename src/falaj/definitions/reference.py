"""Reference: how a project's Python says a definition that stands in its YAML: `fj.ref.source("transactions")`."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any, TypeVar

from falaj.definitions.entity import Entity
from falaj.definitions.feature_service import FeatureService
from falaj.definitions.feature_view import FeatureView
from falaj.definitions.model import Model
from falaj.definitions.on_demand import OnDemandView
from falaj.definitions.source import Source
from falaj.kernel.errors import DefinitionError

T = TypeVar("T")
_find: ContextVar[Callable[[str, str], Any] | None] = ContextVar("falaj_finds_in_yaml", default=None)


@contextmanager
def found_by(find: Callable[[str, str], Any]) -> Iterator[None]:
    """Let references be found while a project's Python files are read.

    Args:
        find: From kind and name to the definition.
    """
    before = _find.set(find)
    try:
        yield
    finally:
        _find.reset(before)


def entity(name: str) -> Entity:
    """Return the entity of that name from the project's YAML."""
    return _found("entity", name, Entity)


def source(name: str) -> Source:
    """Return the source of that name from the project's YAML.

    Raises:
        DefinitionError: No YAML file of the project defines it, it refers to a definition in Python, or nobody reads a
            project now.
    """
    return _found("source", name, Source)


def feature_view(name: str) -> FeatureView:
    """Return the feature view of that name from the project's YAML."""
    return _found("feature_view", name, FeatureView)


def on_demand_view(name: str) -> OnDemandView:
    """Return the on-demand view of that name from the project's YAML."""
    return _found("on_demand_view", name, OnDemandView)


def feature_service(name: str) -> FeatureService:
    """Return the feature service of that name from the project's YAML."""
    return _found("feature_service", name, FeatureService)


def model(name: str) -> Model:
    """Return the model of that name from the project's YAML."""
    return _found("model", name, Model)


def _found(kind: str, name: str, cls: type[T]) -> T:
    find = _find.get()
    if find is None:
        raise DefinitionError(
            f"fj.ref.{kind}({name!r}) is known only while a project's definitions are read",
            hint="use it in the files that 'falaj plan' reads",
        )
    definition = find(kind, name)
    assert isinstance(definition, cls)
    return definition
