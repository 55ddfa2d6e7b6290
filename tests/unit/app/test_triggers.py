"""What people are told of triggers: what calls, what holds back, and what became of each run."""

from collections.abc import Iterator
from pathlib import Path

import pytest

import falaj as fj
from falaj.app.operations.model import train
from falaj.app.operations.triggers import show
from falaj.app.values.model import Train
from falaj.app.values.triggers import TriggersQuery, TriggersStatus
from falaj.cost.meter import Usage
from falaj.governance.access import SYSTEM
from falaj.kernel.clock import to_us
from falaj.lifecycle.promotion import roll_back_endpoint
from falaj.lifecycle.triggers import Triggers
from falaj.models.gate_report import Outcome
from falaj.pipelines.runs import RunState, list_runs
from falaj.pipelines.submission import end_run
from support.rooms_world import ADA, EVE, World, definitions, endpoint, event, opened


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    """Version 1 serves, and new labels and time would train another."""
    on = [fj.on.new_labels(2), fj.on.schedule("daily")]
    retrain = fj.retrain(on=on, cooldown="1h", min_new_labels=0, debounce="10m")
    with opened(tmp_path, definitions(endpoint(retrain=retrain))) as found:
        version = found.register()
        found.approve(version)
        found.deploy(version)
        Triggers(found.rooms).run_pass(found.clock.now())
        yield found


def shown(world: World) -> TriggersStatus:
    return show(world.rooms, ADA, TriggersQuery("fraud"))


def states(world: World) -> dict[str, str]:
    return {one.trigger: one.state for one in shown(world).triggers}


def end(world: World, state: RunState, error: str | None = None) -> str:
    run = list_runs(world.rooms.db)[0]
    with world.rooms.db.write() as connection:
        end_run(connection, run.id, state, to_us(world.clock.now()), error)
    return run.id


def test_each_trigger_says_where_it_stands(world: World) -> None:
    assert states(world) == {"2 new labels": "quiet", "schedule 'daily'": "quiet"}
    world.push(event(1, label=0), event(2, label=1), event(5_000))
    assert not Triggers(world.rooms).run_pass(world.clock.now())
    (early, _) = shown(world).triggers
    assert (early.state, early.sentence, early.since_us) == ("early", "2 new labels", to_us(world.clock.now()))
    world.clock.advance(600)
    assert states(world)["2 new labels"] == "calling"
    assert Triggers(world.rooms).run_pass(world.clock.now())
    assert states(world)["2 new labels"] == "answered"
    assert [one.kind for one in shown(world).brakes] == ["active_run", "cooldown"]
    end(world, RunState.FAILED, "no space")
    world.clock.advance(3600 - 1)
    (cooldown,) = shown(world).brakes
    assert cooldown.until_us == to_us(world.clock.now()) + 1_000_000
    world.clock.advance(1)
    assert shown(world).brakes == ()


def test_an_endpoint_that_was_never_looked_at_says_so(tmp_path: Path) -> None:
    retrain = fj.retrain(on=[fj.on.drift()])
    with opened(tmp_path, definitions(endpoint(retrain=retrain))) as world:
        found = shown(world)
        assert (found.watched, [one.state for one in found.triggers]) == (False, ["quiet"])
        assert [one.kind for one in found.brakes] == ["min_new_labels"]
    with opened(tmp_path / "other", definitions(endpoint())) as world:
        assert (shown(world).triggers, shown(world).brakes, shown(world).runs) == ((), (), ())


def test_each_run_says_what_became_of_it(world: World) -> None:
    ends = []

    def told() -> str:
        return shown(world).runs[0].outcome

    def triggered() -> None:
        world.clock.advance(25 * 3600)
        assert Triggers(world.rooms).run_pass(world.clock.now())

    triggered()
    assert told() == "under way"
    end(world, RunState.FAILED, "step 'train': no space")
    ends.append(told())
    triggered()
    world.register(run_id=end(world, RunState.SUCCEEDED), actor=SYSTEM.name, gate=Outcome.FAIL)
    ends.append(told())
    triggered()
    version = world.register(run_id=end(world, RunState.SUCCEEDED), actor=SYSTEM.name)
    ends.append(told())
    asked = world.rooms.approvals.request("model", version.subject, SYSTEM)
    ends.append(told())
    world.rooms.approvals.approve(asked.id, EVE, "looks right")
    ends.append(told())
    world.deploy(version)
    ends.append(told().partition(":")[0])
    world.promote(version)
    ends.append(told().partition(":")[0])
    roll_back_endpoint(world.rooms, "fraud", ADA, "customers complain")
    ends.append(told())
    assert ends == [
        "step 'train': no space",
        "gate FAIL",
        "gate PASS, not rolled out",
        "gate PASS, waits for an approval",
        "gate PASS, approved: looks right",
        "rolling out",
        "promoted",
        "rolled back: customers complain",
    ]
    assert [run.version for run in shown(world).runs] == [3, 2, None]
    assert {(run.actor, run.reason) for run in shown(world).runs} == {("system", "schedule 'daily'")}


def test_what_a_day_of_training_cost_and_what_was_gone_on_from_are_told(tmp_path: Path) -> None:
    retrain = fj.retrain(on=[fj.on.drift()], max_cost_per_day=2.0)
    with opened(tmp_path, definitions(endpoint(retrain=retrain))) as world:
        run_id = train(world.rooms, ADA, Train("fraud")).run_id
        world.register(run_id=run_id, parent=1, generation=1)
        price = world.rooms.settings.cost.cpu_core_hour
        world.rooms.meter.record(Usage("pipeline", "train:fraud", cpu_seconds=0.5 / price * 3600))
        world.rooms.meter.record(Usage("pipeline", "train:other", cpu_seconds=0.5 / price * 3600))
        found = shown(world)
        assert (round(found.spent, 9), found.max_cost_per_day, found.currency) == (0.5, 2.0, "USD")
        assert [run.continues for run in found.runs] == [1]
        world.clock.advance(24 * 3600 + 1)
        assert shown(world).spent == 0.0
