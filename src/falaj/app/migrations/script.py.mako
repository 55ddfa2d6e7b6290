"""${message}."""
<%
    lines = [line for line in (upgrades or "pass").splitlines() if "### " not in line and line.strip()]
    blocks = []
    for line in lines:
        if not blocks or line.strip().startswith("op.create_table('"):
            blocks.append([])
        blocks[-1].append("    " + line.removeprefix("    "))
    # A function per table, so that a revision with many of them can be read.
    tables = [block[0].split("'")[1] for block in blocks] if len(blocks) > 1 else []
%>
import sqlalchemy as sa
from alembic import op

revision = ${repr(up_revision)}
down_revision = ${repr(down_revision)}


def upgrade() -> None:
    """Go one schema further."""
% for table in tables:
    _${table}()
% endfor
% if not tables:
${"\n".join(blocks[0])}
% endif
% if "audit_record" in tables:
    if op.get_context().dialect.name == "sqlite":
        _seal()
% endif
% for table, block in zip(tables, blocks):


def _${table}() -> None:
${"\n".join(block)}
% endfor
% if "audit_record" in tables:


def _seal() -> None:
    for verb in ("UPDATE", "DELETE"):
        op.execute(
            f"CREATE TRIGGER IF NOT EXISTS audit_record_no_{verb.lower()} BEFORE {verb} ON audit_record "
            "BEGIN SELECT RAISE(ABORT, 'audit records are never changed'); END"
        )
% endif
