import math
from typing import Any

import msgspec
import pytest

from falaj.definitions.policy import Policy
from falaj.definitions.routing_table import ArtifactRef
from falaj.definitions.signature import InputSpec, Signature
from falaj.governance.access import Actor, Role
from falaj.governance.approvals import Approvals
from falaj.governance.audit import list_records, verify
from falaj.kernel.clock import ManualClock
from falaj.kernel.errors import AccessDenied, Conflict, NotFound
from falaj.kernel.ids import id_maker
from falaj.models.findings import Findings
from falaj.models.gate_report import GateReport, Outcome
from falaj.models.parts import Part
from falaj.models.registry import Registry
from falaj.models.stages import Stage
from falaj.models.version import ModelVersion, NewVersion
from falaj.storage.metadata.database import Database

ADA = Actor("ada", Role.ENGINEER)
BOB = Actor("bob", Role.APPROVER)
EVE = Actor("eve", Role.VIEWER)
PASSED = GateReport("fraud", Outcome.PASS, (), "data", "a" * 64, None, None, "policy", Findings(Part(100, 20)), 0)
NEW = NewVersion(
    model="fraud", run_id="run_1", dataset="fraud_train", dataset_digest="data", artifact=ArtifactRef("a" * 64, "onnx"),
    signature=Signature((InputSpec("amount", "float64"),)), metrics={"auc": 0.9, "f1": math.nan},
)  # fmt: skip


class Rooms:
    def __init__(self, db: Database) -> None:
        self.db = db
        self.clock = ManualClock()
        self.registry = Registry(db, self.clock)
        self.approvals = Approvals(db, self.clock, id_maker(self.clock))

    def version(self, run: int, outcome: Outcome = Outcome.PASS) -> ModelVersion:
        gate = msgspec.structs.replace(PASSED, outcome=outcome)
        return self.registry.register(msgspec.structs.replace(NEW, run_id=f"run_{run}"), ADA, gate=gate)

    def approve(self, version: int, *, by: Actor = BOB, yes: bool = True) -> None:
        self.clock.advance(1)
        asked = self.approvals.request("model", f"fraud/{version}", ADA)
        (self.approvals.approve if yes else self.approvals.reject)(asked.id, by)
        self.clock.advance(1)

    def promote(self, version: int) -> None:
        self.registry.transition("fraud", version, Stage.STAGING, ADA)
        self.approve(version)
        self.registry.transition("fraud", version, Stage.PRODUCTION, ADA)

    def in_production(self) -> int | None:
        found = self.registry.holder("fraud", "production")
        return found.version if found else None


@pytest.fixture
def rooms(each_db: Database) -> Rooms:
    return Rooms(each_db)


def test_versions_are_numbered_and_come_back_as_they_were(rooms: Rooms) -> None:
    first, second = rooms.version(1), rooms.version(2)
    assert (first.version, second.version) == (1, 2)
    kept = rooms.registry.get("fraud", 1)
    assert kept.metrics == {"auc": 0.9, "f1": None}
    assert msgspec.structs.replace(kept, metrics={}) == msgspec.structs.replace(first, metrics={})
    assert [version.version for version in rooms.registry.versions("fraud")] == [2, 1]
    assert rooms.registry.models() == ["fraud"]


def test_a_repeated_step_registers_nothing_twice(rooms: Rooms) -> None:
    first = rooms.version(1)
    before = verify(rooms.db).records
    assert rooms.version(1).version == first.version
    assert len(rooms.registry.versions("fraud")) == 1 and verify(rooms.db).records == before


def test_what_does_not_exist_is_named(rooms: Rooms) -> None:
    with pytest.raises(NotFound, match="model 'frod' has no version") as raised:
        rooms.registry.get("frod", 1)
    assert raised.value.hint == "there are none yet"
    rooms.version(1)
    with pytest.raises(NotFound, match="no version 7") as raised:
        rooms.registry.stage_of("fraud", 7)
    assert raised.value.hint == "the newest is 1"


def test_a_gate_about_another_artifact_is_refused(rooms: Rooms) -> None:
    with pytest.raises(Conflict, match="not about this artifact"):
        rooms.registry.register(NEW, ADA, gate=msgspec.structs.replace(PASSED, candidate_digest="b" * 64))


def test_documents_are_added_and_never_changed(rooms: Rooms) -> None:
    rooms.version(1)
    rooms.registry.attach("fraud", 1, {"card.md": "1" * 64}, ADA)
    rooms.registry.attach("fraud", 1, {"card.md": "1" * 64, "card.html": "2" * 64}, ADA)
    assert rooms.registry.get("fraud", 1).documents == {"card.md": "1" * 64, "card.html": "2" * 64}
    with pytest.raises(Conflict, match=r"card\.md"):
        rooms.registry.attach("fraud", 1, {"card.md": "3" * 64}, ADA)


