"""Approvals: one actor asks, another decides, and a wait is a row with a deadline."""

import enum
from collections.abc import Sequence
from datetime import datetime
from typing import Any

import msgspec
import sqlalchemy as sa

from falaj.governance.access import Actor, authorise
from falaj.governance.audit import audited, record
from falaj.kernel.clock import Clock, from_us, rfc3339, to_us
from falaj.kernel.errors import AccessDenied, Conflict, InputError, NotFound
from falaj.kernel.ids import NewId
from falaj.storage.metadata.database import Database
from falaj.storage.metadata.schema import metadata


class ApprovalState(enum.StrEnum):
    """Where an approval stands; only PENDING ever changes."""

    PENDING = "PENDING"
    APPROVED = "APPROVED"
    REJECTED = "REJECTED"
    EXPIRED = "EXPIRED"
    SUPERSEDED = "SUPERSEDED"


APPROVAL = sa.Table(
    "approval",
    metadata,
    sa.Column("id", sa.String, primary_key=True),
    sa.Column("kind", sa.String, nullable=False),
    sa.Column("subject", sa.String, nullable=False),
    sa.Column("requested_by", sa.String, nullable=False),
    sa.Column("requested", sa.BigInteger, nullable=False),
    sa.Column("reason", sa.Text, nullable=False),
    sa.Column("state", sa.String, nullable=False),
    sa.Column("decided_by", sa.String),
    sa.Column("decided", sa.BigInteger),
    sa.Column("comment", sa.Text),
    sa.Column("deadline", sa.BigInteger),
    # The state that people were last told of; empty before anyone was.
    sa.Column("told", sa.String, nullable=False, server_default=""),
)
sa.Index(
    "approval_one_pending",
    APPROVAL.c.kind,
    APPROVAL.c.subject,
    unique=True,
    sqlite_where=APPROVAL.c.state == "PENDING",
    postgresql_where=APPROVAL.c.state == "PENDING",
)

sa.Index(
    "approval_not_told",
    APPROVAL.c.requested,
    sqlite_where=APPROVAL.c.told != APPROVAL.c.state,
    postgresql_where=APPROVAL.c.told != APPROVAL.c.state,
)


class Approval(msgspec.Struct, frozen=True):
    """A question to a person; times are microseconds since 1970.

    Attributes:
        id: Identifier.
        kind: What is to be decided about: `model`, `endpoint`, …; deciding needs the action `<kind>.approve`.
        subject: Which one, such as `fraud/3`.
        requested_by: Name of the actor who asked, and who therefore may not decide.
        requested: When.
        reason: Why, for the person who decides.
        state: Where it stands.
        decided_by: Who decided, if anyone has.
        decided: When.
        comment: What they said, or what took the place of what was asked about.
        deadline: When the question lapses; None for never.
        told: The state that people were last told of; empty before anyone was.
    """

    id: str
    kind: str
    subject: str
    requested_by: str
    requested: int
    reason: str = ""
    state: ApprovalState = ApprovalState.PENDING
    decided_by: str | None = None
    decided: int | None = None
    comment: str | None = None
    deadline: int | None = None
    told: str = ""


