"""Promotion on real rooms: approvals, stages that follow traffic, and a death at every write."""

import contextlib
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from falaj.app.operations.model import approve
from falaj.app.values.model import Decide
from falaj.definitions.policy import Policy
from falaj.definitions.routing_table import RoutingTable
from falaj.governance.access import SYSTEM, Actor, Role
from falaj.governance.audit import list_records
from falaj.governance.audit import verify as verify_audit
from falaj.kernel.codec import from_msgpack
from falaj.kernel.errors import AccessDenied, Conflict, NotFound
from falaj.lifecycle.alignment import align_stages
from falaj.lifecycle.approving import ask_for_approval
from falaj.lifecycle.judging import wish_once
from falaj.lifecycle.promotion import Promotions, Rollouts, begin_wished, roll_back_endpoint, withdraw_endpoint
from falaj.lifecycle.wishes import wish, wishes
from falaj.models.gate_report import Outcome
from falaj.models.version import ModelVersion
from falaj.monitoring.alerts import Alert, list_alerts, open_alert, resolve_alert
from falaj.rollout import rollouts
from falaj.storage.keyvalue.snapshots import read_snapshot
from support.rooms_world import ADA, EVE, Deaths, Killed, World, definitions, endpoint, model, opened

ZOE = Actor("zoe", Role.APPROVER)


def turn(world: World) -> None:
    """One pass of both reconcilers, as control makes them."""
    Rollouts(world.rooms).run_pass(world.clock.now())
    Promotions(world.rooms).run_pass(world.clock.now())


def bring(world: World, version: ModelVersion | None = None, to: str = "fraud") -> ModelVersion:
    """Let a version, a new one by default, win an endpoint's traffic."""
    version = version or world.register()
    if not world.rooms.registry.approvers(version):
        world.approve(version)
    if world.deploy(version, to).state == "rolling out":
        world.promote(version, to)
    return version


def roll_back(world: World, to: str = "fraud") -> None:
    roll_back_endpoint(world.rooms, to, ADA, "it is worse")


def test_a_version_without_a_passed_gate_may_not_move(world: World) -> None:
    for gate in (Outcome.FAIL, Outcome.INCONCLUSIVE):
        version = world.register(gate=gate)
        with pytest.raises(Conflict, match=f"may not move: its gate is {gate}"):
            world.deploy(version)
    with pytest.raises(Conflict, match="no version of model 'fraud' has passed its gate"):
        world.deploy()
    with pytest.raises(NotFound, match="has no version 7"):
        world.deploy(7)
    assert world.serving() == {}


def test_a_wish_waits_for_its_approval_and_begins_with_it(world: World) -> None:
    version = world.register()
    assert world.deploy(version).state == "waits for approval"
    assert world.pending() == ["fraud/1"]
    turn(world)
    assert world.serving() == {}
    world.approve(version)
    turn(world)
    assert (world.serving(), world.stages()) == ({1: 100}, {1: "production"})
    with world.rooms.db.read() as connection:
        assert wishes(connection) == []


def test_nobody_approves_their_own(world: World) -> None:
    version = world.register(actor="ada")
    asked = world.rooms.approvals.request("model", version.subject, SYSTEM)
    world.rooms.approvals.approve(asked.id, ADA)  # whoever asked may be another than who made it
    assert world.rooms.registry.approvers(version) == ()
    assert world.deploy(version).state == "waits for approval"
    turn(world)
    assert world.serving() == {}


def test_a_refused_wish_is_forgotten(world: World) -> None:
    version = world.register()
    world.deploy(version)
    asked = world.rooms.approvals.find(kind="model")[0]
    world.rooms.approvals.reject(asked.id, EVE, "the gate is too lax")
    turn(world)
    with world.rooms.db.read() as connection:
        assert wishes(connection) == []
    with pytest.raises(Conflict, match="was refused by eve: the gate is too lax"):
        world.deploy(version)


def test_an_approval_withdrawn_by_a_later_rejection_holds_no_more(world: World) -> None:
    version = world.register()
    world.approve(version)
    world.clock.advance(1)
    again = world.rooms.approvals.request("model", version.subject, ADA)
    world.rooms.approvals.reject(again.id, ZOE, "I looked again")
    with pytest.raises(Conflict, match="was refused by zoe"):
        world.deploy(version)


