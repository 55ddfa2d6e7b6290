"""One short pass over all running rollouts: read the counters, decide, and carry the decision out.

The pass may be killed anywhere and run again: what it decided and what it changed are one transaction, on top of the
revision that it read, and publishing is repeated until the store says what the database says.
"""

import msgspec
import sqlalchemy as sa

from falaj.definitions.verdict import Verdict
from falaj.governance import audit
from falaj.governance.access import SYSTEM
from falaj.kernel.clock import Clock, to_us
from falaj.kernel.errors import Conflict
from falaj.rollout import rollouts, table
from falaj.rollout.canary import Action, CanaryState, Decision, decide
from falaj.rollout.deploy import CANDIDATE, Publish, ReadCounts, routed
from falaj.rollout.evidence import Counts
from falaj.rollout.rollouts import Rollout, Status
from falaj.storage.metadata.database import Database

_STATUSES: dict[Action, Status] = {"promote": "promoted", "abort": "aborted", "roll_back": "rolled_back"}


def reconcile(db: Database, clock: Clock, read_counts: ReadCounts, publish: Publish) -> list[Verdict]:
    """Judge every running rollout once and carry out what follows.

    Args:
        db: The metadata database.
        clock: The time.
        read_counts: Each variant's counters of an endpoint.
        publish: Brings the key-value store up to the routing table; called even when nothing changed, since an
            earlier pass may have died before it.

    Returns:
        One verdict per rollout that was judged.
    """
    with db.read() as connection:
        under_way = rollouts.running(connection)
    verdicts = []
    for rollout in under_way:
        reading = read_counts(rollout.endpoint).get(CANDIDATE)
        decision = _decide(rollout, reading, to_us(clock.now()))
        try:
            changed = _carry_out(db, clock, rollout, decision, reading)
        except Conflict:  # a person rolled back in between; there is nothing left to decide
            continue
        if changed:  # before the next endpoint is even looked at: an abort waits for nobody
            publish()
        verdicts.append(decision.to_verdict(rollout.endpoint))
    publish()
    return verdicts


def _decide(rollout: Rollout, reading: Counts | None, now_us: int) -> Decision:
    gathered = None if reading is None else reading.since(rollout.baseline)
    return decide(rollout.plan, rollout.state, gathered, now_us)


def _carry_out(db: Database, clock: Clock, rollout: Rollout, decision: Decision, reading: Counts | None) -> bool:
    """Store the decision and what it changes; return whether the routing changed."""
    if decision.action == "hold":
        _keep_hold(db, rollout, decision)
        return False
    with db.write() as connection:
        after = rollouts.update(connection, _after(rollout, decision, reading))
        rollouts.record_decision(connection, rollout.id, decision)
        route = table.require_route(connection, rollout.endpoint)
        route = table.write_route(connection, routed(route, after), SYSTEM.name, decision.now_us)
        _audit(connection, clock, rollout, decision, route.epoch)
    return True


def _keep_hold(db: Database, rollout: Rollout, decision: Decision) -> None:
    """Keep a hold only when its reason is new: passes come twice a second, for hours."""
    word = (decision.action, decision.code, decision.step)
    with db.read() as connection:
        if rollouts.last_word(connection, rollout.id) == word:
            return
    with db.write() as connection:
        rollouts.update(connection, msgspec.structs.replace(rollout, reason=decision.reason))
        rollouts.record_decision(connection, rollout.id, decision)


def _after(rollout: Rollout, decision: Decision, reading: Counts | None) -> Rollout:
    if decision.action == "advance":
        return msgspec.structs.replace(
            rollout,
            state=CanaryState(decision.step, decision.now_us),
            baseline=reading or rollout.baseline,
            reason=decision.reason,
        )
    return msgspec.structs.replace(
        rollout, status=_STATUSES[decision.action], ended_us=decision.now_us, reason=decision.reason
    )


def _audit(connection: sa.Connection, clock: Clock, rollout: Rollout, decision: Decision, epoch: int) -> None:
    detail = {
        "rollout": rollout.id,
        "model": rollout.candidate.model,
        "version": rollout.candidate.version,
        "step": decision.step,
        "reason": decision.reason,
        "epoch": epoch,
    }
    audit.record(connection, clock, SYSTEM.name, f"rollout.{decision.action}", rollout.endpoint, detail)
