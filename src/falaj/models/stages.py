"""Stages: where each version stands. The truth is the table of transitions; every move is one row of it."""

import enum

import msgspec
import sqlalchemy as sa

from falaj.definitions.policy import Policy
from falaj.governance.access import Actor
from falaj.governance.approvals import APPROVAL
from falaj.governance.audit import record
from falaj.governance.identity import ACTOR
from falaj.kernel.clock import Clock, to_us
from falaj.kernel.codec import canonical_json, from_json
from falaj.kernel.duration import duration_us
from falaj.kernel.errors import AccessDenied, Conflict
from falaj.models.gate_report import Outcome
from falaj.models.version import ModelVersion
from falaj.storage.metadata.schema import metadata


class Stage(enum.StrEnum):
    """Where a version stands; staging and production hold one version of a model each."""

    DEVELOPMENT = "development"
    STAGING = "staging"
    PRODUCTION = "production"
    ARCHIVED = "archived"


MOVES: dict[Stage, tuple[Stage, ...]] = {
    Stage.DEVELOPMENT: (Stage.STAGING, Stage.ARCHIVED),
    Stage.STAGING: (Stage.PRODUCTION, Stage.DEVELOPMENT, Stage.ARCHIVED),
    Stage.PRODUCTION: (Stage.ARCHIVED,),
    Stage.ARCHIVED: (Stage.STAGING,),
}
"""The moves a person may ask for; a rollback and the replacement of a holder are moves of their own."""

_LEFT_BEHIND = {Stage.PRODUCTION: Stage.ARCHIVED, Stage.STAGING: Stage.DEVELOPMENT}

MODEL_TRANSITION = sa.Table(
    "model_transition",
    metadata,
    sa.Column("id", sa.Integer, primary_key=True),
    sa.Column("model", sa.String, nullable=False),
    sa.Column("version", sa.Integer, nullable=False),
    sa.Column("from_stage", sa.String, nullable=False),
    sa.Column("to_stage", sa.String, nullable=False),
    sa.Column("actor", sa.String, nullable=False),
    sa.Column("approvals", sa.Text, nullable=False),
    sa.Column("gate_digest", sa.String, nullable=False),
    sa.Column("previous_holder", sa.Integer),
    sa.Column("reason", sa.Text, nullable=False),
    sa.Column("at_us", sa.BigInteger, nullable=False),
    sa.Index("model_transition_model_version", "model", "version"),
)


class Transition(msgspec.Struct, frozen=True):
    """One move of one version.

    Attributes:
        id: Grows with every move.
        model: The model's name.
        version: The version's number.
        from_stage: Where it stood.
        to_stage: Where it stands.
        actor: Who moved it.
        approvals: The approvals that allowed it.
        gate_digest: Its gate report.
        previous_holder: Which version held the stage before; a rollback returns to it.
        reason: Why.
        at_us: When, in microseconds.
    """

    id: int
    model: str
    version: int
    from_stage: Stage
    to_stage: Stage
    actor: str
    approvals: tuple[str, ...]
    gate_digest: str
    previous_holder: int | None
    reason: str
    at_us: int


def transitions(connection: sa.Connection, model: str, version: int | None = None) -> list[Transition]:
    """Return a model's moves, the oldest first."""
    query = sa.select(MODEL_TRANSITION).where(MODEL_TRANSITION.c.model == model).order_by(MODEL_TRANSITION.c.id)
    if version is not None:
        query = query.where(MODEL_TRANSITION.c.version == version)
    return [_transition(row) for row in connection.execute(query)]


def stages(connection: sa.Connection, model: str) -> dict[int, Stage]:
    """Return where each version stands that was ever moved; the others are in development."""
    return {move.version: move.to_stage for move in transitions(connection, model)}


def holder(connection: sa.Connection, model: str, stage: Stage) -> int | None:
    """Return the version that holds staging or production, or None."""
    return next((version for version, at in stages(connection, model).items() if at is stage), None)


