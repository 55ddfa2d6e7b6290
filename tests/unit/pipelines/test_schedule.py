"""Schedules, in UTC and by the clocks of time zones."""

from datetime import UTC, datetime, timedelta, timezone
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import falaj as fj
from falaj.definitions.schedule import NAMED, check_schedule, check_time_zone
from falaj.kernel.errors import DefinitionError
from falaj.pipelines.schedule import is_due, last_due, next_due

THURSDAY = datetime(2026, 1, 1, 12, 30, tzinfo=UTC)


@pytest.mark.parametrize(
    ("schedule", "due"),
    [
        ("hourly", "2026-01-01T13:00:00+00:00"),
        ("daily", "2026-01-02T00:00:00+00:00"),
        ("weekly", "2026-01-05T00:00:00+00:00"),
        ("monthly", "2026-02-01T00:00:00+00:00"),
        ("*/15 * * * *", "2026-01-01T12:45:00+00:00"),
        ("0 0 29 2 *", "2028-02-29T00:00:00+00:00"),
    ],
)
def test_next(schedule: str, due: str) -> None:
    assert next_due(schedule, THURSDAY).isoformat() == due


@pytest.mark.parametrize("schedule", NAMED)
def test_the_next_is_strictly_later(schedule: str) -> None:
    due = next_due(schedule, THURSDAY)
    assert next_due(schedule, due) > due
    assert next_due(schedule, due - timedelta(microseconds=1)) == due


def test_instants_of_other_zones_are_the_same_instants() -> None:
    dubai = THURSDAY.astimezone(timezone(timedelta(hours=4)))
    assert next_due("daily", dubai) == next_due("daily", THURSDAY)


def test_due_is_closed_at_its_instant() -> None:
    midnight = datetime(2026, 1, 2, tzinfo=UTC)
    assert not is_due("daily", THURSDAY, midnight - timedelta(microseconds=1))
    assert is_due("daily", THURSDAY, midnight)


@pytest.mark.parametrize(
    "schedule", ["", "fortnightly", "a b c d e", "* * * *", "61 * * * *", "* * * * * *", "@daily", "0 0 30 2 *"]
)
def test_what_is_no_schedule_is_refused(schedule: str) -> None:
    for refuses in (check_schedule, fj.on.schedule):
        with pytest.raises(DefinitionError, match="schedule"):
            refuses(schedule)


@pytest.mark.parametrize("schedule", [*NAMED, "30 4 * * 1-5"])
def test_a_trigger_takes_what_is_a_schedule(schedule: str) -> None:
    assert fj.on.schedule(schedule).schedule == schedule


BERLIN, LORD_HOWE, APIA = "Europe/Berlin", "Australia/Lord_Howe", "Pacific/Apia"


@pytest.mark.parametrize(
    ("line", "zone", "after", "due"),
    [
        (
            "30 2 * * *",
            BERLIN,
            "2026-03-28T12:00",
            ["2026-03-29T01:00", "2026-03-30T00:30"],
        ),  # skipped: once, behind it
        ("30 2 * * *", BERLIN, "2026-10-24T12:00", ["2026-10-25T00:30", "2026-10-26T01:30"]),  # comes twice: once
        ("15 2,3 * * *", BERLIN, "2026-03-28T12:00", ["2026-03-29T01:00", "2026-03-29T01:15"]),
        ("*/30 * * * *", BERLIN, "2026-10-25T00:10", ["2026-10-25T00:30", "2026-10-25T01:00", "2026-10-25T01:30"]),
        ("0 * * * *", BERLIN, "2026-03-29T00:30", ["2026-03-29T01:00", "2026-03-29T02:00"]),
        ("daily", "Asia/Dubai", "2026-01-01T12:00", ["2026-01-01T20:00", "2026-01-02T20:00"]),
        ("0 2 * * *", LORD_HOWE, "2026-10-03T00:00", ["2026-10-03T15:30", "2026-10-04T15:00"]),  # by half an hour
        ("0 12 * * *", APIA, "2011-12-29T12:00", ["2011-12-29T22:00", "2011-12-30T10:00"]),  # a whole day left out
    ],
)
def test_clocks_that_change(line: str, zone: str, after: str, due: list[str]) -> None:
    at, found = datetime.fromisoformat(f"{after}+00:00"), []
    for _ in due:
        at = next_due(line, at, zone)
        found.append(at.isoformat()[:16])
    assert found == due


@settings(max_examples=40, deadline=None)
@given(
    zone=st.sampled_from([BERLIN, LORD_HOWE, "America/New_York", "Asia/Dubai"]),
    minutes=st.sampled_from(["0", "*/20", "45", "5,35"]),
    hours=st.sampled_from(["*", "*/3", "0", "1", "2", "1-3", "23"]),
    start=st.datetimes(datetime(2026, 3, 1), datetime(2026, 11, 30)),  # noqa: DTZ001 given its zone below
    near=st.sampled_from(["2026-03-08", "2026-03-29", "2026-04-05", "2026-10-04", "2026-10-25", "2026-11-01", ""]),
)
def test_next_is_the_first_minute_that_the_clocks_say(
    zone: str, minutes: str, hours: str, start: datetime, near: str
) -> None:
    """The naive definition: look at every minute, and at what clocks there show."""
    at = datetime.fromisoformat(near).replace(hour=start.hour) - timedelta(hours=14) if near else start
    after = at.replace(second=0, microsecond=0, tzinfo=UTC)
    assert next_due(f"{minutes} {hours} * * *", after, zone) == naive_next(minutes, hours, after, ZoneInfo(zone))


def naive_next(minutes: str, hours: str, after: datetime, zone: ZoneInfo) -> datetime:
    def named(field: str, value: int) -> bool:
        if field.startswith("*"):
            return value % int(field.partition("/")[2] or 1) == 0
        parts = [part.partition("-") for part in field.split(",")]
        return any(int(low) <= value <= int(high or low) for low, _, high in parts)

    def shown(local: datetime) -> bool:
        return named(minutes, local.minute) and named(hours, local.hour)

    minute, at = timedelta(minutes=1), after + timedelta(minutes=1)
    while True:
        now, before = at.astimezone(zone), (at - minute).astimezone(zone)
        skipped = now.replace(tzinfo=None) - before.replace(tzinfo=None)
        if shown(now) and (hours.startswith("*") or now.fold == 0):
            return at
        if skipped > minute and not hours.startswith("*"):
            count = int(skipped / minute)
            if any(shown(before.replace(tzinfo=None) + number * minute) for number in range(1, count)):
                return at
        at += minute


@pytest.mark.parametrize(
    ("since", "now", "due"),
    [
        ("2026-01-01T12:00", "2026-01-04T09:00", "2026-01-03T23:00"),
        ("2026-01-01T12:00", "2026-01-01T22:00", None),
        ("2020-01-01T00:00", "2026-01-04T09:00", "2026-01-03T23:00"),
    ],
)
def test_of_several_missed_turns_the_last_counts(since: str, now: str, due: str | None) -> None:
    before, after = (datetime.fromisoformat(f"{text}+00:00") for text in (since, now))
    found = last_due("daily", before, after, BERLIN)
    assert (None if found is None else found.isoformat()[:16]) == due


def test_an_unknown_time_zone_is_refused() -> None:
    with pytest.raises(DefinitionError, match="time zone 'Mars/Olympus' does not exist"):
        check_time_zone("Mars/Olympus")