def test_a_policy_of_two_needs_two_people(world: World) -> None:
    world.apply(definitions(policy=Policy(approvals=2)))
    version = world.register()
    world.approve(version, by=EVE)
    assert world.deploy(version).state == "waits for approval"
    world.approve(version, by=EVE)
    turn(world)
    assert world.serving() == {}
    world.approve(version, by=ZOE)
    turn(world)
    assert world.stages() == {1: "production"}


def test_the_approvals_that_count_are_those_of_whom_the_policy_asks(world: World) -> None:
    engineer = Actor("max", Role.ENGINEER)
    world.rooms.actors.create(engineer.name, engineer.role, SYSTEM)
    world.apply(definitions(policy=Policy(approvers=["approver"])))
    version = world.register()
    world.approve(version, by=engineer)
    assert world.deploy(version).state == "waits for approval"
    turn(world)
    assert world.serving() == {}
    world.approve(version, by=EVE)
    turn(world)
    assert world.stages() == {1: "production"}


def test_a_policy_may_name_a_person(world: World) -> None:
    world.apply(definitions(policy=Policy(approvers=["actor:eve"])))
    version = world.register()
    world.approve(version, by=ZOE)
    assert world.deploy(version).state == "waits for approval"
    world.approve(version, by=EVE)
    turn(world)
    assert world.stages() == {1: "production"}


def test_each_model_has_its_own_policy(world: World) -> None:
    free = Policy("free", auto_promote=True, models=["second"])
    world.apply(definitions(endpoint(), endpoint("second", model("second")), policy=free))
    assert world.deploy(world.register("second"), to="second").state == "serves"
    assert world.deploy(world.register()).state == "waits for approval"


def test_an_approved_version_soaks_before_it_gets_traffic(world: World) -> None:
    world.apply(definitions(policy=Policy(soak="24h")))
    version = world.register()
    world.approve(version)
    waiting = world.deploy(version)
    assert (waiting.state, waiting.waits) == ("waits in staging", True)
    assert "until" in waiting.reason
    world.clock.advance(24 * 3600 - 1)
    turn(world)
    assert (world.serving(), world.stages()) == ({}, {1: "staging"})
    world.clock.advance(1)
    turn(world)
    assert (world.serving(), world.stages()) == ({1: 100}, {1: "production"})


def test_the_soak_counts_from_the_approval_and_not_from_the_wish(world: World) -> None:
    world.apply(definitions(policy=Policy(soak="1h")))
    version = world.register()
    assert world.deploy(version).state == "waits for approval"
    world.clock.advance(2 * 3600)
    world.approve(version)
    turn(world)
    assert (world.serving(), world.stages()) == ({}, {1: "staging"})
    world.clock.advance(3600)
    turn(world)
    assert world.serving() == {1: 100}


def test_one_version_of_a_model_soaks_at_a_time_and_each_gets_its_turn(world: World) -> None:
    both = (endpoint(), endpoint("second"))
    world.apply(definitions(*both, policy=Policy(soak="1h")))
    first, second = world.register(), world.register()
    for version, to in ((first, "fraud"), (second, "second")):
        world.approve(version)
        world.deploy(version, to)
    for _ in range(3):
        world.clock.advance(1800)
        turn(world)
    assert world.serving("fraud") == {1: 100}
    for _ in range(3):
        world.clock.advance(1800)
        turn(world)
    assert world.serving("second") == {2: 100}


def test_a_version_waits_for_quiet(world: World) -> None:
    world.apply(definitions(endpoint(), endpoint("other", model("other")), policy=Policy(quiet=True)))
    version = world.register()
    world.approve(version)

    def alert(rule: str, subject: str) -> None:
        with world.rooms.db.write() as connection:
            open_alert(connection, Alert(rule, "critical", subject, "it is so", {}, 0))

    alert("drift", "fraud")  # what the version is to mend
    alert("rollout", "other")
    alert("online_store", "online store")
    told = world.deploy(version)
    assert (told.state, "online_store of online store" in told.reason) == ("waits in staging", True)
    turn(world)
    assert world.serving() == {}
    with world.rooms.db.write() as connection:
        resolve_alert(connection, "online_store", "online store", "", 0)
    turn(world)
    assert world.serving() == {1: 100}


