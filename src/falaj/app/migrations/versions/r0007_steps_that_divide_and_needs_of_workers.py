"""steps that divide and needs of workers."""

import sqlalchemy as sa
from alembic import op

revision = "0007"
down_revision = "0006"


def upgrade() -> None:
    """Go one schema further."""
    op.add_column("run", sa.Column("notify", sa.JSON(), server_default="[]", nullable=False))
    op.add_column("run", sa.Column("told", sa.Boolean(), server_default=sa.true(), nullable=False))
    told: sa.ColumnClause[bool] = sa.column("told", sa.Boolean)
    op.create_index(
        "run_not_told",
        "run",
        ["ended"],
        sqlite_where=told.is_(sa.false()),
        postgresql_where=told.is_(sa.false()),
    )
    op.add_column("step", sa.Column("executor", sa.String(), server_default="in_process", nullable=False))
    op.add_column("step", sa.Column("cpu_cents", sa.BigInteger(), server_default="0", nullable=False))
    op.add_column("step", sa.Column("memory_bytes", sa.BigInteger(), server_default="0", nullable=False))
    op.add_column("step", sa.Column("gpu", sa.Integer(), server_default="0", nullable=False))
    op.add_column("step", sa.Column("dependents", sa.JSON(), server_default="[]", nullable=False))
    op.create_table(
        "pipeline_state",
        sa.Column("name", sa.String(), nullable=False),
        sa.Column("body", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("name", name=op.f("pk_pipeline_state")),
    )
    if not op.get_context().as_sql:  # a script that is only written down has no rows to read
        _fill()


def _fill() -> None:
    """Write down who waits for whom, so that a run which is under way, or is resumed, goes on to its end."""
    step = sa.table(
        "step",
        sa.column("run_id", sa.String),
        sa.column("name", sa.String),
        sa.column("spec", sa.JSON),
        sa.column("executor", sa.String),
        sa.column("dependents", sa.JSON),
    )
    connection = op.get_bind()
    rows = connection.execute(sa.select(step.c.run_id, step.c.name, step.c.spec)).all()
    dependents: dict[tuple[str, str], list[str]] = {}
    for row in rows:
        for need in row.spec.get("needs", ()):
            dependents.setdefault((row.run_id, need), []).append(row.name)
    for row in rows:
        values = {
            "executor": row.spec.get("executor", "in_process"),
            "dependents": dependents.get((row.run_id, row.name), []),
        }
        connection.execute(step.update().where(step.c.run_id == row.run_id, step.c.name == row.name).values(values))
