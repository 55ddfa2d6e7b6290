"""Schedules: when one is due next. All in UTC."""

from datetime import UTC, datetime

from croniter import croniter

from falaj.definitions.schedule import check_schedule


def next_due(schedule: str, after: datetime) -> datetime:
    """Return the first due instant strictly after the given one, aware UTC.

    Args:
        schedule: A name of `NAMED` or a cron line, in UTC.
        after: Aware; usually when it was last due.

    Raises:
        DefinitionError: The schedule is not one, or names a day that never comes.

    Example:
        >>> next_due("weekly", datetime(2026, 1, 1, 12, tzinfo=UTC)).isoformat()
        '2026-01-05T00:00:00+00:00'
    """
    due: datetime = croniter(check_schedule(schedule), after.astimezone(UTC)).get_next(datetime)
    return due


def is_due(schedule: str, last: datetime, now: datetime) -> bool:
    """Return whether the schedule came due after `last` and up to `now`; several missed turns count as one.

    Example:
        >>> is_due("daily", datetime(2026, 1, 1, 12, tzinfo=UTC), datetime(2026, 1, 4, tzinfo=UTC))
        True
    """
    return next_due(schedule, last) <= now
