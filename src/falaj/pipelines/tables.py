"""The SQL tables of durable work. All times are microseconds since 1970."""

import sqlalchemy as sa

from falaj.storage.metadata.schema import metadata

RUN = sa.Table(
    "run",
    metadata,
    sa.Column("id", sa.String, primary_key=True),
    sa.Column("pipeline", sa.String, nullable=False, index=True),
    sa.Column("params", sa.JSON, nullable=False),
    sa.Column("reason", sa.Text, nullable=False),
    sa.Column("actor", sa.String, nullable=False),
    sa.Column("state", sa.String, nullable=False, index=True),
    sa.Column("created", sa.BigInteger, nullable=False, index=True),
    sa.Column("started", sa.BigInteger),
    sa.Column("ended", sa.BigInteger),
    sa.Column("cancel_requested", sa.Boolean, nullable=False),
    sa.Column("dedup_key", sa.String),
    sa.Column("error", sa.Text),
    # Of which ends people are told, and whether they have been.
    sa.Column("notify", sa.JSON, nullable=False, server_default="[]"),
    sa.Column("told", sa.Boolean, nullable=False, server_default=sa.true()),
)
sa.Index(
    "run_not_told", RUN.c.ended, sqlite_where=RUN.c.told.is_(sa.false()), postgresql_where=RUN.c.told.is_(sa.false())
)
# One active run per key, held by the database: two triggers that fire together start one run.
sa.Index(
    "run_one_active",
    RUN.c.dedup_key,
    unique=True,
    sqlite_where=RUN.c.ended.is_(None),
    postgresql_where=RUN.c.ended.is_(None),
)

STEP = sa.Table(
    "step",
    metadata,
    sa.Column("run_id", sa.String, sa.ForeignKey("run.id"), primary_key=True),
    sa.Column("name", sa.String, primary_key=True),
    sa.Column("position", sa.Integer, nullable=False),
    sa.Column("spec", sa.JSON, nullable=False),
    sa.Column("key", sa.String(64)),
    sa.Column("state", sa.String, nullable=False),
    # How many needed steps have not succeeded: a step is ready at zero, so that claiming needs no join.
    sa.Column("waiting", sa.Integer, nullable=False),
    sa.Column("not_before", sa.BigInteger, nullable=False),
    sa.Column("created", sa.BigInteger, nullable=False),
    sa.Column("failures", sa.Integer, nullable=False),
    sa.Column("crashes", sa.Integer, nullable=False),
    sa.Column("owner", sa.String),
    sa.Column("lease_until", sa.BigInteger),
    # Grows with each claim: the number of the attempt, and the fence against a worker that comes back to life.
    sa.Column("epoch", sa.Integer, nullable=False),
    sa.Column("started", sa.BigInteger),
    sa.Column("ended", sa.BigInteger),
    sa.Column("progress", sa.Float, nullable=False),
    sa.Column("progress_text", sa.Text, nullable=False),
    sa.Column("cached", sa.Boolean, nullable=False),
    sa.Column("outputs", sa.JSON, nullable=False),
    sa.Column("error", sa.Text),
    sa.Column("log", sa.String),
    # What a worker must have to take it.
    sa.Column("executor", sa.String, nullable=False, server_default="in_process"),
    sa.Column("cpu_cents", sa.BigInteger, nullable=False, server_default="0"),
    sa.Column("memory_bytes", sa.BigInteger, nullable=False, server_default="0"),
    sa.Column("gpu", sa.Integer, nullable=False, server_default="0"),
    # Who waits for it: looked up through the specs, each claim in a run of a thousand steps would read all of them.
    sa.Column("dependents", sa.JSON, nullable=False, server_default="[]"),
    # Its place among the ready steps of all runs: see `turns`.
    sa.Column("turn", sa.BigInteger, nullable=False, server_default="0"),
    # The job that it runs as elsewhere, written down before there is one: whoever has the step next finds it by this.
    sa.Column("job", sa.String),
)
sa.Index("step_ready", STEP.c.state, STEP.c.turn, STEP.c.created, STEP.c.position)
sa.Index("step_job", STEP.c.job, sqlite_where=STEP.c.job.is_not(None), postgresql_where=STEP.c.job.is_not(None))

ATTEMPT = sa.Table(
    "attempt",
    metadata,
    sa.Column("run_id", sa.String, primary_key=True),
    sa.Column("step", sa.String, primary_key=True),
    sa.Column("epoch", sa.Integer, primary_key=True, autoincrement=False),
    sa.Column("owner", sa.String, nullable=False),
    sa.Column("state", sa.String, nullable=False),
    sa.Column("started", sa.BigInteger, nullable=False),
    sa.Column("ended", sa.BigInteger, nullable=False),
    sa.Column("cpu_seconds", sa.Float, nullable=False),
    sa.Column("error", sa.Text),
)

ARTIFACT = sa.Table(
    "artifact",
    metadata,
    sa.Column("key", sa.String(64), primary_key=True),
    sa.Column("function", sa.String, nullable=False),
    sa.Column("run_id", sa.String, nullable=False),
    sa.Column("step", sa.String, nullable=False),
    sa.Column("outputs", sa.JSON, nullable=False),
    sa.Column("created", sa.BigInteger, nullable=False),
)

LINEAGE = sa.Table(
    "lineage",
    metadata,
    sa.Column("from_digest", sa.String(64), primary_key=True),
    sa.Column("to_digest", sa.String(64), primary_key=True, index=True),
    sa.Column("run_id", sa.String, primary_key=True),
    sa.Column("step", sa.String, primary_key=True),
)

RECONCILER = sa.Table(
    "reconciler",
    metadata,
    sa.Column("name", sa.String, primary_key=True),
    sa.Column("owner", sa.String),
    sa.Column("lease_until", sa.BigInteger, nullable=False),
    sa.Column("epoch", sa.Integer, nullable=False),
    sa.Column("passes", sa.BigInteger, nullable=False),
    sa.Column("last_pass", sa.BigInteger),
    sa.Column("failures", sa.Integer, nullable=False),
    sa.Column("not_before", sa.BigInteger, nullable=False),
    sa.Column("error", sa.Text),
)