def test_a_question_lapses_and_can_be_asked_anew(world: World) -> None:
    world.apply(definitions(policy=Policy(expires="1d")))
    version = world.register()
    world.deploy(version)
    assert world.pending() == ["fraud/1"]
    world.clock.advance(24 * 3600)
    assert [one.subject for one in world.rooms.approvals.expire()] == ["fraud/1"]
    turn(world)
    assert (world.pending(), world.serving()) == ([], {})
    assert world.deploy(version).state == "waits for approval"
    world.approve(version)
    turn(world)
    assert world.serving() == {1: 100}


def test_whoever_approves_too_late_asks_anew_where_nothing_else_runs(world: World) -> None:
    """Without control no reconciler closes the old question, and it must not stand in the way for ever."""
    world.apply(definitions(policy=Policy(expires="1d")))
    version = world.register()
    world.deploy(version)
    world.clock.advance(24 * 3600)
    assert approve(world.rooms, EVE, Decide("fraud", 1, "late, and still good")).state == "APPROVED"
    assert [one.state for one in world.rooms.approvals.find(subject="fraud/1")] == ["APPROVED", "EXPIRED"]
    assert world.serving() == {1: 100}
    told = [one.action for one in list_records(world.rooms.db) if one.resource == "fraud/1" and "appro" in one.action]
    assert sorted(told) == [
        "model.approval_expired", "model.approve", "model.request_approval", "model.request_approval"
    ]  # fmt: skip


def test_whoever_approves_what_is_wanted_no_more_hears_that_it_stays(world: World) -> None:
    """A training that a trigger started takes the place of what another one proposed."""
    bring(world)
    older, newer = (world.register(actor="system") for _ in range(2))
    for version in (older, newer):
        ask_for_approval(world.rooms, version, "drift")
        wish_once(world.rooms, "fraud", version)
    told = approve(world.rooms, EVE, Decide("fraud", older.version, "good"))
    assert told.next == "version 3 is wanted on 'fraud'; to let it out: falaj deploy fraud --version 2"
    turn(world)
    assert world.serving() == {1: 100}
    assert approve(world.rooms, EVE, Decide("fraud", newer.version, "good")).next == ""
    assert world.serving() == {1: 90, 3: 10}
    fourth = world.register()
    ask_for_approval(world.rooms, fourth, "by hand")
    told = approve(world.rooms, EVE, Decide("fraud", fourth.version, ""))
    assert told.next == "it is wanted on no endpoint; to let it out: falaj deploy fraud --version 4"


def test_whoever_approves_first_of_two_hears_that_one_is_missing(world: World) -> None:
    world.apply(definitions(policy=Policy(approvals=2)))
    world.deploy(world.register())
    assert approve(world.rooms, EVE, Decide("fraud", 1, "")).next == (
        "1 more of 2 approvals, each by another person: owner or engineer or approver"
    )


def test_a_policy_may_need_nobody(world: World) -> None:
    world.apply(definitions(policy=Policy(auto_promote=True)))
    assert world.deploy(world.register()).state == "serves"
    assert world.stages() == {1: "production"}


def test_a_canary_that_errs_is_aborted_and_goes_back_to_development(world: World) -> None:
    bring(world)
    second = world.register()
    world.approve(second)
    assert world.deploy(second).state == "rolling out"
    assert (world.serving(), world.stages()) == ({1: 90, 2: 10}, {1: "production", 2: "staging"})
    world.answered(2, 100, errors=60)
    turn(world)
    assert (world.serving(), world.stages()) == ({1: 100}, {1: "production", 2: "development"})


def test_what_the_last_canary_left_is_not_charged_to_the_next(world: World) -> None:
    bring(world)
    for number in (2, 3):
        version = world.register()
        world.approve(version)
        assert world.deploy(version).version == number
        if number == 2:
            world.answered(2, 100, errors=60)
            turn(world)
    world.answered(2, 400, errors=300)  # the worker writes the last of them after the next one has begun
    turn(world)
    assert world.serving() == {1: 90, 3: 10}
    world.answered(3, 100)
    world.clock.advance(61)
    world.report()
    turn(world)
    assert world.serving() == {1: 0, 3: 100}


