"""Schedules: the next due instant of "daily", "weekly" or a cron line. All in UTC."""

from datetime import UTC, datetime

from croniter import croniter

from falaj.kernel.errors import DefinitionError

NAMED = {"hourly": "0 * * * *", "daily": "0 0 * * *", "weekly": "0 0 * * 1", "monthly": "0 0 1 * *"}
"""Weeks begin on Monday, as in ISO 8601."""


def check_schedule(schedule: str) -> str:
    """Return the cron line that a schedule means.

    Raises:
        DefinitionError: It is neither a known name nor a cron line of five fields.

    Example:
        >>> check_schedule("weekly")
        '0 0 * * 1'
    """
    line = NAMED.get(schedule, schedule)
    if len(line.split()) != 5 or not croniter.is_valid(line):
        raise DefinitionError(
            f"schedule {schedule!r} is not one", hint=f"write {', '.join(NAMED)}, or a cron line like '30 4 * * 1-5'"
        )
    return line


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
    line = check_schedule(schedule)
    try:
        due: datetime = croniter(line, after.astimezone(UTC)).get_next(datetime)
    except (ValueError, KeyError):
        raise DefinitionError(f"schedule {schedule!r} is never due", hint="name a day that exists") from None
    return due


def is_due(schedule: str, last: datetime, now: datetime) -> bool:
    """Return whether the schedule came due after `last` and up to `now`; several missed turns count as one.

    Example:
        >>> is_due("daily", datetime(2026, 1, 1, 12, tzinfo=UTC), datetime(2026, 1, 4, tzinfo=UTC))
        True
    """
    return next_due(schedule, last) <= now
