"""limits of tokens."""

import sqlalchemy as sa
from alembic import op

revision = "0005"
down_revision = "0004"


def upgrade() -> None:
    """Go one schema further."""
    op.add_column("token", sa.Column("tenant", sa.String(), nullable=False, server_default=""))
    op.add_column("token", sa.Column("rate", sa.String(), nullable=True))
