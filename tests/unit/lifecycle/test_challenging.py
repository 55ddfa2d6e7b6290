"""Challengers: a shadow that proves better is proposed once, and goes out when somebody approves it; no other does."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

import falaj as fj
from falaj.app.operations.shadow import set_shadow, show
from falaj.app.values.shadow import SetShadow, ShadowQuery
from falaj.definitions.policy import Policy
from falaj.definitions.prediction_record import FeedbackRecord, PredictionRecord
from falaj.definitions.verdict import Verdict
from falaj.governance.access import SYSTEM
from falaj.kernel.clock import ManualClock, to_us
from falaj.kernel.errors import DefinitionError
from falaj.lifecycle.approving import ask_for_approval
from falaj.lifecycle.challenging import KIND, Challenging
from falaj.lifecycle.judging import wish_once
from falaj.lifecycle.promotion import Promotions
from falaj.lifecycle.wishes import wanted_by, wishes
from falaj.models.gate_report import Outcome
from falaj.monitoring.alerts import list_alerts
from falaj.monitoring.verdicts import latest_verdicts
from falaj.serving.prediction_log import PredictionLog
from falaj.storage.eventlog.segments import SegmentWriter
from support.rooms_world import ADA, EVE, START, Deaths, Killed, World, definitions, endpoint, model, opened

CHALLENGER = fj.Challenger(min_outcomes=200)


def begun(world: World, *, gate: Outcome = Outcome.PASS) -> None:
    """Version 1 decides, and version 2 computes in its shadow."""
    first = world.register()
    world.approve(first)
    world.deploy(first)
    world.register(gate=gate)
    set_shadow(world.rooms, ADA, SetShadow("fraud", 2))


def decided(world: World, folder: str, first: int, rows: int, *, noise: float, fails: bool = False) -> None:
    """Requests whose outcome is known: version 1 is off by 0.3 or so, version 2 by the noise."""
    rng, at_us = np.random.default_rng(first), to_us(world.clock.now())
    records: list[Any] = []
    for number in range(first, first + rows):
        label = float(rng.random() < 0.4)
        for role, version, off in (("live", 1, 0.3), ("shadow", 2, noise)):
            score = float(np.clip(abs(label - abs(rng.normal(off, 0.1))), 0, 1))
            missing = fails and role == "shadow"
            given, error = (None, "internal") if missing else (score, "")
            records.append(
                PredictionRecord(
                    f"req_{number}", "", "fraud", {"live": "champion"}.get(role, role), role, "fraud", version, 2, "u",
                    at_us, at_us, 9, {}, {}, [], {}, {}, given, error=error,
                )
            )  # fmt: skip
        records.append(FeedbackRecord(f"req_{number}", label, at_us + 2 * 86_400_000_000, at_us))
    log = PredictionLog(SegmentWriter(world.rooms.state.log / "predictions", folder), world.clock)
    log.append(records)
    log.close()
    world.rooms.predictions.compact()


def found(world: World) -> Verdict:
    with world.rooms.db.read() as connection:
        return latest_verdicts(connection, kind=KIND, subject="fraud")[-1].verdict


def told(world: World) -> list[str]:
    with world.rooms.db.read() as connection:
        return [one.alert.message for one in list_alerts(connection) if one.alert.rule == KIND]


def wanted(world: World) -> list[int]:
    with world.rooms.db.read() as connection:
        return [one.version for one in wishes(connection)]


def world_of(folder: Path, challenger: fj.Challenger = CHALLENGER, **more: Any) -> Any:
    return opened(folder, definitions(endpoint(challenger=challenger), **more))


def test_what_proves_better_is_proposed_once_and_goes_out_when_it_is_approved(tmp_path: Path) -> None:
    with world_of(tmp_path) as world:
        begun(world)
        looking = Challenging(world.rooms)
        decided(world, "gateway-0", 0, 100, noise=0.1)
        looking.run_pass(world.clock.now())
        assert (found(world).outcome, found(world).reason) == ("INCONCLUSIVE", "100 outcomes, and min_outcomes = 200")
        decided(world, "gateway-1", 100, 400, noise=0.1)
        assert looking.run_pass(world.clock.now())
        assert (found(world).outcome, found(world).version) == ("PASS", "fraud/2")
        assert (wanted(world), world.pending(), world.serving()) == (
            [2],
            ["fraud/2"],
            {1: 100, 2: 100},
        )  # in the shadow still
        (message,) = told(world)
        assert "version 2 loses less than version 1 by 0.0" in message
        assert "it is proposed in its place" in message
        assert "loses less than version 1" in world.rooms.approvals.find(subject="fraud/2")[0].reason
        decided(world, "gateway-2", 500, 100, noise=0.1)
        assert not looking.run_pass(world.clock.now())
        assert not Challenging(world.rooms).run_pass(world.clock.now())  # nor does the next control tell it again
        assert len(told(world)) == 1
        Promotions(world.rooms).run_pass(world.clock.now())
        assert world.serving() == {1: 100, 2: 100}
        world.approve(world.rooms.registry.get("fraud", 2))
        Promotions(world.rooms).run_pass(world.clock.now())
        assert world.serving() == {1: 90, 2: 10}


def test_what_is_as_good_is_never_proposed_and_what_fails_is_worse(tmp_path: Path) -> None:
    with world_of(tmp_path) as world:
        begun(world)
        decided(world, "gateway-0", 0, 400, noise=0.3)
        Challenging(world.rooms).run_pass(world.clock.now())
        assert found(world).outcome == "INCONCLUSIVE"
        decided(world, "gateway-1", 400, 600, noise=0.1, fails=True)  # it would be better, had it answered
        Challenging(world.rooms).run_pass(world.clock.now())
        assert found(world).outcome == "FAIL"
        assert (wanted(world), told(world)) == ([], [])
        (beside,) = show(world.rooms, ADA, ShadowQuery("fraud")).beside
        paired = beside.comparison.paired
        assert paired is not None
        assert paired.outcomes == 1_000
        assert paired.less.upper < 0


def test_a_gate_that_did_not_pass_and_what_somebody_else_wants_are_in_its_way(tmp_path: Path) -> None:
    with world_of(tmp_path / "gate") as world:
        begun(world, gate=Outcome.FAIL)
        decided(world, "gateway-0", 0, 500, noise=0.1)
        Challenging(world.rooms).run_pass(world.clock.now())
        assert "it is not proposed, since its gate is FAIL" in told(world)[0]
        assert (wanted(world), world.pending()) == ([], [])
    with world_of(tmp_path / "wanted") as world:
        begun(world)
        world.deploy(world.register())
        decided(world, "gateway-0", 0, 500, noise=0.1)
        Challenging(world.rooms).run_pass(world.clock.now())
        assert "it is not proposed yet, since version 3 is wanted there" in told(world)[0]
        assert wanted(world) == [3]


def test_it_is_proposed_once_nothing_else_is_wanted_any_more(tmp_path: Path) -> None:
    with world_of(tmp_path) as world:
        begun(world)
        world.deploy(world.register())
        decided(world, "gateway-0", 0, 500, noise=0.1)
        looking = Challenging(world.rooms)
        looking.run_pass(world.clock.now())
        assert not looking.run_pass(world.clock.now())
        assert not Challenging(world.rooms).run_pass(world.clock.now())  # nothing changed, and it is told
        (other,) = world.rooms.approvals.find(subject="fraud/3")
        world.rooms.approvals.reject(other.id, EVE, "too slow")
        Promotions(world.rooms).run_pass(world.clock.now())
        assert wanted(world) == []
        assert looking.run_pass(world.clock.now())
        assert (wanted(world), world.pending()) == ([2], ["fraud/2"])
        assert not looking.run_pass(world.clock.now())
        assert sorted(one.rpartition(": ")[2] for one in told(world)) == [
            "it is not proposed yet, since version 3 is wanted there",
            "it is proposed in its place",
        ]


def test_what_a_trigger_trains_does_not_take_the_place_of_what_is_proven(tmp_path: Path) -> None:
    with world_of(tmp_path) as world:
        begun(world)
        decided(world, "gateway-0", 0, 500, noise=0.1)
        Challenging(world.rooms).run_pass(world.clock.now())
        third = world.register(actor=SYSTEM.name)
        ask_for_approval(world.rooms, third, "new labels")
        wish_once(world.rooms, "fraud", third)
        assert wanted(world) == [2]
        world.approve(world.rooms.registry.get("fraud", 2))
        Promotions(world.rooms).run_pass(world.clock.now())
        assert world.serving() == {1: 90, 2: 10}


def test_without_a_person_only_where_the_policy_says_so(tmp_path: Path) -> None:
    with world_of(tmp_path, policy=Policy(auto_promote=True)) as world:
        begun(world)
        decided(world, "gateway-0", 0, 500, noise=0.1)
        Challenging(world.rooms).run_pass(world.clock.now())
        Promotions(world.rooms).run_pass(world.clock.now())
        assert (world.pending(), world.serving()) == ([], {1: 90, 2: 10})


@pytest.mark.parametrize("committing", [False, True])
def test_whoever_dies_wherever_there_is_one_proposal(tmp_path: Path, committing: bool) -> None:
    died = 0
    for at in range(4):
        clock, folder = ManualClock(START), tmp_path / str(at)
        with opened(folder, definitions(endpoint(challenger=CHALLENGER)), clock) as world:
            begun(world)
            decided(world, "gateway-0", 0, 500, noise=0.1)
            deaths = Deaths(world.rooms, at, committing=committing)
            try:
                Challenging(world.rooms).run_pass(clock.now())
            except Killed:
                died += 1
            assert deaths.died == (at < 3)
        with opened(folder, clock=clock) as world:
            Challenging(world.rooms).run_pass(clock.now())
            assert (wanted(world), world.pending(), len(told(world))) == ([2], ["fraud/2"], 1)
            with world.rooms.db.read() as connection:
                assert wanted_by(connection, "fraud") == SYSTEM.name
    assert died == 3


def test_a_question_that_waits_already_stays_as_it_is(tmp_path: Path) -> None:
    with world_of(tmp_path, fj.Challenger(by="errors", margin=0.01)) as world:
        begun(world)
        ask_for_approval(world.rooms, world.rooms.registry.get("fraud", 2), "new labels")
        decided(world, "gateway-0", 0, 500, noise=0.6)
        Challenging(world.rooms).run_pass(world.clock.now())
        assert found(world).outcome == "FAIL"
        assert [one.reason for one in world.rooms.approvals.find(subject="fraud/2")] == ["new labels"]


def test_what_a_challenger_cannot_be_judged_by_is_refused() -> None:
    with pytest.raises(DefinitionError, match="nothing says what decisions cost"):
        endpoint(challenger=fj.Challenger(by="cost"))
    with pytest.raises(DefinitionError, match="errors have none"):
        endpoint(of=model(task="regression", gates=[]), challenger=CHALLENGER)
    with pytest.raises(DefinitionError, match="out of range"):
        fj.Challenger(margin=-1)
    assert endpoint(of=model(cost=fj.Cost(5, 200)), challenger=fj.Challenger(by="cost")).challenger is not None
