"""Pipelines of a project's own files: started by people, by the clock and by events, and told of."""

import json
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

import falaj as fj
from falaj.app.backends import open_rooms, workers_for
from falaj.app.operation import perform
from falaj.definitions.project import collect
from falaj.governance.access import SYSTEM, Actor, Role
from falaj.governance.audit import list_records
from falaj.kernel.clock import ManualClock
from falaj.kernel.errors import InputError, NotFound, ProjectError
from falaj.kernel.settings import Settings
from falaj.lifecycle.apply import apply_definitions
from falaj.lifecycle.own_runs import instants
from falaj.lifecycle.pipeline_starts import PipelineStarts
from falaj.lifecycle.project import load_definitions
from falaj.lifecycle.rooms import Rooms
from falaj.lifecycle.run_notices import RunNotices
from falaj.monitoring.alerts import list_alerts
from falaj.pipelines.claims import Claims
from falaj.pipelines.graph import Graph, Step
from falaj.pipelines.process import this_worker
from falaj.pipelines.runs import get_run, list_runs, run_outputs
from falaj.pipelines.submission import submit
from support.rooms_world import source

ADA = Actor("ada", Role.ENGINEER)
START = datetime(2026, 3, 27, 12, tzinfo=UTC)
FILE = """
import datetime
import falaj as fj

@fj.step
def label(day: datetime.date, scale: int) -> dict[str, int]:
    print("labelling", day)
    if scale < 0:
        raise ValueError("below zero")
    return {{"day": day.day, "scaled": day.day * scale}}

@fj.pipeline({options})
def nightly(day: datetime.date = datetime.date(2026, 1, 1), scale: int = 2) -> dict[str, int]:
    return label(day, scale)
"""


class Shop:
    """A project with one pipeline of its own."""

    def __init__(self, rooms: Rooms, clock: ManualClock) -> None:
        self.rooms = rooms
        self.clock = clock
        self.starts = PipelineStarts(rooms)
        self.notices = RunNotices(rooms)

    def apply(self, options: str, *more: Any) -> None:
        (self.rooms.folder / "etl.py").write_text(FILE.format(options=options))
        definitions = load_definitions(self.rooms.folder, self.rooms.settings)
        declared = [*definitions.pipelines.values(), *more]
        apply_definitions(self.rooms, collect(("etl.py", one) for one in declared), ADA)

    def ask(self, operation: str, **params: Any) -> Any:
        return perform(self.rooms, ADA, operation, params)

    def at(self, now: datetime) -> bool:
        """Let it be then, look for what is due, and work it off."""
        self.clock.set(now)
        started = self.starts.run_pass(now)
        self.work()
        self.notices.run_pass(now)
        return started

    def work(self) -> None:
        for worker in workers_for(self.rooms):
            worker.run_until_idle()

    def params(self) -> list[dict[str, Any]]:
        """Those of every run, the oldest first."""
        return [run.params for run in reversed(list_runs(self.rooms.db))]

    def alerts(self) -> list[tuple[str, str, bool]]:
        with self.rooms.db.read() as connection:
            found = list_alerts(connection)
        return [(one.alert.rule, one.alert.severity, one.resolved_us is None) for one in reversed(found)]


@pytest.fixture
def shop(tmp_path: Path) -> Iterator[Shop]:
    clock = ManualClock(START)
    with open_rooms(tmp_path, Settings(), clock=clock) as rooms:
        yield Shop(rooms, clock)


def test_a_run_by_hand(shop: Shop) -> None:
    shop.apply("at='day'")
    run = shop.ask("run.start", pipeline="nightly", params={"day": "2026-02-05", "scale": "3"})
    shop.work()
    assert run_outputs(shop.rooms.db, run.id)["label"]["result"] == {"day": 5, "scaled": 15}
    logs = shop.ask("run.logs", run_id=run.id)
    assert logs.ended
    assert "labelling 2026-02-05" in logs.parts[0].text
    assert shop.ask("run.logs", run_id=run.id, step="label", after={"label": logs.parts[0].after}).parts == ()
    other = shop.ask("run.start", pipeline="nightly", params={"day": "2026-02-06"})
    shop.work()
    compared = shop.ask("run.compare", run_id=run.id, other=other.id)
    assert {side.name: (side.left, side.right) for side in compared.params} == {
        "day": ("2026-02-05", "2026-02-06"),
        "scale": (3, 2),
    }
    assert {side.name: (side.left, side.right) for side in compared.values} == {
        "label.day": (5, 6),
        "label.scaled": (15, 12),
    }


