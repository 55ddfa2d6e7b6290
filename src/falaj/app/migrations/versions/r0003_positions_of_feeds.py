"""positions of feeds."""

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"


def upgrade() -> None:
    """Go one schema further."""
    op.create_table(
        "feed_position",
        sa.Column("source", sa.String(), nullable=False),
        sa.Column("partition", sa.String(), nullable=False),
        sa.Column("position", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("source", "partition", name=op.f("pk_feed_position")),
    )
