"""Commands about the audit trail."""

import click

from falaj.app.values.audit import AuditQuery, VerifyAudit
from falaj.cli.command import FalajGroup, Session, pass_session, plain
from falaj.governance.audit_record import AuditRecord, ChainHead
from falaj.kernel.clock import from_us, rfc3339
from falaj.kernel.codec import to_json


@click.group(cls=FalajGroup)
def audit() -> None:
    """The record of every write."""


@audit.command("list")
@click.option("--resource", default="", help="Only about this.")
@click.option("--actor", default="", help="Only by this actor.")
@click.option("--action", default="", help="Only this action; a trailing * stands for any ending.")
@click.option("--limit", type=click.IntRange(1, 10_000), default=50, show_default=True, help="Most records.")
@pass_session
def list_(session: Session, *, resource: str, actor: str, action: str, limit: int) -> None:
    """List records, the newest first.

    Example: falaj audit list --action 'model.*'
    """
    query = AuditQuery(resource, actor, action, limit=limit)
    records = session.client().perform("audit.list", query, list[AuditRecord])

    def human() -> None:
        for one in records:
            detail = to_json(one.detail) if one.detail else ""
            at = rfc3339(from_us(one.at))[:19]
            click.echo(
                f"{one.seq:>6}  {at}  {one.actor:<14} {one.action:<22} {plain(one.resource)}  {plain(detail[:160])}"
            )

    session.show(records, human)


@audit.command()
@pass_session
def verify(session: Session) -> None:
    """Check that no record was changed, removed or put in.

    Example: falaj audit verify
    """
    head = session.client().perform("audit.verify", VerifyAudit(), ChainHead)
    session.show(head, lambda: click.echo(f"{head.records} records, all whole; head {head.hash[:16]}"))
