"""Rollouts as rows: one version on its way to an endpoint's traffic, and every decision taken about it."""

from typing import Any, Literal

import msgspec
import sqlalchemy as sa

from falaj.definitions.rollout import Canary
from falaj.definitions.routing_table import Variant
from falaj.kernel.codec import from_json, to_json
from falaj.kernel.errors import Conflict, NotFound
from falaj.rollout.canary import CanaryState, Decision
from falaj.rollout.evidence import Counts
from falaj.storage.metadata.schema import metadata

Status = Literal["running", "promoted", "aborted", "rolled_back", "withdrawn"]

ROLLOUT = sa.Table(
    "rollout",
    metadata,
    sa.Column("seq", sa.Integer, primary_key=True),  # the order of starts, which a clock set back cannot turn round
    sa.Column("id", sa.String, nullable=False, unique=True),
    sa.Column("endpoint", sa.String, nullable=False, index=True),
    sa.Column("status", sa.String, nullable=False, index=True),
    sa.Column("started_at", sa.BigInteger, nullable=False),
    sa.Column("revision", sa.Integer, nullable=False),
    sa.Column("body", sa.Text, nullable=False),
)
# Two versions on their way to the same traffic could not be told apart; the database holds it, not the code alone.
sa.Index(
    "rollout_one_running",
    ROLLOUT.c.endpoint,
    unique=True,
    sqlite_where=ROLLOUT.c.status == "running",
    postgresql_where=ROLLOUT.c.status == "running",
)

ROLLOUT_VERDICT = sa.Table(
    "rollout_verdict",
    metadata,
    sa.Column("seq", sa.Integer, primary_key=True),
    sa.Column("rollout_id", sa.String, sa.ForeignKey("rollout.id"), nullable=False, index=True),
    sa.Column("at", sa.BigInteger, nullable=False),
    sa.Column("action", sa.String, nullable=False),
    sa.Column("code", sa.String, nullable=False),
    sa.Column("decision", sa.Text, nullable=False),
)


class Rollout(msgspec.Struct, frozen=True):
    """One version on its way to an endpoint's traffic.

    Attributes:
        id: The rollout's identifier.
        endpoint: Where to.
        status: "running" until it ends; "promoted" may still become "rolled_back" later.
        plan: How.
        candidate: The version, as a variant.
        previous: What served before, to which an abort or a rollback returns; empty for the first version.
        state: Where it stands.
        baseline: What the candidate's counters said when the step began.
        revision: Grows with every change; a change on top of an old revision is refused.
        started_us: In microseconds.
        ended_us: When it was promoted, aborted or rolled back; None while it runs.
        reason: Why it is where it is.
        actor: Who started it.
    """

    id: str
    endpoint: str
    status: Status
    plan: Canary
    candidate: Variant
    previous: tuple[Variant, ...]
    state: CanaryState
    baseline: Counts
    revision: int
    started_us: int
    ended_us: int | None
    reason: str
    actor: str


def refuse_second(connection: sa.Connection, endpoint: str) -> None:
    """Return if no rollout runs on the endpoint.

    Raises:
        Conflict: One does.
    """
    running = find(connection, endpoint, "running")
    if running is not None:
        raise Conflict(
            f"version {running.candidate.version} is being rolled out on endpoint {endpoint!r} already",
            hint=f"wait for it, or end it: falaj rollback {endpoint}",
        )


def insert(connection: sa.Connection, rollout: Rollout) -> None:
    """Add a rollout."""
    connection.execute(ROLLOUT.insert().values(id=rollout.id, **_columns(rollout)))


def update(connection: sa.Connection, rollout: Rollout) -> Rollout:
    """Store a changed rollout on top of the revision that it was read at.

    Returns:
        The rollout with its new revision.

    Raises:
        Conflict: Somebody else changed it since.
    """
    newer = msgspec.structs.replace(rollout, revision=rollout.revision + 1)
    result = connection.execute(
        ROLLOUT.update()
        .where(ROLLOUT.c.id == rollout.id, ROLLOUT.c.revision == rollout.revision)
        .values(**_columns(newer))
    )
    if result.rowcount != 1:
        raise Conflict(f"rollout {rollout.id} was changed by another", hint="look again: falaj status")
    return newer


def running(connection: sa.Connection) -> list[Rollout]:
    """Return all rollouts that are under way."""
    query = sa.select(ROLLOUT.c.body).where(ROLLOUT.c.status == "running").order_by(ROLLOUT.c.seq)
    return [_rollout(body) for body in connection.execute(query).scalars()]


def find(connection: sa.Connection, endpoint: str, status: Status) -> Rollout | None:
    """Return an endpoint's latest rollout of that status."""
    query = (
        sa.select(ROLLOUT.c.body)
        .where(ROLLOUT.c.endpoint == endpoint, ROLLOUT.c.status == status)
        .order_by(ROLLOUT.c.seq.desc())
        .limit(1)
    )
    body = connection.execute(query).scalar_one_or_none()
    return None if body is None else _rollout(body)


def get(connection: sa.Connection, rollout_id: str) -> Rollout:
    """Return a rollout.

    Raises:
        NotFound: There is none of that id.
    """
    body = connection.execute(sa.select(ROLLOUT.c.body).where(ROLLOUT.c.id == rollout_id)).scalar_one_or_none()
    if body is None:
        raise NotFound(f"rollout {rollout_id!r} does not exist", hint="look at: falaj status")
    return _rollout(body)


def history(connection: sa.Connection, endpoint: str, *, limit: int = 100) -> list[Rollout]:
    """Return an endpoint's rollouts, the newest first."""
    query = sa.select(ROLLOUT.c.body).where(ROLLOUT.c.endpoint == endpoint).order_by(ROLLOUT.c.seq.desc()).limit(limit)
    return [_rollout(body) for body in connection.execute(query).scalars()]


def record_decision(connection: sa.Connection, rollout_id: str, decision: Decision) -> None:
    """Keep a decision with everything that it was decided from."""
    connection.execute(
        ROLLOUT_VERDICT.insert().values(
            rollout_id=rollout_id,
            at=decision.now_us,
            action=decision.action,
            code=decision.code,
            decision=to_json(decision),
        )
    )


def decisions(connection: sa.Connection, rollout_id: str) -> list[Decision]:
    """Return a rollout's kept decisions, the oldest first."""
    query = (
        sa.select(ROLLOUT_VERDICT.c.decision)
        .where(ROLLOUT_VERDICT.c.rollout_id == rollout_id)
        .order_by(ROLLOUT_VERDICT.c.seq)
    )
    return [from_json(raw, Decision, what="stored decision") for raw in connection.execute(query).scalars()]


def last_word(connection: sa.Connection, rollout_id: str) -> tuple[str, str, int] | None:
    """Return action, code and step of the last kept decision: a hold for the same reason need not be kept again."""
    query = (
        sa.select(ROLLOUT_VERDICT.c.decision)
        .where(ROLLOUT_VERDICT.c.rollout_id == rollout_id)
        .order_by(ROLLOUT_VERDICT.c.seq.desc())
        .limit(1)
    )
    raw = connection.execute(query).scalar_one_or_none()
    if raw is None:
        return None
    decision = from_json(raw, Decision, what="stored decision")
    return decision.action, decision.code, decision.step


def _columns(rollout: Rollout) -> dict[str, Any]:
    return {
        "endpoint": rollout.endpoint,
        "status": rollout.status,
        "started_at": rollout.started_us,
        "revision": rollout.revision,
        "body": to_json(rollout),
    }


def _rollout(body: str) -> Rollout:
    return from_json(body, Rollout, what="stored rollout")
