"""Operations on models: who decides, how often, and what then begins."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from falaj.app.operations.model import approve, reject
from falaj.app.values.model import Decide
from falaj.definitions.policy import Policy
from falaj.governance.access import Actor, Role
from falaj.kernel.errors import AccessDenied, Conflict
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
