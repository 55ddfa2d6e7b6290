"""what approvals people were told."""

import sqlalchemy as sa
from alembic import op

revision = "0008"
down_revision = "0007"


def upgrade() -> None:
    """Go one schema further."""
    op.add_column("approval", sa.Column("told", sa.String(), server_default="", nullable=False))
    op.execute("UPDATE approval SET told = state")  # nobody is told of the past
    differs = sa.text("told != state")
    op.create_index("approval_not_told", "approval", ["requested"], sqlite_where=differs, postgresql_where=differs)
