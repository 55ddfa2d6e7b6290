"""incidents, messages and silences."""

import sqlalchemy as sa
from alembic import op

revision = "0006"
down_revision = "0005"


def upgrade() -> None:
    """Go one schema further."""
    _alert_silence()
    _incident()
    _alert_message()
    _incident_entry()
    _what_alerts_belong_to()
    _told_before()


def _alert_silence() -> None:
    op.create_table(
        "alert_silence",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("rule", sa.String(), nullable=False),
        sa.Column("subject", sa.String(), nullable=False),
        sa.Column("comment", sa.Text(), nullable=False),
        sa.Column("actor", sa.String(), nullable=False),
        sa.Column("began_at", sa.BigInteger(), nullable=False),
        sa.Column("ends_at", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_alert_silence")),
        sqlite_autoincrement=True,
    )
    with op.batch_alter_table("alert_silence", schema=None) as batch_op:
        batch_op.create_index(batch_op.f("ix_alert_silence_ends_at"), ["ends_at"], unique=False)


def _incident() -> None:
    op.create_table(
        "incident",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("cause", sa.String(), nullable=False),
        sa.Column("severity", sa.String(), nullable=False),
        sa.Column("opened_at", sa.BigInteger(), nullable=False),
        sa.Column("acknowledged_at", sa.BigInteger(), nullable=True),
        sa.Column("acknowledged_by", sa.String(), nullable=False),
        sa.Column("resolved_at", sa.BigInteger(), nullable=True),
        sa.Column("resolved_by", sa.String(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_incident")),
        sqlite_autoincrement=True,
    )
    with op.batch_alter_table("incident", schema=None) as batch_op:
        batch_op.create_index(
            "incident_one_open",
            ["cause"],
            unique=True,
            sqlite_where=sa.text("resolved_at IS NULL"),
            postgresql_where=sa.text("resolved_at IS NULL"),
        )
        batch_op.create_index(batch_op.f("ix_incident_opened_at"), ["opened_at"], unique=False)


def _alert_message() -> None:
    op.create_table(
        "alert_message",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("incident_id", sa.Integer(), nullable=False),
        sa.Column("event", sa.String(), nullable=False),
        sa.Column("body", sa.Text(), nullable=False),
        sa.Column("at", sa.BigInteger(), nullable=False),
        sa.ForeignKeyConstraint(["incident_id"], ["incident.id"], name=op.f("fk_alert_message_incident_id_incident")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_alert_message")),
        sqlite_autoincrement=True,
    )
    with op.batch_alter_table("alert_message", schema=None) as batch_op:
        batch_op.create_index(batch_op.f("ix_alert_message_incident_id"), ["incident_id"], unique=False)


def _incident_entry() -> None:
    op.create_table(
        "incident_entry",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("incident_id", sa.Integer(), nullable=False),
        sa.Column("at", sa.BigInteger(), nullable=False),
        sa.Column("kind", sa.String(), nullable=False),
        sa.Column("actor", sa.String(), nullable=False),
        sa.Column("comment", sa.Text(), nullable=False),
        sa.ForeignKeyConstraint(["incident_id"], ["incident.id"], name=op.f("fk_incident_entry_incident_id_incident")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_incident_entry")),
        sqlite_autoincrement=True,
    )
    with op.batch_alter_table("incident_entry", schema=None) as batch_op:
        batch_op.create_index(batch_op.f("ix_incident_entry_incident_id"), ["incident_id"], unique=False)


def _what_alerts_belong_to() -> None:
    with op.batch_alter_table("alert", schema=None) as batch_op:
        batch_op.add_column(sa.Column("incident_id", sa.Integer(), nullable=True))
        batch_op.create_index(batch_op.f("ix_alert_incident_id"), ["incident_id"], unique=False)
    with op.batch_alter_table("alert_notice", schema=None) as batch_op:
        batch_op.add_column(sa.Column("message_id", sa.Integer(), nullable=True))
        batch_op.create_index(batch_op.f("ix_alert_notice_message_id"), ["message_id"], unique=False)


def _told_before() -> None:
    """Leave what every route has had untold by messages: a cursor counted notices, and counts messages from now on."""
    told = "UPDATE alert_notice SET message_id = 0 WHERE id <= (SELECT min(cursor) FROM alert_delivery)"
    op.execute(told)
    op.execute("DELETE FROM alert_delivery")
