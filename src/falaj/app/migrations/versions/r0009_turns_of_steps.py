"""turns of steps."""

import sqlalchemy as sa
from alembic import op

revision = "0009"
down_revision = "0008"


def upgrade() -> None:
    """Go one schema further."""
    op.add_column("step", sa.Column("turn", sa.BigInteger(), server_default="0", nullable=False))
    op.drop_index("step_ready", table_name="step")
    op.create_index("step_ready", "step", ["state", "turn", "created", "position"])
    # Users' steps that wait already come in the order of submission, and after them whatever is submitted.
    op.execute("update step set turn = 1 where executor not in ('in_process', 'child')")
