"""Triggers on real rooms: each occasion starts one run, at its time, and never none."""

from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import msgspec
import pytest
import sqlalchemy as sa
from hypothesis import given, settings
from hypothesis import strategies as st

import falaj as fj
from falaj.cost.meter import Usage
from falaj.definitions.endpoint import Endpoint
from falaj.governance.access import SYSTEM
from falaj.kernel.clock import to_us
from falaj.kernel.errors import Conflict, DefinitionError, FalajError
from falaj.lifecycle.each import for_each
from falaj.lifecycle.judging import wish_once
from falaj.lifecycle.known_labels import known_labels
from falaj.lifecycle.occasions import Occasion, Occasions
from falaj.lifecycle.promotion import roll_back_endpoint, withdraw_endpoint
from falaj.lifecycle.triggers import Triggers, calling
from falaj.lifecycle.watching import Watching
from falaj.lifecycle.wishes import wish, wishes
from falaj.models.gate_report import Outcome
from falaj.models.version import ModelVersion
from falaj.monitoring.alerts import list_alerts, resolve_alert
from falaj.pipelines.runs import Run, RunState, list_runs
from falaj.pipelines.submission import end_run
from support.rooms_world import (
    ADA,
    EVE,
    SCHEMA,
    START,
    Deaths,
    Killed,
    World,
    definitions,
    endpoint,
    event,
    model,
    opened,
    source,
    view,
)

HOUR = 3600.0
DAY = 24 * 60
"""The number of the event that comes a day after the first one: then the first one's label is mature."""
LATER = event(10 * DAY)
"""An event after which the labels of all others are mature."""


def retrained(*on: fj.on.Trigger, cooldown: str = "6h", min_new_labels: int = 0, **limits: Any) -> Endpoint:
    return endpoint(
        monitor=fj.monitor(window=200, persistence=1),
        retrain=fj.retrain(on=list(on), cooldown=cooldown, min_new_labels=min_new_labels, **limits),
    )


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    """A project without triggers, whose first version serves."""
    with opened(tmp_path, definitions()) as found:
        serve(found)
        yield found


def serve(world: World, **more: Any) -> ModelVersion:
    """Let a new version take all traffic."""
    version = world.register(reference_digest=world.references(), **more)
    world.approve(version)
    if world.deploy(version).state == "rolling out":
        world.promote(version)
    return version


def declare(world: World, wanted: Endpoint) -> None:
    """Apply an endpoint, and let its triggers see it."""
    world.apply(definitions(wanted))
    assert not look(world)


def look(world: World) -> bool:
    return Triggers(world.rooms).run_pass(world.clock.now())


def the_endpoint(world: World) -> Endpoint:
    return world.rooms.definitions.endpoint("fraud")


def runs(world: World) -> list[Run]:
    return list_runs(world.rooms.db, pipeline="train:fraud")


def end(world: World, state: RunState, gate: Outcome | None = None) -> None:
    """End the newest run, with a version where its gate is given."""
    newest = runs(world)[0]
    if gate is not None:
        world.register(run_id=newest.id, actor=newest.actor, gate=gate)
    with world.rooms.db.write() as connection:
        end_run(connection, newest.id, state, to_us(world.clock.now()), None)


def drift(world: World, version: int = 1) -> None:
    """Let enough decisions about odd amounts come for an alert."""
    world.decided(version, 400, mean=500.0)
    world.clock.advance(1)
    Watching(world.rooms).run_pass(world.clock.now())


def test_a_schedule_counts_from_its_first_sight_and_fires_once_a_turn(world: World) -> None:
    world.clock.advance(-3 * HOUR)  # just before Monday
    declare(world, retrained(fj.on.schedule("weekly"), cooldown="1h"))
    world.clock.set(START - timedelta(microseconds=1))
    assert not look(world)
    world.clock.set(START)
    assert look(world)
    assert [(run.reason, run.actor) for run in runs(world)] == [("schedule 'weekly'", "system")]
    end(world, RunState.SUCCEEDED, Outcome.PASS)
    world.clock.set(START + timedelta(days=6, hours=23))
    assert not look(world)
    world.clock.set(START + timedelta(days=21))  # three turns missed are one
    assert look(world)
    end(world, RunState.SUCCEEDED, Outcome.PASS)
    world.clock.advance(2 * HOUR)
    assert not look(world)


def test_a_schedule_that_is_declared_later_is_not_late(world: World) -> None:
    declare(world, retrained(fj.on.drift()))
    world.clock.advance(30 * 24 * HOUR)
    declare(world, retrained(fj.on.drift(), fj.on.schedule("daily")))
    assert not look(world)
    world.clock.advance(24 * HOUR)
    assert look(world)


