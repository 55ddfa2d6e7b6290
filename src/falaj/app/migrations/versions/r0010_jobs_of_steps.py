"""jobs of steps."""

import sqlalchemy as sa
from alembic import op

revision = "0010"
down_revision = "0009"


def upgrade() -> None:
    """Go one schema further."""
    op.add_column("step", sa.Column("job", sa.String(), nullable=True))
    named = sa.text("job IS NOT NULL")
    op.create_index("step_job", "step", ["job"], sqlite_where=named, postgresql_where=named)
