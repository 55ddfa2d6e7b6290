"""seal of the audit trail on PostgreSQL, and the state folder that a database belongs to."""

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"


def upgrade() -> None:
    """Go one schema further."""
    op.create_table(
        "state_folder",
        sa.Column("id", sa.String(), nullable=False),
        sa.Column("at", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_state_folder")),
    )
    if op.get_context().dialect.name == "postgresql":
        _seal()


def _seal() -> None:
    op.execute(
        "CREATE OR REPLACE FUNCTION audit_record_sealed() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN "
        "RAISE EXCEPTION 'audit records are never changed' USING ERRCODE = 'integrity_constraint_violation'; END $$"
    )
    op.execute(
        "CREATE OR REPLACE TRIGGER audit_record_sealed BEFORE UPDATE OR DELETE OR TRUNCATE ON audit_record "
        "FOR EACH STATEMENT EXECUTE FUNCTION audit_record_sealed()"
    )