def test_the_way_to_production(rooms: Rooms) -> None:
    rooms.version(1)
    assert rooms.registry.stage_of("fraud", 1) is Stage.DEVELOPMENT
    rooms.promote(1)
    assert rooms.registry.stage_of("fraud", 1) is Stage.PRODUCTION
    staged, promoted = rooms.registry.history("fraud", 1)
    assert (staged.from_stage, staged.to_stage, staged.approvals) == (Stage.DEVELOPMENT, Stage.STAGING, ())
    assert promoted.previous_holder is None and len(promoted.approvals) == 1
    assert promoted.gate_digest == PASSED.digest and promoted.at_us == 2_000_000


def test_every_write_leaves_an_audit_record(rooms: Rooms) -> None:
    rooms.version(1)
    rooms.promote(1)
    actions = [record.action for record in list_records(rooms.db, resource="fraud/1")]
    assert actions == [
        "model.transition", "model.approve", "model.request_approval", "model.transition", "model.register",
    ]  # fmt: skip
    verify(rooms.db)


@pytest.mark.parametrize("to", [Stage.PRODUCTION, Stage.DEVELOPMENT])
def test_a_move_that_skips_a_stage_is_refused(rooms: Rooms, to: Stage) -> None:
    rooms.version(1)
    with pytest.raises(Conflict, match=f"is in development and cannot move to {to}"):
        rooms.registry.transition("fraud", 1, to, ADA)
    assert rooms.registry.history("fraud") == []


def test_a_repeated_move_is_made_once(rooms: Rooms) -> None:
    rooms.version(1)
    made = rooms.registry.transition("fraud", 1, "staging", ADA)
    assert rooms.registry.transition("fraud", 1, "staging", ADA) == made
    assert len(rooms.registry.history("fraud")) == 1


@pytest.mark.parametrize("outcome", [Outcome.FAIL, Outcome.INCONCLUSIVE])
def test_without_a_passed_gate_nothing_moves_up(rooms: Rooms, outcome: Outcome) -> None:
    rooms.version(1, outcome)
    with pytest.raises(Conflict, match=f"its gate is {outcome}"):
        rooms.registry.transition("fraud", 1, Stage.STAGING, ADA)
    ungated = rooms.registry.register(msgspec.structs.replace(NEW, run_id="run_9"), ADA)
    with pytest.raises(Conflict, match="its gate was not judged"):
        rooms.registry.transition("fraud", ungated.version, Stage.STAGING, ADA)


def test_an_inconclusive_gate_is_accepted_by_policy_only(rooms: Rooms) -> None:
    lenient = Policy(accept_inconclusive=True)
    rooms.version(1, Outcome.INCONCLUSIVE)
    made = rooms.registry.transition("fraud", 1, Stage.STAGING, ADA, policy=lenient)
    assert "inconclusive gate accepted" in made.reason
    rooms.version(2, Outcome.FAIL)
    with pytest.raises(Conflict):
        rooms.registry.transition("fraud", 2, Stage.STAGING, ADA, policy=lenient)


def test_production_needs_an_approval(rooms: Rooms) -> None:
    rooms.version(1)
    rooms.registry.transition("fraud", 1, Stage.STAGING, ADA)
    with pytest.raises(AccessDenied, match="has 0 of 1 approvals"):
        rooms.registry.transition("fraud", 1, Stage.PRODUCTION, ADA)
    assert rooms.registry.stage_of("fraud", 1) is Stage.STAGING


def test_nobody_approves_their_own_version(rooms: Rooms) -> None:
    rooms.version(1)
    rooms.registry.transition("fraud", 1, Stage.STAGING, ADA)
    asked = rooms.approvals.request("model", "fraud/1", Actor("carl", Role.ENGINEER))
    rooms.approvals.approve(asked.id, ADA)  # the question was another's, the version is ada's
    with pytest.raises(AccessDenied, match="0 of 1"):
        rooms.registry.transition("fraud", 1, Stage.PRODUCTION, ADA)


def test_the_person_who_asked_for_the_training_is_its_actor(rooms: Rooms) -> None:
    worker = Actor("worker", Role.OWNER)
    version = rooms.registry.register(NEW, worker, gate=PASSED, actor="ada")
    assert version.actor == "ada"
    assert list_records(rooms.db, action="model.register")[0].actor == "worker"


