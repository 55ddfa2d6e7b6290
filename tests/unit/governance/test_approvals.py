"""Approvals: somebody else decides, once, in time."""

from datetime import timedelta

import pytest

from falaj.governance.access import SYSTEM, Actor, Role
from falaj.governance.approvals import Approvals, ApprovalState
from falaj.governance.audit import list_records
from falaj.kernel.clock import ManualClock
from falaj.kernel.errors import AccessDenied, Conflict, InputError, NotFound
from falaj.kernel.ids import id_maker
from falaj.storage.metadata.database import Database

ADA = Actor("ada", Role.ENGINEER)
LIN = Actor("lin", Role.APPROVER)
EVE = Actor("eve", Role.VIEWER)


@pytest.fixture
def approvals(db: Database, clock: ManualClock) -> Approvals:
    return Approvals(db, clock, id_maker(clock))


def test_another_actor_approves(approvals: Approvals, db: Database) -> None:
    asked = approvals.request("model", "fraud/3", ADA, reason="auc 0.93")
    decided = approvals.approve(asked.id, LIN, "looks right")
    assert (decided.state, decided.decided_by, decided.comment) == (ApprovalState.APPROVED, "lin", "looks right")
    assert approvals.get(asked.id) == decided
    assert [(record.action, record.actor) for record in list_records(db)] == [
        ("model.approve", "lin"),
        ("model.request_approval", "ada"),
    ]


@pytest.mark.parametrize("role", [Role.ENGINEER, Role.OWNER, Role.APPROVER])
def test_nobody_approves_their_own(approvals: Approvals, role: Role) -> None:
    asked = approvals.request("model", "fraud/3", Actor("ada", Role.OWNER))
    with pytest.raises(AccessDenied, match="'ada' asked for the approval of model 'fraud/3'") as denied:
        approvals.approve(asked.id, Actor("ada", role))
    assert "own work" in denied.value.hint
    assert approvals.get(asked.id).state is ApprovalState.PENDING


def test_whoever_asked_may_withdraw(approvals: Approvals) -> None:
    asked = approvals.request("model", "fraud/3", ADA)
    assert approvals.reject(asked.id, ADA).state is ApprovalState.REJECTED


def test_a_role_without_the_right_decides_nothing(approvals: Approvals) -> None:
    asked = approvals.request("model", "fraud/3", ADA)
    for decide in (approvals.approve, approvals.reject):
        with pytest.raises(AccessDenied, match=r"model\.approve"):
            decide(asked.id, EVE)
    with pytest.raises(AccessDenied):
        approvals.request("model", "fraud/4", EVE)


def test_a_decision_is_final(approvals: Approvals) -> None:
    asked = approvals.request("model", "fraud/3", SYSTEM)
    approvals.reject(asked.id, LIN)
    with pytest.raises(Conflict, match="already REJECTED by 'lin'"):
        approvals.approve(asked.id, ADA)


def test_asking_twice_is_one_question_until_it_is_decided(approvals: Approvals) -> None:
    asked = approvals.request("model", "fraud/3", ADA)
    assert approvals.request("model", "fraud/3", SYSTEM) == asked
    approvals.reject(asked.id, LIN)
    assert approvals.request("model", "fraud/3", ADA).id != asked.id


def test_a_lapsed_question_cannot_be_decided_and_is_closed_by_the_next_pass(
    approvals: Approvals, clock: ManualClock
) -> None:
    asked = approvals.request("model", "fraud/3", ADA, deadline=clock.now() + timedelta(hours=1))
    kept = approvals.request("model", "churn/1", ADA)
    clock.advance(3599)
    assert approvals.expire() == []
    clock.advance(1)
    with pytest.raises(Conflict, match="lapsed at 1970-01-01T01:00:00Z"):
        approvals.approve(asked.id, LIN)
    assert [lapsed.id for lapsed in approvals.expire()] == [asked.id]
    assert approvals.expire() == []
    assert approvals.find(state=ApprovalState.PENDING) == [kept]
    assert approvals.find(subject="fraud/3")[0].state is ApprovalState.EXPIRED


def test_bad_requests(approvals: Approvals, clock: ManualClock) -> None:
    with pytest.raises(InputError, match="is past"):
        approvals.request("model", "fraud/3", ADA, deadline=clock.now())
    with pytest.raises(NotFound):
        approvals.approve("apr_none", LIN)