def test_code_is_that_of_the_files_now(shop: Shop) -> None:
    shop.apply("at='day'")
    file = shop.rooms.folder / "etl.py"
    file.write_text(file.read_text().replace("day.day * scale", "day.day + scale"))
    run = shop.ask("run.start", pipeline="nightly", params={"day": "2026-02-05"})
    shop.work()
    assert run_outputs(shop.rooms.db, run.id)["label"]["result"]["scaled"] == 7


def test_what_cannot_be_started_says_why(shop: Shop) -> None:
    shop.apply("")
    with pytest.raises(NotFound, match="pipeline 'nigthly' does not exist"):
        shop.ask("run.start", pipeline="nigthly")
    with pytest.raises(InputError, match="day='soon'"):
        shop.ask("run.start", pipeline="nightly", params={"day": "soon"})
    file = shop.rooms.folder / "etl.py"
    file.write_text(file.read_text().replace("return label(day, scale)", "return labl(day, scale)"))
    with pytest.raises(ProjectError, match=r"etl\.py:14: NameError"):
        shop.ask("run.start", pipeline="nightly")


def test_by_the_clock_over_a_change_of_clocks(shop: Shop) -> None:
    shop.apply("schedule='30 2 * * *', time_zone='Europe/Berlin', at='day'")
    assert not shop.at(START)  # the first sight
    for hours in range(1, 72):
        shop.at(START + timedelta(hours=hours))
    assert [one["day"] for one in shop.params()] == ["2026-03-28", "2026-03-29", "2026-03-30"]
    assert "schedule '30 2 * * *' of 2026-03-30T00:30:00Z" in list_runs(shop.rooms.db, limit=1)[0].reason


def test_what_starts_by_itself_is_the_doing_of_whoever_applied_it_last(shop: Shop) -> None:
    bob = Actor("bob", Role.OWNER)
    for one in (ADA, bob):
        shop.rooms.actors.create(one.name, one.role, SYSTEM)
    shop.apply("schedule='hourly'")
    shop.at(START)
    shop.at(START + timedelta(hours=1))
    shop.apply("schedule='hourly', time_zone='Europe/Berlin'")
    declared = load_definitions(shop.rooms.folder, shop.rooms.settings).pipelines.values()
    again = [("etl.py", one) for one in (*declared, source())]
    apply_definitions(shop.rooms, collect(again), bob)
    shop.at(START + timedelta(hours=2))
    shop.at(START + timedelta(hours=3))
    assert [run.actor for run in list_runs(shop.rooms.db)] == ["bob", "ada"]
    told = [one.actor for one in list_records(shop.rooms.db, action="run.submit")]
    assert told == ["bob", "ada"]


def test_turns_that_were_missed_make_one_run_for_the_last(shop: Shop) -> None:
    shop.apply("schedule='daily', at='day'")
    shop.at(START)
    assert shop.at(START + timedelta(days=9))
    assert not shop.at(START + timedelta(days=9, minutes=1))
    assert [one["day"] for one in shop.params()] == ["2026-04-05"]


def test_one_run_at_a_time_and_the_occasion_stays(shop: Shop) -> None:
    shop.apply("schedule='hourly'")
    shop.at(START)
    shop.clock.set(START + timedelta(hours=1))
    assert shop.starts.run_pass(START + timedelta(hours=1))
    assert not shop.starts.run_pass(START + timedelta(hours=2))
    shop.work()
    assert shop.starts.run_pass(START + timedelta(hours=2))
    assert len(list_runs(shop.rooms.db)) == 2