def test_two_approvals_come_from_two_people(rooms: Rooms) -> None:
    rooms.version(1)
    rooms.registry.transition("fraud", 1, Stage.STAGING, ADA)
    rooms.approve(1)
    rooms.approve(1)
    two = Policy(approvals=2)
    with pytest.raises(AccessDenied, match="1 of 2"):
        rooms.registry.transition("fraud", 1, Stage.PRODUCTION, ADA, policy=two)
    rooms.approve(1, by=Actor("cleo", Role.APPROVER))
    assert len(rooms.registry.transition("fraud", 1, Stage.PRODUCTION, ADA, policy=two).approvals) == 2


def test_a_rejection_voids_earlier_approvals(rooms: Rooms) -> None:
    rooms.version(1)
    rooms.registry.transition("fraud", 1, Stage.STAGING, ADA)
    rooms.approve(1)
    rooms.approve(1, yes=False)
    with pytest.raises(AccessDenied):
        rooms.registry.transition("fraud", 1, Stage.PRODUCTION, ADA)


def test_auto_promotion_is_a_policy(rooms: Rooms) -> None:
    rooms.version(1)
    rooms.registry.transition("fraud", 1, Stage.STAGING, ADA)
    made = rooms.registry.transition("fraud", 1, Stage.PRODUCTION, ADA, policy=Policy(auto_promote=True))
    assert made.to_stage is Stage.PRODUCTION and made.approvals == ()


def test_a_new_holder_replaces_the_old_one(rooms: Rooms) -> None:
    rooms.version(1)
    rooms.version(2)
    rooms.version(3)
    rooms.promote(1)
    rooms.promote(2)
    assert rooms.in_production() == 2 and rooms.registry.stage_of("fraud", 1) is Stage.ARCHIVED
    assert rooms.registry.history("fraud", 2)[-1].previous_holder == 1
    rooms.registry.transition("fraud", 3, Stage.STAGING, ADA)
    assert [version.version for version in rooms.registry.in_use("fraud")] == [1, 2, 3]


def test_a_replaced_candidate_returns_to_development(rooms: Rooms) -> None:
    rooms.version(1)
    rooms.version(2)
    rooms.registry.transition("fraud", 1, Stage.STAGING, ADA)
    rooms.registry.transition("fraud", 2, Stage.STAGING, ADA)
    assert rooms.registry.stage_of("fraud", 1) is Stage.DEVELOPMENT


def test_rollback_returns_to_the_recorded_previous_holder(rooms: Rooms) -> None:
    for run in (1, 2, 3):
        rooms.version(run)
        rooms.promote(run)
    assert rooms.registry.rollback("fraud", ADA, reason="errors").version == 2
    assert rooms.in_production() == 2 and rooms.registry.stage_of("fraud", 3) is Stage.ARCHIVED
    assert rooms.registry.rollback("fraud", ADA).version == 1
    with pytest.raises(Conflict, match="fraud/1 has no predecessor"):
        rooms.registry.rollback("fraud", ADA)
    assert [r.action for r in list_records(rooms.db, limit=2)] == ["model.rollback", "model.transition"]


def test_a_version_rolled_back_needs_a_fresh_approval(rooms: Rooms) -> None:
    for run in (1, 2):
        rooms.version(run)
        rooms.promote(run)
    rooms.registry.rollback("fraud", ADA)
    rooms.registry.transition("fraud", 2, Stage.STAGING, ADA)
    with pytest.raises(AccessDenied):
        rooms.registry.transition("fraud", 2, Stage.PRODUCTION, ADA)
    rooms.approve(2)
    assert rooms.registry.transition("fraud", 2, Stage.PRODUCTION, ADA).previous_holder == 1


def test_rollback_needs_something_in_production(rooms: Rooms) -> None:
    rooms.version(1)
    with pytest.raises(Conflict, match="no version in production"):
        rooms.registry.rollback("fraud", ADA)


def test_a_viewer_may_do_none_of_it(rooms: Rooms) -> None:
    rooms.version(1)
    calls: list[Any] = [
        lambda: rooms.registry.register(NEW, EVE),
        lambda: rooms.registry.attach("fraud", 1, {}, EVE),
        lambda: rooms.registry.transition("fraud", 1, Stage.STAGING, EVE),
        lambda: rooms.registry.transition("fraud", 1, Stage.ARCHIVED, EVE),
        lambda: rooms.registry.rollback("fraud", EVE),
    ]
    for call in calls:
        with pytest.raises(AccessDenied):
            call()


def test_a_move_joins_a_transaction_and_falls_with_it(rooms: Rooms) -> None:
    for run in (1, 2):
        rooms.version(run)
        rooms.promote(run)
    with pytest.raises(ZeroDivisionError), rooms.db.write() as connection:
        rooms.registry.rollback("fraud", ADA, connection=connection)
        raise ZeroDivisionError
    assert rooms.in_production() == 2
    with rooms.db.write() as connection:
        rooms.registry.rollback("fraud", ADA, connection=connection)
    assert rooms.in_production() == 1
