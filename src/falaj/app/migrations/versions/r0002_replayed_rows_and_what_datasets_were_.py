"""replayed rows and what datasets were made from."""

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"


def upgrade() -> None:
    """Go one schema further."""
    op.create_table(
        "replayed_row",
        sa.Column("source", sa.String(), nullable=False),
        sa.Column("seq", sa.BigInteger(), nullable=False),
        sa.Column("as_seq", sa.BigInteger(), nullable=False),
        sa.Column("accepted", sa.Boolean(), nullable=False),
        sa.PrimaryKeyConstraint("source", "seq", name=op.f("pk_replayed_row")),
    )
    # Datasets of before did not note what was asked; their digests stay as they are.
    request = sa.Column("request", sa.Text(), nullable=False, server_default='{"frame":"","sources":{}}')
    engine = sa.Column("engine", sa.String(), nullable=False, server_default="duckdb")
    sqlite = op.get_context().dialect.name == "sqlite"
    with op.batch_alter_table("dataset", recreate="always" if sqlite else "never") as batch_op:
        batch_op.add_column(request, insert_after="spec_digest" if sqlite else None)
        batch_op.add_column(engine, insert_after="request" if sqlite else None)
    with op.batch_alter_table("dataset", recreate="always" if sqlite else "never") as batch_op:
        batch_op.alter_column("request", existing_type=sa.Text(), existing_nullable=False, server_default=None)
        batch_op.alter_column("engine", existing_type=sa.String(), existing_nullable=False, server_default=None)