def test_a_schedule_that_was_taken_out_for_a_while_is_not_late(world: World) -> None:
    declare(world, retrained(fj.on.schedule("daily")))
    declare(world, endpoint())
    world.clock.advance(30 * 24 * HOUR)
    assert not look(world)
    declare(world, retrained(fj.on.schedule("daily")))
    assert not look(world)
    world.clock.advance(24 * HOUR)
    assert look(world)


def test_labels_count_from_the_last_training_whoever_asked_for_it(world: World) -> None:
    declare(world, retrained(fj.on.new_labels(3)))  # it has seen no label when it is declared
    world.push(*(event(number, label=0) for number in range(100)), LATER)
    serve(world, labels=100)  # and a person trained on a hundred since
    assert not look(world)
    world.push(event(100, label=1), event(101, label=0), event(102))
    assert not look(world)
    world.push(event(103, label=1))
    assert look(world)
    assert runs(world)[0].reason == "3 new labels"
    world.push(event(104, label=1))
    with world.rooms.db.write() as connection:
        end_run(connection, runs(world)[0].id, RunState.SUCCEEDED, 0, None)
    world.register(run_id=runs(world)[0].id, actor="system", labels=104)  # the run itself read the fourth one
    world.clock.advance(7 * HOUR)
    assert not look(world)


def test_no_run_below_the_least_new_labels(world: World) -> None:
    declare(world, retrained(fj.on.schedule("hourly"), cooldown="0s", min_new_labels=2))
    world.clock.advance(HOUR)
    world.push(event(1, label=0), event(1, label=0), event(1, label=1, known=START + timedelta(days=1)), LATER)
    assert not look(world)  # one event, sent twice and corrected
    world.push(event(2, label=0))
    assert look(world)


def test_labels_of_events_younger_than_their_delay_are_nothing_to_learn_from_yet(world: World) -> None:
    declare(world, retrained(fj.on.new_labels(3), min_new_labels=3))
    world.push(*(event(number, label=number % 2) for number in range(3)))
    assert not look(world)  # as of the latest event, all three are minutes old, and a label takes a day
    world.push(event(DAY + 1))
    assert not look(world)  # two of the three have had their day
    world.push(event(DAY + 2))
    assert look(world)
    assert runs(world)[0].reason == "3 new labels"


