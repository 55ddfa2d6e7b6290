"""Schedules: when one is due next, in UTC or by the clocks of a time zone."""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

from croniter import croniter

from falaj.definitions.schedule import check_schedule

_NEAR = timedelta(days=2)
"""A change of clocks further away moves no local time past another one here."""


def next_due(schedule: str, after: datetime, time_zone: str = "UTC") -> datetime:
    """Return the first due instant strictly after the given one, aware UTC.

    Where clocks change, a line for certain hours is due once on each day that it names: at the first instant after the
    gap where its time is skipped, and at the first of two where its time comes twice. A line for every hour, whose
    second field begins with `*`, is due whenever clocks show its time.

    Args:
        schedule: A name of `NAMED` or a cron line.
        after: Aware; usually when it was last due.
        time_zone: Whose clocks the line is about.

    Raises:
        DefinitionError: The schedule is not one, or names a day that never comes.

    Example:
        >>> next_due("weekly", datetime(2026, 1, 1, 12, tzinfo=UTC)).isoformat()
        '2026-01-05T00:00:00+00:00'
        >>> next_due("30 2 * * *", datetime(2026, 3, 28, 12, tzinfo=UTC), "Europe/Berlin").isoformat()
        '2026-03-29T01:00:00+00:00'
    """
    line = check_schedule(schedule)
    if time_zone == "UTC":
        due: datetime = croniter(line, after.astimezone(UTC)).get_next(datetime)
        return due
    zone = ZoneInfo(time_zone)
    local_after = after.astimezone(zone).replace(tzinfo=None)
    best: datetime | None = None
    for local in _local_times(line, local_after - _moved(after, zone)):
        if best is not None and local > best.astimezone(zone).replace(tzinfo=None) + _moved(best, zone):
            break
        later = [at for at in _instants(local, zone, every_hour=line.split()[1].startswith("*")) if at > after]
        best = min([*later, *([] if best is None else [best])], default=None)
    assert best is not None
    return best


def is_due(schedule: str, last: datetime, now: datetime, time_zone: str = "UTC") -> bool:
    """Return whether the schedule came due after `last` and up to `now`; several missed turns count as one.

    Example:
        >>> is_due("daily", datetime(2026, 1, 1, 12, tzinfo=UTC), datetime(2026, 1, 4, tzinfo=UTC))
        True
    """
    return next_due(schedule, last, time_zone) <= now


def last_due(schedule: str, since: datetime, now: datetime, time_zone: str = "UTC") -> datetime | None:
    """Return the last instant after `since` and up to `now` at which the schedule was due; None where it was not.

    Example:
        >>> last_due("daily", datetime(2026, 1, 1, 12, tzinfo=UTC), datetime(2026, 1, 4, 9, tzinfo=UTC)).day
        4
    """
    # From shortly before now first: after a long absence a line for every minute has a great many turns.
    step = timedelta(hours=3)
    while True:
        begin = max(since, now - step)
        due = next_due(schedule, begin, time_zone)
        if due <= now:
            break
        if begin == since:
            return None
        step *= 8
    while (following := next_due(schedule, due, time_zone)) <= now:
        due = following
    return due


def _moved(at: datetime, zone: ZoneInfo) -> timedelta:
    """Return by how much clocks are set around an instant, and a little more."""
    offsets = [(at + by).astimezone(zone).utcoffset() or timedelta() for by in (-_NEAR, timedelta(), _NEAR)]
    return max(offsets) - min(offsets) + timedelta(minutes=1)


def _local_times(line: str, after: datetime) -> Iterator[datetime]:
    """Yield the times that the line names, as clocks without a zone would show them."""
    times = croniter(line, after.replace(tzinfo=UTC))
    while True:
        found: datetime = times.get_next(datetime)
        yield found.replace(tzinfo=None)


def _instants(local: datetime, zone: ZoneInfo, *, every_hour: bool) -> list[datetime]:
    """Return the instants that a time on the clocks of a zone means: none, one or two."""
    both = [local.replace(tzinfo=zone, fold=fold).astimezone(UTC) for fold in (0, 1)]
    shown = [at for at in both if at.astimezone(zone).replace(tzinfo=None) == local]
    if not shown:
        return [] if every_hour else [_after_gap(both, zone)]
    return sorted({*shown}) if every_hour else [min(shown)]


def _after_gap(both: list[datetime], zone: ZoneInfo) -> datetime:
    """Return the first instant after the gap that a skipped time lies in, to the minute."""
    # Read with the offset from after the change, the time lies before it, and with that from before, behind it.
    low, high = min(both), max(both)
    offset = low.astimezone(zone).utcoffset()
    while high - low > timedelta(seconds=1):
        middle = low + (high - low) / 2
        if middle.astimezone(zone).utcoffset() == offset:
            low = middle
        else:
            high = middle
    return (high + timedelta(seconds=30)).replace(second=0, microsecond=0)
