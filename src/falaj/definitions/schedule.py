"""Schedule: "daily", "weekly", or a cron line of five fields, in UTC or in a time zone."""

from datetime import UTC, datetime
from zoneinfo import ZoneInfo

from falaj.kernel.errors import DefinitionError

NAMED = {"hourly": "0 * * * *", "daily": "0 0 * * *", "weekly": "0 0 * * 1", "monthly": "0 0 1 * *"}
"""Weeks begin on Monday, as in ISO 8601."""


def check_schedule(schedule: str) -> str:
    """Return the cron line that a schedule means.

    Raises:
        DefinitionError: It is neither a known name nor a cron line of five fields, or names a day that never comes.

    Example:
        >>> check_schedule("weekly")
        '0 0 * * 1'
    """
    from croniter import croniter  # most projects have no schedule, and need not wait for it

    line = NAMED.get(schedule, schedule)
    if len(line.split()) != 5 or not croniter.is_valid(line):
        raise DefinitionError(
            f"schedule {schedule!r} is not one", hint=f"write {', '.join(NAMED)}, or a cron line like '30 4 * * 1-5'"
        )
    try:
        croniter(line, datetime(2026, 1, 1, tzinfo=UTC)).get_next(datetime)
    except ValueError:
        raise DefinitionError(f"schedule {schedule!r} is never due", hint="name a day that exists") from None
    return line


def check_time_zone(name: str) -> str:
    """Return the name of a time zone if there is one.

    Raises:
        DefinitionError: There is none of that name, or it is no name at all.

    Example:
        >>> check_time_zone("Europe/Berlin")
        'Europe/Berlin'
    """
    try:
        ZoneInfo(name)
    except (KeyError, ValueError, OSError, TypeError):
        raise DefinitionError(
            f"time zone {name!r} does not exist", hint="write 'UTC', or a name of the IANA list like 'Europe/Berlin'"
        ) from None
    return name
