"""Watched sources on real rooms: silence and bad rows open alerts, and good rows close them."""

from collections.abc import Iterator
from pathlib import Path

import pytest

import falaj as fj
from falaj.kernel.errors import DefinitionError
from falaj.lifecycle.source_watch import SourceWatching
from falaj.monitoring.alerts import list_alerts
from support.rooms_world import World, definitions, endpoint, event, model, opened, source, view

WATCHED = source(
    checks=[fj.check.between("amount", 0, 100), fj.check.between("amount", 0, 50, severity="warn")],
    watch=fj.watch(stale_after="1h", max_failing=0.05, max_missing={"is_fraud": 0.2}, window=100),
)


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    with opened(tmp_path, definitions(endpoint(of=model(over=view(WATCHED))))) as found:
        yield found


def watch(world: World, after_s: float = 11) -> list[tuple[str, str]]:
    """Let the reconciler look, and return the open alerts' rules and messages."""
    world.clock.advance(after_s)
    SourceWatching(world.rooms).run_pass(world.clock.now())
    with world.rooms.db.read() as connection:
        return [(one.alert.rule, one.alert.message) for one in list_alerts(connection, only_open=True)]


def push(world: World, first: int, rows: int, *, bad: int = 0, **changes: object) -> None:
    """Push events of which the last few have an amount that no row may have."""
    amounts = [10.0] * (rows - bad) + [1000.0] * bad
    world.push(*(event(first + n, 0, **({"amount": amounts[n]} | changes)) for n in range(rows)))


def test_a_source_that_falls_silent_is_told_until_a_row_comes(world: World) -> None:
    assert watch(world) == []  # nothing ever came: it has not fallen silent
    push(world, 0, 1)
    assert watch(world) == []
    assert watch(world, 3600) == [("freshness", "no row arrived for more than 1h")]
    assert watch(world, 3600) == [("freshness", "no row arrived for more than 1h")]
    push(world, 1, 1)
    assert watch(world) == []


def test_rows_that_checks_refuse_are_told_and_each_is_judged_once(world: World) -> None:
    push(world, 0, 100)
    assert watch(world) == []
    push(world, 100, 100, bad=20)
    message = "20.0 % of 100 new rows: amount is not between 0 and 100; 5 % is allowed"
    assert watch(world) == [("data_quality", message)]
    push(world, 200, 50)
    assert watch(world) == [("data_quality", message)]  # not enough new rows to say otherwise
    push(world, 250, 50)
    assert watch(world) == []


def test_rows_that_only_warn_count_too(world: World) -> None:
    push(world, 0, 100, amount=70.0)
    ((rule, message),) = watch(world)
    assert rule == "data_quality"
    assert message == "100.0 % of 100 new rows: amount is not between 0 and 50; 5 % is allowed"


def test_missing_values_are_held_against_their_own_bound(world: World) -> None:
    world.push(*(event(n, None if n < 60 else 0) for n in range(100)))
    assert watch(world) == [("data_quality", "60.0 % of 100 new rows: is_fraud is missing; 20 % is allowed")]


def test_of_a_history_only_its_end_is_judged(world: World) -> None:
    push(world, 0, 200, bad=0, amount=1000.0)
    push(world, 200, 150)
    assert watch(world) == []


def test_a_watch_of_a_column_that_is_not_there_is_refused(tmp_path: Path) -> None:
    wrong = source(watch=fj.watch(max_missing={"amont": 0.1}))
    wanted = definitions(endpoint(of=model(over=view(wrong))))
    with pytest.raises(DefinitionError, match="watches 'amont', which it does not have"), opened(tmp_path, wanted):
        pass


@pytest.mark.parametrize("wrong", [{"max_failing": 1.0}, {"max_missing": {"a": -0.1}}, {"window": 99}])
def test_a_watch_out_of_range_is_refused(wrong: dict[str, object]) -> None:
    with pytest.raises(DefinitionError, match="out of range"):
        fj.watch(**wrong)  # type: ignore[arg-type]