def push(shop: Shop, first: int, count: int) -> None:
    event = {"card_id": "c", "at": "2026-03-27T00:00:00Z", "amount": 1.0}
    events = [{**event, "id": f"e{number}"} for number in range(first, first + count)]
    shop.ask("source.push", source="tx", events=events)


def test_rows_of_a_source_start_a_run(shop: Shop) -> None:
    shop.apply("on=fj.on.rows('tx', at_least=3)", source())
    shop.at(START)
    push(shop, 0, 2)
    assert not shop.at(START)
    push(shop, 2, 2)
    assert shop.at(START)
    assert list_runs(shop.rooms.db)[0].reason == "4 new rows of source 'tx'"
    push(shop, 4, 2)
    assert not shop.at(START)


def test_a_file_in_what_a_source_follows_starts_a_run(shop: Shop) -> None:
    followed = source(stream=fj.Follow("in/*.jsonl"))
    shop.apply("on=[fj.on.file('tx')]", followed)
    (shop.rooms.folder / "in").mkdir()
    shop.at(START)
    line = {"id": "e", "card_id": "c", "at": "2026-03-27T00:00:00Z", "amount": 1.0}
    (shop.rooms.folder / "in/monday.jsonl").write_text(json.dumps(line) + "\n")
    schema = shop.rooms.applied.document.schemas["tx"]
    shop.rooms.feeds.take(followed, schema, limit=10, timeout_s=0)
    assert shop.at(START)
    assert "1 new files of source 'tx': in/monday.jsonl" in list_runs(shop.rooms.db)[0].reason
    assert not shop.at(START)


def test_people_hear_of_failures_once_and_of_their_end(shop: Shop) -> None:
    shop.apply("notify=['failure', 'success']")
    shop.ask("run.start", pipeline="nightly", params={"scale": -1})
    shop.at(START)
    assert shop.alerts() == [("pipeline", "warning", True)]
    shop.at(START)
    assert shop.alerts() == [("pipeline", "warning", True)]
    shop.ask("run.start", pipeline="nightly")
    shop.at(START)
    assert shop.alerts() == [("pipeline", "warning", False), ("pipeline", "info", False)]


def test_alerts_of_a_pipeline_that_goes_are_closed(shop: Shop) -> None:
    shop.apply("schedule='hourly'")
    shop.at(START)
    shop.ask("run.start", pipeline="nightly", params={"scale": -1})
    (shop.rooms.folder / "etl.py").write_text("")
    shop.at(START + timedelta(hours=1))
    opened = [("pipeline", "warning", True), ("pipeline_start", "critical", True)]
    assert sorted(shop.alerts()) == opened
    shop.at(START + timedelta(hours=1))
    assert sorted(shop.alerts()) == opened
    late = START + timedelta(hours=2)
    apply_definitions(shop.rooms, collect([]), ADA)
    shop.at(late)
    assert sorted(shop.alerts()) == [(rule, severity, False) for rule, severity, _ in opened]
    shop.apply("schedule='hourly'")
    assert not shop.at(late)  # it counts anew, as if it had never been


def test_a_run_that_fails_after_its_pipeline_went_leaves_nothing_open(shop: Shop) -> None:
    shop.apply("")
    shop.ask("run.start", pipeline="nightly", params={"scale": -1})
    apply_definitions(shop.rooms, collect([]), ADA)
    shop.at(START)
    assert shop.alerts() == [("pipeline", "warning", False)]


def test_whoever_asks_no_more_to_be_told_has_no_open_alert(shop: Shop) -> None:
    shop.apply("")
    shop.ask("run.start", pipeline="nightly", params={"scale": -1})
    shop.at(START)
    shop.apply("notify=[]")
    shop.at(START)
    assert shop.alerts() == [("pipeline", "warning", False)]