def test_rollbacks_return_step_by_step(world: World) -> None:
    for _ in range(3):
        bring(world)
    assert world.stages() == {1: "archived", 2: "archived", 3: "production"}
    roll_back(world)
    assert (world.serving(), world.production()) == ({2: 100}, 2)
    roll_back(world)
    assert (world.serving(), world.production()) == ({1: 100}, 1)
    with pytest.raises(Conflict, match="nothing served endpoint 'fraud' before"):
        roll_back(world)
    turn(world)
    assert (world.serving(), world.stages()) == ({1: 100}, {1: "production", 2: "archived", 3: "archived"})


def test_a_rollback_during_a_canary_ends_the_canary_only(world: World) -> None:
    bring(world)
    bring(world)
    third = world.register()
    world.approve(third)
    world.deploy(third)
    roll_back(world)
    assert world.serving() == {2: 100}
    assert world.stages() == {1: "archived", 2: "production", 3: "development"}
    roll_back(world)
    assert world.serving() == {1: 100}
    assert world.production() == 1


def test_what_left_production_is_looked_at_anew(world: World) -> None:
    first = bring(world)
    second = bring(world)
    roll_back(world)
    assert world.deploy(second).state == "waits for approval"  # it was approved, but before it was found to be worse
    turn(world)
    assert world.serving() == {1: 100}
    world.clock.advance(1)
    world.approve(second)
    turn(world)
    world.promote(second)
    assert world.stages() == {first.version: "archived", second.version: "production"}


def test_an_archived_version_is_redeployed_and_the_rollback_returns_from_it(world: World) -> None:
    first = bring(world)
    bring(world)
    world.clock.advance(1)
    world.approve(first)
    assert world.deploy(first).state == "rolling out"
    world.promote(first)
    assert world.stages() == {1: "production", 2: "archived"}
    newest = world.rooms.registry.history("fraud", 1)[-1]
    assert (newest.previous_holder, len(newest.approvals)) == (2, 1)
    roll_back(world)
    assert (world.serving(), world.stages()) == ({2: 100}, {1: "archived", 2: "production"})
    turn(world)
    assert world.stages() == {1: "archived", 2: "production"}


def test_a_policy_that_becomes_stricter_on_the_way_does_not_stop_the_reconciler(world: World) -> None:
    bring(world)
    second = world.register()
    world.approve(second)
    world.deploy(second)
    world.apply(definitions(policy=Policy(approvals=2)))
    world.promote(second)
    turn(world)
    assert world.stages() == {1: "archived", 2: "production"}
    assert "its approvals hold no more" in world.rooms.registry.history("fraud", 2)[-1].reason


def test_one_model_behind_two_endpoints(world: World) -> None:
    world.apply(definitions(endpoint(), endpoint("other")))
    first, second = bring(world), bring(world, to="other")
    for _ in range(3):  # the stages come to rest: they do not follow one endpoint, then the other
        turn(world)
        assert world.stages() == {1: "archived", 2: "production"}
    moves = len(world.rooms.registry.history("fraud"))
    turn(world)
    assert len(world.rooms.registry.history("fraud")) == moves
    # A canary that comes and goes on the other endpoint does not make its champion production's.
    third = world.register()
    world.approve(third)
    world.clock.advance(5)
    world.deploy(third)
    turn(world)
    assert (world.serving(), world.serving("other"), world.stages()[3]) == ({1: 90, 3: 10}, {2: 100}, "staging")
    world.answered(3, 100, errors=60)
    turn(world)
    assert world.stages() == {1: "archived", 2: "production", 3: "development"}
    withdraw_endpoint(world.rooms, "other", ADA)
    assert world.stages() == {first.version: "production", second.version: "archived", 3: "development"}


def test_a_canary_on_one_endpoint_survives_the_passes_over_another(world: World) -> None:
    world.apply(definitions(endpoint(), endpoint("other")))
    bring(world)
    bring(world, to="other")
    third = world.register()
    world.approve(third)
    world.deploy(third, "other")
    for _ in range(3):
        turn(world)
        assert world.stages()[3] == "staging"


