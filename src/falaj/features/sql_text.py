"""SqlText: a view as one SQL statement for people to read, or to run where this project does not."""

from falaj.definitions.service_spec import ViewSpec
from falaj.features.dialect import Dialect
from falaj.features.engines.support import check_views
from falaj.features.point_in_time_join import view_sql


def sql_text(view: ViewSpec, dialect: Dialect) -> str:
    """Return a view's features as one statement, under a comment that says what it reads and whether it was tried.

    Args:
        view: The view.
        dialect: The engine's way of saying things.

    Raises:
        Unsupported: The engine cannot compute a feature.
    """
    check_views([view], dialect)
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
    return f"{head}{view_sql(view, dialect.quoted(view.source), dialect)}"
