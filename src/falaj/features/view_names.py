"""ViewNames: names that engines would mix up, refused before anything is computed."""

import re
from collections.abc import Iterable

from falaj.definitions.feature_view import FeatureView
from falaj.definitions.service_spec import ViewSpec
from falaj.kernel.errors import DefinitionError
from falaj.kernel.names import alike

_TAKEN = re.compile(r"_(t|ts|k[0-9]+|seq|known|until|version|question|event|asking|number|place|value)", re.IGNORECASE)
"""What the engines' statements call columns of their own."""


def check_apart(view: FeatureView, columns: Iterable[str]) -> None:
    """Raise where capital letters alone tell two names of a view apart: most SQL engines take them for one.

    Args:
        view: The view.
        columns: The columns of its source.

    Raises:
        DefinitionError: They do.
    """
    for what, names in (("columns", [*columns, *view.transform]), ("features", list(view.features))):
        if both := alike(names):
            raise DefinitionError(
                f"feature view {view.name!r}: {what} {both[0]!r} and {both[1]!r} differ in capital letters only, and "
                "SQL takes them for one",
                hint="rename one of them",
            )


def check_taken(view: ViewSpec) -> None:
    """Raise where a view reads or gives something under a name that engines use themselves.

    Raises:
        DefinitionError: It does.
    """
    read = dict((*view.keys, *view.inputs, *view.columns))
    for name in (*read, *(feature.name for feature in view.features), view.id_column or ""):
        if _TAKEN.fullmatch(name):
            raise DefinitionError(
                f"feature view {view.name!r} uses the name {name!r}, which engines keep for columns of their own",
                hint="rename it: without the underscore at its beginning it may stay",
            )
