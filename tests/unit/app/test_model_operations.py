"""Operations on models: who decides, how often, and what then begins."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from falaj.app.operations.model import approve, reject
from falaj.app.reconcilers import Expiry
from falaj.app.values.model import Decide
from falaj.definitions.policy import Policy
from falaj.governance.access import Actor, Role
from falaj.governance.audit import list_records
from falaj.kernel.errors import AccessDenied, Conflict
from falaj.lifecycle.approving import ask_for_approval
from falaj.lifecycle.promotion import Promotions
from falaj.models.gate_report import Outcome
from support.rooms_world import ADA, EVE, World, definitions, opened

ZOE = Actor("zoe", Role.APPROVER)


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    """A project whose policy wants two people."""
    with opened(tmp_path, definitions(policy=Policy(approvals=2))) as found:
        yield found


def decide(version: int = 1) -> Decide:
    return Decide("fraud", version, "")


def test_two_people_approve_one_after_the_other(world: World) -> None:
    assert world.deploy(world.register()).state == "waits for approval"
    approve(world.rooms, EVE, decide())
    assert (world.serving(), world.pending()) == ({}, ["fraud/1"])
    with pytest.raises(Conflict, match="already approved by 'eve'"):
        approve(world.rooms, EVE, decide())
    with pytest.raises(AccessDenied, match="had version 1"):
        approve(world.rooms, ADA, decide())
    approve(world.rooms, ZOE, decide())
    assert (world.serving(), world.pending()) == ({1: 100}, [])


def test_the_second_of_two_may_refuse(world: World) -> None:
    world.deploy(world.register())
    world.clock.advance(1)
    approve(world.rooms, EVE, decide())
    world.clock.advance(1)
    reject(world.rooms, ZOE, decide())
    for by in (EVE, ZOE):
        with pytest.raises(Conflict, match="already rejected"):
            approve(world.rooms, by, decide())
    with pytest.raises(Conflict, match="was refused by zoe"):
        world.deploy(1)
    assert (world.serving(), world.pending()) == ({}, [])


def test_a_question_that_a_crash_left_unasked_is_asked_by_the_next_person(world: World) -> None:
    version = world.register()
    world.approve(version)  # and the process died before it asked for the second one
    assert world.pending() == []
    approve(world.rooms, ZOE, decide())
    assert set(world.rooms.registry.approvers(version)) == {"eve", "zoe"}


def test_what_asks_for_nothing_cannot_be_decided(world: World) -> None:
    world.register(gate=Outcome.FAIL)
    with pytest.raises(Conflict, match="asks for no approval: its gate is FAIL"):
        approve(world.rooms, EVE, decide())


def test_a_policy_that_wants_fewer_needs_no_further_approval(world: World) -> None:
    world.deploy(world.register())
    approve(world.rooms, EVE, decide())
    world.apply(definitions(policy=Policy(approvals=1)))
    Promotions(world.rooms).run_pass(world.clock.now())
    assert world.serving() == {1: 100}


def lapsing(world: World, expires: str = "30s") -> None:
    world.apply(definitions(policy=Policy(approvals=2, expires=expires)))


def asked_times(world: World) -> int:
    return sum(entry.action == "model.request_approval" for entry in list_records(world.rooms.db))


def test_a_refused_approval_leaves_a_lapsed_question_closed(world: World) -> None:
    lapsing(world)
    world.deploy(world.register())
    approve(world.rooms, EVE, decide())
    world.clock.advance(31)
    Expiry(world.rooms).run_pass(world.clock.now())
    before = asked_times(world)
    with pytest.raises(AccessDenied, match="had version 1"):
        approve(world.rooms, ADA, decide())
    with pytest.raises(AccessDenied):
        approve(world.rooms, Actor("vic", Role.VIEWER), decide())
    world.apply(definitions(policy=Policy(approvals=2, approvers=["approver"], expires="30s")))
    with pytest.raises(AccessDenied, match="does not ask engineer"):
        approve(world.rooms, Actor("eli", Role.ENGINEER), decide())
    assert world.pending() == []
    assert asked_times(world) == before


def test_an_approval_lapses_with_the_question_for_the_next_one(world: World) -> None:
    lapsing(world)
    version = world.register()
    world.deploy(version)
    approve(world.rooms, EVE, decide())
    world.clock.advance(31)
    assert approve(world.rooms, ZOE, decide()).next.startswith("1 more of 2 approvals")
    assert set(world.rooms.registry.approvers(version, Policy(approvals=2, expires="30s"))) == {"zoe"}
    approve(world.rooms, EVE, decide())  # who approved in the lapsed question may do so again
    assert world.serving() == {1: 100}


def test_approvals_that_stood_together_hold_whatever_time_passes(world: World) -> None:
    lapsing(world)
    version = world.register()
    for by in (EVE, ZOE):
        world.approve(version, by)
        world.clock.advance(29)
    world.clock.advance(3600)
    assert world.deploy(version).state == "serves"


def test_a_question_lapses_by_the_policy_in_force_now(world: World) -> None:
    world.deploy(world.register())
    lapsing(world)
    Expiry(world.rooms).run_pass(world.clock.now())
    assert world.pending() == ["fraud/1"]
    world.clock.advance(31)
    Expiry(world.rooms).run_pass(world.clock.now())
    assert world.pending() == []
    world.deploy(1)
    world.apply(definitions(policy=Policy(approvals=2)))
    world.clock.advance(31)
    Expiry(world.rooms).run_pass(world.clock.now())
    assert world.pending() == ["fraud/1"]


def test_whom_the_policy_asks_is_said(world: World) -> None:
    world.apply(definitions(policy=Policy(approvals=2, approvers=["approver", "actor:eve"])))
    reason = world.deploy(world.register()).reason
    assert reason == (
        "2 of 2 approvals are missing, by approver or actor:eve, not ada, who had it made: falaj approve fraud 1"
    )
    assert "1 more of 2 approvals, each by another person: approver or actor:eve" in (
        approve(world.rooms, EVE, decide()).next
    )


def test_a_version_that_another_replaced_waits_no_more(world: World) -> None:
    for _ in range(2):
        world.deploy(world.register())
    assert world.pending() == ["fraud/2"]
    (closed,) = world.rooms.approvals.find(subject="fraud/1")
    assert (closed.state, closed.comment) == ("SUPERSEDED", "version 2 replaced it")
    world.deploy(1)  # an older one is wanted again: the newer one still has its question
    assert sorted(world.pending()) == ["fraud/1", "fraud/2"]


def test_a_newer_version_that_serves_ends_older_questions(world: World) -> None:
    first, second = world.register(), world.register()
    for version in (first, second):
        ask_for_approval(world.rooms, version, "trained")
    for by in (EVE, ZOE):
        approve(world.rooms, by, decide(2))
    assert set(world.pending()) == {"fraud/1"}
    assert world.deploy(second).state == "serves"
    assert world.pending() == []