def test_undeploying_ends_the_canary_the_wish_and_production(world: World) -> None:
    bring(world)
    second, third = world.register(), world.register()
    world.approve(second)
    world.deploy(second)
    world.deploy(third)
    withdraw_endpoint(world.rooms, "fraud", ADA)
    assert (world.serving(), world.stages()) == ({}, {1: "archived", 2: "development", 3: "development"})
    world.approve(third)
    turn(world)
    assert world.serving() == {}
    with pytest.raises(NotFound):
        withdraw_endpoint(world.rooms, "fraud", ADA)
    world.apply(definitions(endpoint("next", model("next"))))  # nothing holds the old definitions any more


def test_a_rollback_beside_a_beginning_is_the_last_word(world: World) -> None:
    bring(world)
    bring(world)
    third = world.register()
    world.approve(third)
    wish(world.rooms, "fraud", third, ADA)
    real = world.rooms.applier.catch_up

    def slow(*arguments: object, **more: object) -> int:
        roll_back(world)  # while the third version's features are brought up
        return real(*arguments, **more)  # type: ignore[arg-type]

    vars(world.rooms.applier)["catch_up"] = slow
    with pytest.raises(Conflict, match="is wanted on endpoint 'fraud' no more"):
        begin_wished(world.rooms)
    vars(world.rooms.applier).pop("catch_up")
    turn(world)
    assert (world.serving(), world.production()) == ({1: 100}, 1)
    assert world.stages()[3] == "development"


def test_one_wish_that_cannot_begin_keeps_no_other_waiting(world: World) -> None:
    world.apply(definitions(endpoint(), endpoint("other", model("other", features=model().features))))
    good, bad = world.register("other"), world.register()
    for version in (bad, good):
        world.deploy(version, version.model)
        world.approve(version)
    real = world.rooms.applier.catch_up
    failures = iter([Conflict("the disk is on fire")])

    def failing(source: str, **more: object) -> int:
        for error in failures:
            raise error
        return real(source, **more)  # type: ignore[arg-type]

    vars(world.rooms.applier)["catch_up"] = failing
    with pytest.raises(Conflict, match="on fire"):
        begin_wished(world.rooms)
    assert (world.serving(), world.serving("other")) == ({}, {1: 100})
    begin_wished(world.rooms)
    assert world.serving() == {1: 100}


def test_a_wish_for_another_model_than_the_endpoints_is_forgotten(world: World) -> None:
    version = world.register()
    world.deploy(version)
    world.apply(definitions(endpoint("fraud", model("fraud2")), more=[model()]))
    world.approve(version)
    turn(world)
    assert world.serving() == {}
    with world.rooms.db.read() as connection:
        assert wishes(connection) == []


def test_a_token_that_may_deploy_needs_no_other_scope(world: World) -> None:
    version = world.register()
    world.approve(version)
    narrow = Actor("ada", Role.ENGINEER, ("endpoint.deploy@fraud",))
    assert world.deploy(version, by=narrow).state == "serves"
    other = world.register()
    world.approve(other)
    with pytest.raises(AccessDenied):
        world.deploy(other, by=Actor("ada", Role.ENGINEER, ("endpoint.deploy@another",)))
    turn(world)
    assert world.serving() == {1: 100}


def test_a_new_version_closes_the_alert_about_the_one_before(world: World) -> None:
    bring(world)
    second = world.register()
    world.approve(second)
    world.deploy(second)
    world.clock.advance(1)
    alert = Alert("drift", "warning", "fraud", "amount has moved", {}, int(world.clock.now().timestamp() * 1e6))
    with world.rooms.db.write() as connection:
        open_alert(connection, alert)
    turn(world)
    with world.rooms.db.read() as connection:
        assert len(list_alerts(connection, only_open=True)) == 1  # it is about the champion, which serves still
    world.promote(second)
    with world.rooms.db.read() as connection:
        assert list_alerts(connection, only_open=True) == []
    # What is found of the new version afterwards stays.
    world.clock.advance(1)
    with world.rooms.db.write() as connection:
        open_alert(
            connection, Alert("drift", "warning", "fraud", "again", {}, int(world.clock.now().timestamp() * 1e6))
        )
    turn(world)
    with world.rooms.db.read() as connection:
        assert len(list_alerts(connection, only_open=True)) == 1


# -- a death at every write -------------------------------------------------------------------------------------------

Act = Callable[[World], None]


def _approved_deploy(world: World) -> None:
    world.deploy(2)


def _asked_deploy(world: World) -> None:
    world.deploy(3)