def move(
    connection: sa.Connection,
    clock: Clock,
    version: ModelVersion,
    to: Stage,
    by: Actor,
    *,
    policy: Policy,
    reason: str = "",
) -> Transition:
    """Move a version in a transaction that is already open; `Registry.transition` says what it raises."""
    past = transitions(connection, version.model, version.version)
    at = past[-1].to_stage if past else Stage.DEVELOPMENT
    if at is to and past:
        return past[-1]
    if to not in MOVES[at]:
        allowed = ", ".join(MOVES[at])
        raise Conflict(f"version {version.subject} is in {at} and cannot move to {to}", hint=f"it may go to {allowed}")
    approvals: tuple[str, ...] = ()
    if to in (Stage.STAGING, Stage.PRODUCTION):
        _check_gate(version, to, policy)
    if to is Stage.PRODUCTION and not policy.auto_promote:
        approvals = _approvals(connection, version, policy, to_us(clock.now()))
    if to in (Stage.STAGING, Stage.PRODUCTION) and version.gate_outcome is Outcome.INCONCLUSIVE:
        reason = f"{reason} (inconclusive gate accepted)".strip()
    previous = holder(connection, version.model, to) if to in _LEFT_BEHIND else None
    made = _write(connection, clock, version, at, to, by, reason=reason, approvals=approvals, previous=previous)
    if previous is not None:
        _leave(connection, clock, version.model, previous, to, by, reason=f"replaced by {version.subject}")
    return made


def roll_back(connection: sa.Connection, clock: Clock, model: str, by: Actor, *, reason: str = "") -> Transition:
    """Return production to its recorded previous holder in a transaction that is already open.

    The version returned to had its gate and its approvals, so none are asked again: a rollback must not wait.
    A second rollback goes one further back.

    Raises:
        Conflict: Nothing is in production, or nothing was before it.
    """
    past = transitions(connection, model)
    now = holder(connection, model, Stage.PRODUCTION)
    if now is None:
        raise Conflict(f"model {model!r} has no version in production", hint="promote one first")
    entered = _entries(past, now)
    previous = entered[-1].previous_holder
    if previous is None:
        raise Conflict(f"version {model}/{now} has no predecessor in production", hint="train or promote another one")
    at = next(move.to_stage for move in reversed(past) if move.version == previous)
    before = _entries(past, previous)[-1]
    why = reason or f"rolled back from {model}/{now}"
    _leave(connection, clock, model, now, Stage.PRODUCTION, by, reason=why)
    row = msgspec.structs.replace(before, from_stage=at, actor=by.name, reason=why, at_us=to_us(clock.now()))
    return _insert(connection, clock, row, "model.rollback")


def _entries(past: list[Transition], version: int) -> list[Transition]:
    return [move for move in past if move.version == version and move.to_stage is Stage.PRODUCTION]


def is_blessed(version: ModelVersion, policy: Policy) -> bool:
    """Return whether a version's gate lets it move: it passed, or lacked evidence and the policy accepts that.

    Args:
        version: The version.
        policy: The project's.
    """
    inconclusive = version.gate_outcome is Outcome.INCONCLUSIVE
    return version.gate_outcome is Outcome.PASS or (inconclusive and policy.accept_inconclusive)


def _check_gate(version: ModelVersion, to: Stage, policy: Policy) -> None:
    if is_blessed(version, policy):
        return
    found = "was not judged" if version.gate_outcome is None else f"is {version.gate_outcome}"
    raise Conflict(
        f"version {version.subject} cannot move to {to}: its gate {found}", hint="see its gate report for the reasons"
    )


