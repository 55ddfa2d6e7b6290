"""Schedules in UTC."""

from datetime import UTC, datetime, timedelta, timezone

import pytest

import falaj as fj
from falaj.definitions.schedule import NAMED, check_schedule
from falaj.kernel.errors import DefinitionError
from falaj.pipelines.schedule import is_due, next_due

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
