"""SqlText: a view as one SQL statement for people to read, or to run where this project does not."""

from collections.abc import Collection

import msgspec

from falaj.definitions.service_spec import ViewSpec
from falaj.features.dialect import Dialect
from falaj.features.engines.support import check_views, refusals, refused_features
from falaj.features.point_in_time_join import view_sql


def sql_text(view: ViewSpec, dialect: Dialect) -> str:
    """Return a view's features as one statement, under a comment that says what it reads and whether it was tried.

    Features that the engine cannot compute are left out, and named in the comment.

    Args:
        view: The view.
        dialect: The engine's way of saying things.

    Raises:
        Unsupported: The engine can compute none of the features.
    """
    left_out = refused_features(view, dialect)
    if len(left_out) == len(view.features):
        check_views([view], dialect)
    view = _without(view, left_out, {name for name, _ in refusals(view, dialect)})
    keys = "".join(f", _k{i} = {name}" for i, (name, _) in enumerate(view.keys))
    delay = f" less the delay of {view.delay_us}" if view.delay_us else ""
    tried = "executed and tested" if dialect.executed else "not executed by this project"
    head = (
        f"-- Feature view {view.name} for {dialect.name}: {tried}.\n"
        f"-- Reads {view.source}, with _event_ts, _created (instants) and _ingest_seq; and the questions\n"
        f"-- asked (_question = a number, _t = the instant in microseconds since 1970{delay}{keys}).\n"
        f"-- Instants are microseconds and truth values 1 or 0. Questions that are not answered have no events: count\n"
        f"-- is 0 there, everything else null.\n"
    )
    head += "".join(f"-- Left out: {name}, for {why}.\n" for name, why in left_out.items())
    return f"{head}{view_sql(view, dialect.quoted(view.source), dialect)}"


def _without(view: ViewSpec, features: Collection[str], refused: Collection[str]) -> ViewSpec:
    derived = {column.name for column in view.derived} & set(refused)
    return msgspec.structs.replace(
        view,
        features=tuple(feature for feature in view.features if feature.name not in features),
        columns=tuple(column for column in view.columns if column[0] not in derived),
        derived=tuple(column for column in view.derived if column.name not in derived),
    )