def test_a_schedule_that_cannot_start_says_so_and_is_not_missed(shop: Shop) -> None:
    shop.apply("schedule='hourly'")
    shop.at(START)
    file = shop.rooms.folder / "etl.py"
    right = file.read_text()
    file.write_text(right.replace("import datetime", "import datetim"))
    assert not shop.at(START + timedelta(hours=1))
    assert shop.alerts() == [("pipeline_start", "critical", True)]
    file.write_text(right)
    assert not shop.at(START + timedelta(hours=1, seconds=1))
    assert shop.at(START + timedelta(hours=1, minutes=2))
    assert shop.alerts() == [("pipeline_start", "critical", False)]


def test_a_backfill_goes_on_where_it_was(shop: Shop) -> None:
    shop.apply("time_zone='Europe/Berlin', at='day'")
    asked = {"pipeline": "nightly", "first": "2026-03-28", "last": "2026-03-30", "every": "1d"}
    first = shop.ask("run.backfill", **asked)
    again = shop.ask("run.backfill", **asked)
    assert [run.id for run in again] == [run.id for run in first]
    shop.work()
    days = [get_run(shop.rooms.db, run.id).params["day"] for run in first]
    assert days == ["2026-03-28", "2026-03-29", "2026-03-30"]
    longer = shop.ask("run.backfill", **{**asked, "last": "2026-03-31"})
    shop.work()
    cached = [shop.ask("run.show", run_id=run.id).steps[0].cached for run in longer]
    assert cached == [True, True, True, False]
    assert {str(get_run(shop.rooms.db, run.id).state) for run in longer} == {"SUCCEEDED"}


def test_a_backfill_does_not_hold_up_a_run_that_comes_after_it(shop: Shop) -> None:
    shop.apply("time_zone='Europe/Berlin', at='day'")
    runs = shop.ask("run.backfill", pipeline="nightly", first="2026-01-01", last="2026-01-20", every="1d")
    mine = shop.ask("run.start", pipeline="nightly", params={"day": "2026-02-05"})
    claims = Claims(shop.rooms.db, shop.clock, this_worker(), lease_s=15.0, executors=["project"])
    taken = [claim.run_id for claim in iter(claims.take, None)]
    assert taken[:3] == [runs[0].id, mine.id, runs[1].id]
    assert taken[3:] == [run.id for run in runs[2:]]


def test_own_steps_have_a_worker_that_takes_no_others(shop: Shop) -> None:
    shop.apply("")
    users = shop.ask("run.start", pipeline="nightly")
    graph = Graph("training", (Step(name="look", function="unit.pipelines.sample_steps:nothing"),))
    own = submit(shop.rooms.db, shop.clock, shop.rooms.new_id, graph, by=ADA, reason="test")
    workers_for(shop.rooms)[0].run_until_idle()
    states = [str(get_run(shop.rooms.db, run_id).state) for run_id in (users.id, own)]
    assert states == ["PENDING", "SUCCEEDED"]
    shop.work()
    assert str(get_run(shop.rooms.db, users.id).state) == "SUCCEEDED"


def test_a_backfill_needs_an_instant_and_a_range(shop: Shop) -> None:
    shop.apply("")
    with pytest.raises(InputError, match="no parameter for an instant"):
        shop.ask("run.backfill", pipeline="nightly", first="2026-03-28", last="2026-03-30")
    with pytest.raises(InputError, match="range is empty"):
        instants(START, START - timedelta(days=1), "1d", "UTC")
    with pytest.raises(InputError, match="more than"):
        instants(START, START + timedelta(days=365), "1m", "UTC")


def test_pipelines_are_listed_with_what_starts_them(shop: Shop) -> None:
    shop.apply("schedule='daily', time_zone='Asia/Dubai', on=fj.on.rows('tx', at_least=3)", source())
    (found,) = shop.ask("pipeline.list")
    assert (found.name, found.function, found.on, found.last) == (
        "nightly",
        "etl:nightly",
        ("3 rows of source 'tx'",),
        None,
    )
    assert found.next_due_us == int(datetime(2026, 3, 27, 20, tzinfo=UTC).timestamp() * 1_000_000)