@settings(max_examples=20, deadline=None)
@given(
    sent=st.lists(st.tuples(st.integers(0, 5), st.sampled_from([None, 0, 1])), min_size=1, max_size=12),
    named=st.booleans(),
    delay=st.sampled_from(["0s", "1m", "3m", "1d"]),
)
def test_known_labels_are_the_distinct_ids_that_a_training_learns_from(
    tmp_path_factory: pytest.TempPathFactory, sent: list[tuple[int, int | None]], named: bool, delay: str
) -> None:
    activity = view(source(id="id" if named else None))
    of = endpoint(of=model(over=activity, label=fj.Label(activity.source, "is_fraud", delay=delay)))
    with opened(tmp_path_factory.mktemp("labels"), definitions(of)) as world:
        world.push(*(event(number, label=label) for number, label in sent))
        label = world.rooms.definitions.model("fraud").label
        newest = max(number for number, _ in sent)
        labelled = [n for n, known in sent if known is not None and n + label.delay_us // 60_000_000 <= newest]
        assert known_labels(world.rooms, label) == (len(set(labelled)) if named else len(labelled))


def test_labels_of_another_column_are_counted_anew(tmp_path: Path) -> None:
    """The table is the same one, and what was counted of it is another label."""
    rows = source(schema=SCHEMA | {"late": "int64"})

    def wanted(column: str) -> Endpoint:
        label = fj.Label(rows, column, delay="1d")
        return endpoint(of=model(over=view(rows), label=label), retrain=fj.retrain(on=[fj.on.new_labels(3)]))

    with opened(tmp_path, definitions(wanted("is_fraud"))) as world:
        world.push(*(event(number, label=0, late=None) for number in range(5)), event(10 * DAY, late=None))
        occasions = Occasions(world.rooms)
        assert occasions.fresh_labels(the_endpoint(world)) == 5
        world.apply(definitions(wanted("late")))
        assert occasions.fresh_labels(the_endpoint(world)) == 0


def test_nothing_is_trained_for_an_endpoint_that_serves_nothing(world: World) -> None:
    declare(world, retrained(fj.on.schedule("hourly"), cooldown="0s"))
    withdraw_endpoint(world.rooms, "fraud", ADA)
    world.clock.advance(2 * HOUR)
    assert not look(world)


def test_what_a_trigger_trained_does_not_bring_a_withdrawn_endpoint_back(world: World) -> None:
    withdraw_endpoint(world.rooms, "fraud", ADA)
    wish_once(world.rooms, "fraud", world.register(actor="system"))
    with world.rooms.db.read() as connection:
        assert wishes(connection) == []


def test_what_a_trigger_trained_is_wished_for_until_it_was_rolled_out(world: World) -> None:
    version = world.register(actor="system")
    for _ in range(2):
        wish_once(world.rooms, "fraud", version)
    with world.rooms.db.read() as connection:
        assert [one.version for one in wishes(connection)] == [2]
    world.approve(version)
    world.deploy(version)
    roll_back_endpoint(world.rooms, "fraud", ADA, "no")
    wish_once(world.rooms, "fraud", version)
    with world.rooms.db.read() as connection:
        assert wishes(connection) == []


def test_what_a_trigger_trained_does_not_replace_what_a_person_waits_for(world: World) -> None:
    wanted, trained = world.register(), world.register(actor="system")
    wish(world.rooms, "fraud", wanted, ADA)
    wish_once(world.rooms, "fraud", trained)
    with world.rooms.db.read() as connection:
        assert [one.version for one in wishes(connection)] == [wanted.version]


def test_an_alert_starts_one_run_and_another_only_where_that_one_failed(world: World) -> None:
    declare(world, retrained(fj.on.drift(), cooldown="1h"))
    drift(world)
    assert look(world)
    assert runs(world)[0].reason.startswith("drift: amount drifted")
    assert not look(world)  # one run of a model at a time
    end(world, RunState.FAILED)
    assert not look(world)
    world.clock.advance(HOUR - 1)
    assert not look(world)
    world.clock.advance(1)
    assert look(world)
    end(world, RunState.SUCCEEDED, Outcome.FAIL)
    world.clock.advance(48 * HOUR)
    assert not look(world)


@pytest.mark.parametrize("gate", ["FAIL", "INCONCLUSIVE"])
def test_an_alert_that_lasts_starts_another_run_when_the_first_made_nothing_and_labels_came(
    world: World, gate: Outcome
) -> None:
    declare(world, retrained(fj.on.drift(), cooldown="1h"))
    drift(world)
    assert look(world)
    end(world, RunState.SUCCEEDED, Outcome(gate))
    world.clock.advance(48 * HOUR)
    assert not look(world), "on the same labels it would make the same version"
    world.push(event(1, label=1), LATER)
    assert look(world)
    end(world, RunState.SUCCEEDED, Outcome.PASS)
    world.push(event(2, label=1))
    world.clock.advance(48 * HOUR)
    assert not look(world), "what passed its gate waits for whoever lets it serve"


def test_an_alert_that_lasts_starts_another_run_when_the_first_version_was_refused(world: World) -> None:
    declare(world, retrained(fj.on.drift(), cooldown="1h"))
    drift(world)
    assert look(world)
    end(world, RunState.SUCCEEDED, Outcome.PASS)
    asked = world.rooms.approvals.request("model", "fraud/2", SYSTEM)
    world.push(event(1, label=1), LATER)
    world.clock.advance(48 * HOUR)
    assert not look(world), "it waits for an answer"
    world.rooms.approvals.reject(asked.id, EVE, "too few of the new cards")
    assert look(world)


def test_an_alert_that_lasts_starts_another_run_when_the_first_version_came_back(world: World) -> None:
    declare(world, retrained(fj.on.drift(), cooldown="1h"))
    drift(world)
    assert look(world)
    end(world, RunState.SUCCEEDED, Outcome.PASS)
    second = world.rooms.registry.get("fraud", 2)
    world.approve(second)
    world.deploy(second)
    world.push(event(1, label=1), LATER)
    world.clock.advance(48 * HOUR)
    assert not look(world), "its canary is under way"
    roll_back_endpoint(world.rooms, "fraud", ADA, "it errs")
    assert look(world)


def test_a_run_that_a_person_cancelled_is_not_asked_for_again(world: World) -> None:
    declare(world, retrained(fj.on.drift(), cooldown="1h"))
    drift(world)
    assert look(world)
    end(world, RunState.CANCELLED)
    world.clock.advance(48 * HOUR)
    assert not look(world)


def test_the_pause_doubles_with_each_run_that_came_to_nothing(world: World) -> None:
    declare(world, retrained(fj.on.new_labels(1), cooldown="0s"))
    world.push(LATER)
    pauses = []
    for number in range(5):
        world.push(event(number, label=1))
        waited = 0
        while not look(world):
            world.clock.advance(30)
            waited += 30
        pauses.append(waited)
        end(world, *((RunState.SUCCEEDED, Outcome.FAIL) if number % 2 else (RunState.FAILED, None)))
    assert pauses == [0, 60, 120, 240, 480]
    world.clock.advance(16 * 60)
    world.push(event(9, label=1))
    assert look(world)
    end(world, RunState.SUCCEEDED, Outcome.PASS)
    world.push(event(10, label=1))
    assert look(world)


def test_an_alert_about_another_version_starts_nothing(world: World) -> None:
    declare(world, retrained(fj.on.drift(), cooldown="0s"))
    drift(world)
    serve(world)
    with world.rooms.db.write() as connection:  # as if the one that closes it had not come by yet
        connection.execute(sa.text("UPDATE alert SET resolved_at = NULL"))
        assert len(list_alerts(connection, only_open=True)) == 1
    assert not look(world)
    with world.rooms.db.write() as connection:
        resolve_alert(connection, "drift", "fraud", "", 0)
    drift(world, version=2)
    assert look(world)


def test_realised_quality_is_that_of_the_version_that_serves(world: World) -> None:
    declare(world, retrained(fj.on.performance("auc", at_least=0.7), cooldown="0s"))
    world.decided(1, 400, good=False)
    world.clock.advance(2 * 24 * HOUR)
    world.decided(1, 1)
    Watching(world.rooms).run_pass(world.clock.now())
    serve(world)  # before the triggers looked
    assert not look(world)
    roll_back_endpoint(world.rooms, "fraud", ADA, "after all")
    assert look(world)
    assert "realised auc" in runs(world)[0].reason


@pytest.mark.parametrize("metric", ["log_loss", "brier", "f1", "aucc", ""])
def test_a_metric_that_is_not_measured_or_is_better_when_less_is_refused(metric: str) -> None:
    with pytest.raises(DefinitionError, match="is not measured"):
        fj.on.performance(metric, at_least=0.5)


@pytest.mark.parametrize("committing", [False, True])
@pytest.mark.parametrize("at", range(3))
def test_a_death_leaves_a_run_and_what_is_remembered_of_it_or_neither(world: World, at: int, committing: bool) -> None:
    declare(world, retrained(fj.on.drift(), cooldown="1h"))
    drift(world)
    deaths = Deaths(world.rooms, at, committing=committing)
    try:
        look(world)
    except Killed:
        assert runs(world) == []
    assert deaths.died == (at == 0)
    del vars(world.rooms.db)["write"]
    look(world)
    end(world, RunState.SUCCEEDED, Outcome.FAIL)
    world.clock.advance(48 * HOUR)
    assert not look(world)
    assert len(runs(world)) == 1


def test_one_endpoint_that_fails_keeps_no_other_waiting(world: World) -> None:
    other = endpoint("second", model("second"), retrain=fj.retrain(on=[fj.on.schedule("hourly")], min_new_labels=0))
    world.apply(definitions(retrained(fj.on.schedule("hourly")), other))
    version = world.register("second")
    world.approve(version)
    world.deploy(version, to="second")
    look(world)
    with world.rooms.db.write() as connection:
        connection.execute(sa.text("UPDATE model_version SET body = '{' WHERE model = 'fraud'"))
    world.clock.advance(HOUR)
    with pytest.raises(FalajError, match="version fraud/1"):
        look(world)
    assert [run.pipeline for run in list_runs(world.rooms.db)] == ["train:second"]


def test_each_is_acted_on_and_the_first_failure_is_told() -> None:
    done = []

    def act(number: int) -> bool:
        done.append(number)
        if number in (1, 2):
            raise Conflict(f"number {number}")
        return number == 3

    with pytest.raises(Conflict, match="number 1"):
        for_each([0, 1, 2, 3], act)
    assert done == [0, 1, 2, 3]
    assert for_each([3, 0], act)
    assert not for_each([0], act)
    assert not for_each([], act)


def test_a_trigger_calls_as_long_as_the_debounce_says(world: World) -> None:
    declare(world, retrained(fj.on.drift(), cooldown="0s", debounce="30m"))
    drift(world)
    assert not look(world)
    world.clock.advance(29 * 60)
    assert not look(world)
    with world.rooms.db.write() as connection:
        resolve_alert(connection, "drift", "fraud", "", 0)
    assert not look(world)  # it stopped calling, and begins anew
    drift(world)
    assert not look(world)
    world.clock.advance(HOUR / 2 - 1)
    assert not look(world)
    world.clock.advance(1)
    assert look(world)
    assert len(runs(world)) == 1


def test_a_schedule_needs_no_debounce(world: World) -> None:
    declare(world, retrained(fj.on.schedule("hourly"), cooldown="0s", debounce="2h"))
    world.clock.advance(HOUR)
    assert look(world)


@settings(max_examples=30, deadline=None)
@given(
    calls=st.lists(st.tuples(st.integers(0, 40), st.booleans()), min_size=1, max_size=15),
)
def test_a_trigger_has_called_since_it_last_did_not(calls: list[tuple[int, bool]]) -> None:
    """Naively: a trigger has called since the first look after the last one at which it did not."""
    trigger, now, before, since = fj.on.drift(), 0, dict[str, int](), None
    for seconds, on in calls:
        now += seconds
        since = (now if since is None else since) if on else None
        before = calling(before, [Occasion(trigger, "k", "s")] if on else [], now)
        assert before == ({} if since is None else {trigger.text: since})


def test_so_many_runs_within_a_day_and_no_more(world: World) -> None:
    declare(world, retrained(fj.on.schedule("hourly"), cooldown="0s", max_runs_per_day=3))
    started = []
    for hour in range(1, 60):
        world.clock.advance(HOUR)
        if look(world):
            started.append(hour)
            end(world, RunState.SUCCEEDED, Outcome.PASS)
    assert started == [1, 2, 3, 25, 26, 27, 49, 50, 51]


def test_what_a_person_trains_counts_for_the_cost_of_a_day_and_not_for_its_runs(world: World) -> None:
    declare(world, retrained(fj.on.schedule("hourly"), cooldown="0s", max_runs_per_day=1, max_cost_per_day=1.0))
    per_hour = world.rooms.settings.cost.cpu_core_hour
    world.rooms.meter.record(Usage("pipeline", "train:fraud", cpu_seconds=0.6 / per_hour * 3600))
    world.rooms.meter.record(Usage("pipeline", "train:other", cpu_seconds=9.0 / per_hour * 3600))
    world.clock.advance(HOUR)
    world.rooms.meter.record(Usage("pipeline", "train:fraud", cpu_seconds=0.4 / per_hour * 3600))
    assert not look(world)
    assert [brake.kind for brake in Triggers(world.rooms).held(the_endpoint(world), world.clock.now())] == [
        "max_cost_per_day"
    ]
    world.clock.advance(23 * HOUR + 1)  # the first of the two is older than a day
    assert look(world)


def test_two_endpoints_over_one_model_share_its_cooldown(world: World) -> None:
    first = retrained(fj.on.schedule("hourly"), cooldown="3h")
    second = msgspec.structs.replace(first, name="second")
    world.apply(definitions(first, second))
    world.deploy(world.rooms.registry.versions("fraud")[0], to="second")
    look(world)
    world.clock.advance(HOUR)
    assert look(world)
    end(world, RunState.SUCCEEDED, Outcome.PASS)
    world.clock.advance(3 * HOUR - 1)
    assert not look(world)
    world.clock.advance(1)
    assert look(world)
    assert len(runs(world)) == 2


def test_new_rows_count_from_what_the_last_training_read(world: World) -> None:
    declare(world, retrained(fj.on.new_data(3)))
    world.push(event(1, label=0), event(2))
    assert not look(world)
    world.push(event(3))
    assert look(world)
    assert runs(world)[0].reason == "3 new rows"
    end(world, RunState.SUCCEEDED)
    world.register(run_id=runs(world)[0].id, actor="system", rows=3)
    world.clock.advance(24 * HOUR)
    world.push(event(4), event(5))
    assert not look(world)
    world.push(event(6))
    assert look(world)


@pytest.mark.parametrize(
    ("limits", "told"),
    [
        ({"max_runs_per_day": 0}, "below 1"),
        ({"max_cost_per_day": 0.0}, "is no amount"),
        ({"max_cost_per_day": float("nan")}, "is no amount"),
        ({"debounce": "soon"}, "debounce"),
    ],
)
def test_limits_that_make_no_sense_are_refused(limits: dict[str, Any], told: str) -> None:
    with pytest.raises(FalajError, match=told):
        fj.retrain(on=[fj.on.drift()], **limits)