def valid_approvals(connection: sa.Connection, version: ModelVersion, policy: Policy, now_us: int) -> dict[str, str]:
    """Return the approvals that hold for a version now: who gave them, and their identifiers.

    Those by the version's own actor never count, nor those of people whom the policy does not ask; a rejection ends
    all before it; and a version that left production needs to be looked at anew. While too few stand together, each
    lapses as long after it was given as a question does after it was asked.
    """
    about = (APPROVAL.c.kind == "model") & (APPROVAL.c.subject == version.subject) & APPROVAL.c.decided.is_not(None)
    decided = connection.execute(sa.select(APPROVAL).where(about).order_by(APPROVAL.c.decided, APPROVAL.c.id)).all()
    past = transitions(connection, version.model, version.version)
    since = max((move.at_us for move in past if move.from_stage is Stage.PRODUCTION), default=-1)
    roles = {row.name: row.role for row in connection.execute(sa.select(ACTOR))} if policy.approvers else {}
    found: dict[str, tuple[str, int]] = {}
    for row in decided:
        if row.state == "REJECTED":
            found.clear()
        elif row.state == "APPROVED" and row.decided > since and row.decided_by != version.actor:
            if not policy.counts(row.decided_by, roles.get(row.decided_by, "")):
                continue
            _drop_lapsed(found, policy, row.decided)
            found[row.decided_by] = (row.id, row.decided)
    _drop_lapsed(found, policy, now_us)
    return {who: id for who, (id, _) in found.items()}


def _drop_lapsed(found: dict[str, tuple[str, int]], policy: Policy, at_us: int) -> None:
    """Drop what lapsed before a moment; as many as the policy asks for, once together, stay."""
    if policy.expires and len(found) < policy.approvals:
        for who in [who for who, (_, given_us) in found.items() if given_us + duration_us(policy.expires) <= at_us]:
            del found[who]


def _approvals(connection: sa.Connection, version: ModelVersion, policy: Policy, now_us: int) -> tuple[str, ...]:
    found = valid_approvals(connection, version, policy, now_us)
    if len(found) < policy.approvals:
        by = f", from {', '.join(policy.approvers)}" if policy.approvers else ""
        raise AccessDenied(
            f"version {version.subject} has {len(found)} of {policy.approvals} approvals that production needs{by}",
            hint=f"not from {version.actor!r}: 'falaj approve {version.model} {version.version}'",
        )
    return tuple(found.values())


def _leave(
    connection: sa.Connection, clock: Clock, model: str, version: int, stage: Stage, by: Actor, *, reason: str
) -> None:
    row = Transition(0, model, version, stage, _LEFT_BEHIND[stage], by.name, (), "", None, reason, to_us(clock.now()))
    _insert(connection, clock, row, "model.transition")


def _write(
    connection: sa.Connection,
    clock: Clock,
    version: ModelVersion,
    at: Stage,
    to: Stage,
    by: Actor,
    *,
    reason: str,
    approvals: tuple[str, ...],
    previous: int | None,
) -> Transition:
    now_us = to_us(clock.now())
    row = Transition(
        0, version.model, version.version, at, to, by.name, approvals, version.gate_digest, previous, reason, now_us
    )
    return _insert(connection, clock, row, "model.transition")


def _insert(connection: sa.Connection, clock: Clock, row: Transition, action: str) -> Transition:
    values = msgspec.to_builtins(row) | {"approvals": canonical_json(row.approvals).decode()}
    del values["id"]
    id = connection.execute(MODEL_TRANSITION.insert().values(**values).returning(MODEL_TRANSITION.c.id)).scalar_one()
    detail = {
        "from": row.from_stage,
        "to": row.to_stage,
        "approvals": row.approvals,
        "gate": row.gate_digest,
        "previous_holder": row.previous_holder,
        "reason": row.reason,
    }
    record(connection, clock, row.actor, action, f"{row.model}/{row.version}", detail)
    return msgspec.structs.replace(row, id=id)


def _transition(row: sa.Row[tuple[object, ...]]) -> Transition:
    values = {str(name): value for name, value in row._mapping.items()}
    values["approvals"] = from_json(values["approvals"], tuple[str, ...])
    return msgspec.convert(values, Transition)