def _rollback(world: World) -> None:
    roll_back(world)


def _undeploy(world: World) -> None:
    withdraw_endpoint(world.rooms, "fraud", ADA)


def _grow(world: World) -> None:
    world.deploy(2)
    for _ in range(2):
        world.answered(2, 100)
        world.clock.advance(61)
        world.report()
        turn(world)


@pytest.fixture(scope="module")
def half_way(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Version 1 serves; 2 is approved; 3 is not. Copied for each death."""
    folder = tmp_path_factory.mktemp("half-way") / "project"
    folder.mkdir()
    with opened(folder, definitions()) as world:
        bring(world)
        world.approve(world.register())
        world.register()
    return folder


Weights = tuple[tuple[int, int], ...]
ALLOWED: dict[str, set[Weights]] = {
    "_approved_deploy": {((1, 100),), ((1, 90), (2, 10))},
    "_asked_deploy": {((1, 100),)},
    "_rollback": {((1, 100),), ((2, 100),)},
    "_undeploy": {((1, 100),), ()},
    # The clock of the new process is later than the bake, and the counters lie in a file: it goes on by itself.
    "_grow": {((1, 100),), ((1, 90), (2, 10)), ((1, 0), (2, 100)), ((2, 100),)},
}
"""What may serve after a death and two passes: what was before, or what was asked for, and nothing beside it."""


@pytest.mark.parametrize("committing", [False, True], ids=["before", "uncommitted"])
@pytest.mark.parametrize("act", [_approved_deploy, _asked_deploy, _rollback, _undeploy, _grow])
def test_a_death_at_any_write_is_made_good_by_the_next_pass(
    half_way: Path, tmp_path: Path, act: Act, committing: bool
) -> None:
    at, outcomes = 0, set[Weights]()
    while True:
        folder = tmp_path / str(at)
        shutil.copytree(half_way, folder)
        with opened(folder) as world:
            if act is _rollback:
                bring(world, world.rooms.registry.get("fraud", 2))
            deaths = Deaths(world.rooms, at, committing=committing)
            with contextlib.suppress(Killed):
                act(world)
            if not deaths.died:
                break
        with opened(folder) as world:
            world.clock.advance(600)
            for _ in range(2):
                turn(world)
            outcomes.add(_check(world))
            verify_audit(world.rooms.db)
        at += 1
    assert at > 1
    serving = {tuple(sorted(one)) for one in outcomes}
    allowed = ALLOWED[act.__name__]
    assert serving <= allowed
    assert len(serving) > 1 or act is _asked_deploy


def _check(world: World) -> Weights:
    """Hold routing, rollouts, stages and what gateways are told against each other."""
    serving, stages = world.serving(), world.stages()
    raw = read_snapshot(world.rooms.online, "routing")
    assert raw is not None
    told = from_msgpack(raw, RoutingTable).endpoints
    assert {v.version: v.weight // 100 for v in told["fraud"].variants} == serving if serving else "fraud" not in told
    with world.rooms.db.read() as connection:
        running = rollouts.running(connection)
    if running:
        assert len(serving) == 2
        assert stages[running[0].candidate.version] == "staging"
    elif serving:
        (alone,) = serving
        assert stages[alone] == "production"
    else:
        assert "production" not in stages.values()
    assert sum(stage == "production" for stage in stages.values()) <= 1
    return tuple(serving.items())


def test_every_move_is_in_the_audit(world: World) -> None:
    bring(world)
    bring(world)
    roll_back(world)
    actions = [one.action for one in list_records(world.rooms.db, limit=100)]
    for action in ("endpoint.wish", "endpoint.deploy", "endpoint.rollback", "model.transition", "model.rollback"):
        assert action in actions
    align_stages(world.rooms)
    assert [one.action for one in list_records(world.rooms.db, limit=100)] == actions
    assert SYSTEM.name in {one.actor for one in list_records(world.rooms.db, limit=100)}


def test_a_version_that_serves_elsewhere_has_soaked(world: World) -> None:
    world.apply(definitions(endpoint(), endpoint("second"), policy=Policy(soak="1h")))
    version = world.register()
    world.approve(version)
    world.deploy(version)
    world.clock.advance(3600)
    turn(world)
    assert world.stages() == {1: "production"}
    assert world.deploy(version, to="second").state == "serves"