class Approvals:
    """The approvals of a project.

    Args:
        db: The metadata database.
        clock: Gives times and judges deadlines.
        new_id: Makes identifiers.
    """

    def __init__(self, db: Database, clock: Clock, new_id: NewId) -> None:
        self._db = db
        self._clock = clock
        self._new_id = new_id

    def request(
        self, kind: str, subject: str, by: Actor, *, reason: str = "", deadline: datetime | None = None
    ) -> Approval:
        """Ask for an approval; a question that is already pending, and has not lapsed, is returned as it is.

        Raises:
            AccessDenied: `by` may not do `approval.request`.
            InputError: The deadline is past.
        """
        authorise(by, "approval.request", subject)
        with self._db.write() as connection:
            return self.request_in(connection, kind, subject, by, reason=reason, deadline=deadline)

    def request_in(
        self,
        connection: sa.Connection,
        kind: str,
        subject: str,
        by: Actor,
        *,
        reason: str = "",
        deadline: datetime | None = None,
    ) -> Approval:
        """Ask inside a transaction that is already open, so that the question stands or falls with its cause."""
        now_us = to_us(self._clock.now())
        about = (APPROVAL.c.kind == kind) & (APPROVAL.c.subject == subject)
        # Nothing else closes it where no reconciler runs, and whoever is told to ask again must be able to.
        self._close_lapsed(connection, now_us, about)
        row = connection.execute(sa.select(APPROVAL).where(about, APPROVAL.c.state == "PENDING")).first()
        if row is not None:
            return _approval(row)
        deadline_us = None if deadline is None else to_us(deadline)
        if deadline_us is not None and deadline_us <= now_us:
            raise InputError(
                f"the deadline {rfc3339(from_us(deadline_us))} of {kind} {subject!r} is past", hint="give a later one"
            )
        asked = Approval(self._new_id("apr"), kind, subject, by.name, now_us, reason, deadline=deadline_us)
        connection.execute(APPROVAL.insert().values(msgspec.to_builtins(asked)))
        detail = {"approval": asked.id, "reason": reason, "deadline": deadline_us}
        record(connection, self._clock, by.name, f"{kind}.request_approval", subject, detail)
        return asked

    def approve(self, id: str, by: Actor, comment: str = "") -> Approval:
        """Say yes.

        Raises:
            AccessDenied: `by` asked for it, or may not do `<kind>.approve`.
            Conflict: It is decided or expired.
            NotFound: There is no such approval.
        """
        return self._decide(id, by, comment, ApprovalState.APPROVED)

    def reject(self, id: str, by: Actor, comment: str = "") -> Approval:
        """Say no; raises as `approve` does, except that whoever asked may withdraw the question so."""
        return self._decide(id, by, comment, ApprovalState.REJECTED)

    def get(self, id: str) -> Approval:
        """Return an approval.

        Raises:
            NotFound: There is none with that identifier.
        """
        with self._db.read() as connection:
            return _require(connection, id)

    def find(
        self, *, kind: str | None = None, subject: str | None = None, state: ApprovalState | None = None
    ) -> list[Approval]:
        """Return the approvals that match, the newest first."""
        query = sa.select(APPROVAL).order_by(APPROVAL.c.requested.desc(), APPROVAL.c.id.desc())
        for column, value in ((APPROVAL.c.kind, kind), (APPROVAL.c.subject, subject), (APPROVAL.c.state, state)):
            if value is not None:
                query = query.where(column == str(value))
        with self._db.read() as connection:
            return [_approval(row) for row in connection.execute(query)]

    def untold(self, limit: int = 100) -> list[Approval]:
        """Return the questions whose state people have not been told of, the answered and the oldest first."""
        query = sa.select(APPROVAL).where(APPROVAL.c.told != APPROVAL.c.state)
        order = (sa.case((APPROVAL.c.state == "PENDING", 1), else_=0), APPROVAL.c.requested, APPROVAL.c.id)
        with self._db.read() as connection:
            rows = connection.execute(query.order_by(*order).limit(limit))
            return [_approval(row) for row in rows]

    def mark_told(self, connection: sa.Connection, asked: Approval) -> bool:
        """Note in an open transaction that people are told of a question as it was read.

        Returns:
            Whether it still stands so, and nobody told of it meanwhile.
        """
        same = (APPROVAL.c.id == asked.id) & (APPROVAL.c.state == str(asked.state)) & (APPROVAL.c.told == asked.told)
        return connection.execute(APPROVAL.update().where(same).values(told=str(asked.state))).rowcount == 1

    def expire(self) -> list[Approval]:
        """Close the questions whose deadline has passed and return them: one short idempotent pass."""
        now_us = to_us(self._clock.now())
        with self._db.read() as connection:
            if connection.execute(sa.select(APPROVAL.c.id).where(_late(now_us)).limit(1)).first() is None:
                return []
        with self._db.write() as connection:
            return self._close_lapsed(connection, now_us, sa.true())

    def put_deadline(self, asked: Approval, deadline_us: int | None) -> None:
        """Let a question that waits lapse at another time; who was told of it is told that."""
        waits = (APPROVAL.c.id == asked.id) & (APPROVAL.c.state == "PENDING")
        detail = {"approval": asked.id, "deadline": deadline_us, "before": asked.deadline}
        with self._db.write() as connection:
            if connection.execute(APPROVAL.update().where(waits).values(deadline=deadline_us, told="")).rowcount:
                record(connection, self._clock, "system", f"{asked.kind}.approval_deadline", asked.subject, detail)

    def supersede(self, connection: sa.Connection, kind: str, subjects: Sequence[str], why: str) -> None:
        """Close the questions that wait about some subjects, in the transaction that made them needless.

        Args:
            connection: The transaction.
            kind: What is asked about.
            subjects: Which ones.
            why: What took their place.
        """
        waits = (APPROVAL.c.kind == kind) & APPROVAL.c.subject.in_(subjects) & (APPROVAL.c.state == "PENDING")
        values = {"state": "SUPERSEDED", "decided": to_us(self._clock.now()), "comment": why}
        closed = connection.execute(APPROVAL.update().where(waits).values(**values).returning(APPROVAL.c.subject))
        for subject in sorted(closed.scalars()):
            record(connection, self._clock, "system", f"{kind}.approval_superseded", subject, {"reason": why})

    def _close_lapsed(self, connection: sa.Connection, now_us: int, which: sa.ColumnElement[bool]) -> list[Approval]:
        closed = APPROVAL.update().where(_late(now_us), which).values(state="EXPIRED", decided=now_us)
        expired = [_approval(row) for row in connection.execute(closed.returning(APPROVAL)).fetchall()]
        for lapsed in expired:
            record(connection, self._clock, "system", f"{lapsed.kind}.approval_expired", lapsed.subject)
        return expired

    def _decide(self, id: str, by: Actor, comment: str, state: ApprovalState) -> Approval:
        asked = self.get(id)
        withdrawn = state is ApprovalState.REJECTED and asked.requested_by == by.name
        if not withdrawn:
            authorise(by, f"{asked.kind}.approve", asked.subject)
        if asked.requested_by == by.name and not withdrawn:
            raise AccessDenied(
                f"actor {by.name!r} asked for the approval of {asked.kind} {asked.subject!r} and may not give it",
                hint="nobody approves their own work; ask another approver, engineer or owner",
            )
        now_us = to_us(self._clock.now())
        verb = "approve" if state is ApprovalState.APPROVED else "reject"
        detail = {"approval": id, "requested_by": asked.requested_by, "comment": comment}
        with audited(self._db, self._clock, by, f"{asked.kind}.{verb}", asked.subject, detail) as connection:
            _check_open(_require(connection, id), now_us)
            decided = {"state": str(state), "decided_by": by.name, "decided": now_us, "comment": comment}
            connection.execute(APPROVAL.update().where(APPROVAL.c.id == id).values(**decided))
            return _require(connection, id)


def _late(now_us: int) -> sa.ColumnElement[bool]:
    return (APPROVAL.c.state == "PENDING") & (APPROVAL.c.deadline <= now_us)


def _check_open(asked: Approval, now_us: int) -> None:
    if asked.state is not ApprovalState.PENDING:
        by = f" by {asked.decided_by!r}" if asked.decided_by else ""
        raise Conflict(f"approval {asked.id} of {asked.kind} {asked.subject!r} is already {asked.state}{by}")
    if asked.deadline is not None and asked.deadline <= now_us:
        raise Conflict(
            f"approval {asked.id} of {asked.kind} {asked.subject!r} lapsed at {rfc3339(from_us(asked.deadline))}",
            hint="request it again",
        )


def _require(connection: sa.Connection, id: str) -> Approval:
    row = connection.execute(sa.select(APPROVAL).where(APPROVAL.c.id == id)).first()
    if row is None:
        raise NotFound(f"approval {id!r} does not exist", hint="list versions with 'falaj models list'")
    return _approval(row)


def _approval(row: sa.Row[Any]) -> Approval:
    return Approval(**{**row._mapping, "state": ApprovalState(row.state)})
