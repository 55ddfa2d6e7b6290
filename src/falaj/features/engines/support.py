"""Support: which features an engine can compute, told before anything runs."""

from collections.abc import Iterator, Sequence

from falaj.definitions.expression import Expression
from falaj.definitions.service_spec import ViewSpec
from falaj.features.dialect import Dialect
from falaj.kernel.errors import Unsupported


def check_views(views: Sequence[ViewSpec], dialect: Dialect) -> None:
    """Raise for the first feature that an engine cannot compute as it is meant.

    Args:
        views: The views.
        dialect: The engine.

    Raises:
        Unsupported: The message names the view, the feature and the reason.
    """
    for view in views:
        for name, why in refusals(view, dialect):
            raise Unsupported(
                f"feature view {view.name!r}: {name!r} cannot be computed by {dialect.name}: {why}",
                hint="choose another engine by features.engine: 'falaj reference --out DIR' writes DIR/engines.md, "
                "which says which can",
            )


def refusals(view: ViewSpec, dialect: Dialect) -> Iterator[tuple[str, str]]:
    """Give the features and derived columns that an engine cannot compute, and why.

    Args:
        view: The view.
        dialect: The engine.
    """
    for feature in view.features:
        if feature.function in dialect.refused:
            yield feature.name, dialect.refused[feature.function]
    for column in view.derived:
        for op in sorted(set(_operations(column.expression)) & dialect.without):
            yield column.name, f"it has no {op} of the same meaning"


def refused_features(view: ViewSpec, dialect: Dialect) -> dict[str, str]:
    """Return the features that an engine cannot compute, or whose columns it cannot, and why.

    Args:
        view: The view.
        dialect: The engine.
    """
    refused = dict(refusals(view, dialect))
    derived = {column.name for column in view.derived} & refused.keys()
    left_out = {}
    for feature in view.features:
        if feature.function in dialect.refused:
            left_out[feature.name] = dialect.refused[feature.function]
        elif reads := derived & {feature.column, feature.rows}:
            left_out[feature.name] = refused[min(reads)]
    return left_out


def _operations(node: Expression) -> Iterator[str]:
    yield node.op
    for arg in node.args:
        yield from _operations(arg)
