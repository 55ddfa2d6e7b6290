"""Approval notices: people hear that a version waits for them, and what became of the question.

The question is an alert of the rule `approval`, open while it waits: routes, silences, retries and the log are those of
every other alert.
"""

from datetime import datetime
from typing import Any

import sqlalchemy as sa

from falaj.definitions.policy import APPROVERS, Policy
from falaj.governance.access import SYSTEM
from falaj.governance.approvals import Approval, ApprovalState
from falaj.kernel.clock import from_us, rfc3339, to_us
from falaj.kernel.errors import NotFound
from falaj.lifecycle.rooms import Rooms
from falaj.models.version import ModelVersion
from falaj.monitoring.alerts import Alert, open_alert, resolve_alert, tell
from falaj.monitoring.routes import APPROVAL

_MOST_SAID = 300
"""Characters of a person's own words in a message."""


class ApprovalNotices:
    """Reconciler: opens an alert for a question that waits, and closes it with the answer.

    Args:
        rooms: The project.
    """

    name = "approval_notices"

    def __init__(self, rooms: Rooms) -> None:
        self._rooms = rooms

    def run_pass(self, now: datetime) -> bool:
        """Do one pass."""
        waiting = self._rooms.approvals.untold()
        for asked in waiting:
            self._tell(asked, to_us(now))
        return bool(waiting)

    def _tell(self, asked: Approval, now_us: int) -> None:
        version = _version_of(self._rooms, asked)
        alert = None if version is None else _alert(self._rooms, asked, version, now_us)
        with self._rooms.db.write() as connection:
            # In one transaction with the alert, and only once: whoever dies here owes it still.
            if not self._rooms.approvals.mark_told(connection, asked) or alert is None:
                return
            if asked.state is ApprovalState.PENDING:
                open_alert(connection, alert)
            else:
                _close(connection, alert)


def _close(connection: sa.Connection, alert: Alert) -> None:
    """Tell the outcome, also of a question that was answered before anybody was told of it."""
    if not resolve_alert(connection, alert.rule, alert.subject, alert.message, alert.at_us):
        tell(connection, alert)


def _version_of(rooms: Rooms, asked: Approval) -> ModelVersion | None:
    """Return what a question is about; None where it needs nobody, or is about something else."""
    model, _, number = asked.subject.rpartition("/")
    if asked.kind != "model" or not number.isdecimal() or rooms.definitions.policy_of(model).auto_promote:
        return None
    try:
        return rooms.registry.get(model, int(number))
    except NotFound:  # a bare model that was removed takes its versions along
        return None


def _alert(rooms: Rooms, asked: Approval, version: ModelVersion, now_us: int) -> Alert:
    policy = rooms.definitions.policy_of(version.model)
    missing = max(0, policy.approvals - len(rooms.registry.approvers(version, policy)))
    said = _question if asked.state is ApprovalState.PENDING else _outcome
    evidence: dict[str, Any] = {
        "approval": asked.id,
        "state": str(asked.state),
        "model": version.model,
        "version": version.version,
        "asked_by": asked.requested_by,
        "not_by": version.actor,
        "approvers": [*(policy.approvers or APPROVERS)],
        "missing": missing,
        "reason": asked.reason,
        "gate": version.gate_outcome or "none",
        "command": _command(version),
        "link": _link(rooms, version),
        "expires": None if asked.deadline is None else rfc3339(from_us(asked.deadline)),
        "decided_by": asked.decided_by,
        "comment": asked.comment,
    }
    return Alert(APPROVAL, "info", version.subject, said(asked, version, policy, missing, evidence), evidence, now_us)


def _question(asked: Approval, version: ModelVersion, policy: Policy, missing: int, evidence: dict[str, Any]) -> str:
    who = policy.asks()
    needs = f"{missing} approval{'s' * (missing != 1)} of {policy.approvals}" if policy.approvals > 1 else "an approval"
    until = "" if asked.deadline is None else f" The question lapses at {evidence['expires']}."
    why = f" Reason: {asked.reason[:_MOST_SAID]}." if asked.reason else ""
    read = f"Read {evidence['link']}, then: " if evidence["link"] else ""
    maker = "" if version.actor == SYSTEM.name else f", but not by {version.actor}, who had it made"
    return (
        f"version {version.version} of model {version.model!r} waits for {needs} by {who}{maker}."
        f"{why}{until} {read}{evidence['command']}"
    )


def _outcome(asked: Approval, version: ModelVersion, policy: Policy, missing: int, evidence: dict[str, Any]) -> str:
    about = f"version {version.version} of model {version.model!r}"
    if asked.state is ApprovalState.EXPIRED:
        return f"{about}: nobody answered until {evidence['expires']}; {evidence['command']} asks anew and approves"
    if asked.state is ApprovalState.SUPERSEDED:
        return f"{about} waits for no approval any more: {asked.comment}"
    words = f": {asked.comment[:_MOST_SAID]}" if asked.comment else ""
    if asked.state is ApprovalState.REJECTED:
        return f"{about} was refused by {asked.decided_by}{words}"
    more = f"; {missing} more of {policy.approvals} missing" if missing else "; it may go out"
    return f"{about} was approved by {asked.decided_by}{words}{more}"


def _command(version: ModelVersion) -> str:
    return f"falaj approve {version.model} {version.version}"


def _link(rooms: Rooms, version: ModelVersion) -> str:
    """Return where the gate report is read; empty for a bare model, which has none."""
    page = f"/models/{version.model}/versions/{version.version}/gate"
    return f"{rooms.settings.control.url}{page}" if version.gate_digest else ""
