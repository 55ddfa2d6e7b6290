"""The registry: numbered versions of models, and the stage each one holds."""

import msgspec
import sqlalchemy as sa

from falaj.definitions.policy import Policy
from falaj.governance.access import Actor, authorise
from falaj.governance.audit import record
from falaj.kernel.clock import Clock, to_us
from falaj.kernel.codec import canonical_json, from_json
from falaj.kernel.errors import Conflict, NotFound
from falaj.kernel.names import check_name, did_you_mean
from falaj.models.gate_report import GateReport
from falaj.models.stages import Stage, Transition, holder, move, roll_back, stages, transitions, valid_approvals
from falaj.models.version import REMOVED, ModelVersion, NewVersion
from falaj.storage.metadata.database import Database
from falaj.storage.metadata.schema import metadata

MODEL_VERSION = sa.Table(
    "model_version",
    metadata,
    sa.Column("model", sa.String, primary_key=True),
    sa.Column("version", sa.Integer, primary_key=True, autoincrement=False),
    sa.Column("run_id", sa.String, nullable=False),
    sa.Column("dataset_digest", sa.String, nullable=False, index=True),
    sa.Column("artifact_digest", sa.String, nullable=False, index=True),
    sa.Column("created_us", sa.BigInteger, nullable=False),
    sa.Column("actor", sa.String, nullable=False),
    sa.Column("gate_outcome", sa.String),
    # The whole version as JSON: it is written once and read whole, and NaN has no place in a column of numbers.
    sa.Column("body", sa.Text, nullable=False),
    sa.Column("documents", sa.Text, nullable=False),
    sa.UniqueConstraint("model", "run_id"),
)

_DEFAULT = Policy()


class Registry:
    """The versions of a project's models.

    Args:
        db: The metadata database.
        clock: Gives times.
    """

    def __init__(self, db: Database, clock: Clock) -> None:
        self._db = db
        self._clock = clock

    def register(
        self, new: NewVersion, by: Actor, *, gate: GateReport | None = None, actor: str | None = None
    ) -> ModelVersion:
        """Keep a version under the model's next number; the version of a run is registered once.

        Args:
            new: What training made.
            by: Who registers it.
            gate: The finding about it, already kept as a blob.
            actor: Who had it trained, when that is not `by`: a worker registers what a person asked for.

        Returns:
            The version; the earlier one when this run registered before.

        Raises:
            AccessDenied: `by` may not do `model.register`.
            Conflict: The gate report is about another artifact or dataset.
        """
        check_name("model", new.model)
        authorise(by, "model.register", new.model)
        if gate is not None and (gate.model, gate.candidate_digest) != (new.model, new.artifact.digest):
            raise Conflict(f"the gate report is not about this artifact of model {new.model!r}")
        with self._db.write() as connection:
            same_run = (MODEL_VERSION.c.model == new.model) & (MODEL_VERSION.c.run_id == new.run_id)
            earlier = connection.execute(sa.select(MODEL_VERSION).where(same_run)).first()
            if earlier is not None:
                return _version(earlier)
            last = sa.select(sa.func.max(MODEL_VERSION.c.version)).where(MODEL_VERSION.c.model == new.model)
            version = ModelVersion(
                **{field: getattr(new, field) for field in NewVersion.__struct_fields__},
                version=(connection.execute(last).scalar() or 0) + 1,
                created_us=to_us(self._clock.now()),
                actor=actor or by.name,
                gate_outcome=gate.outcome if gate else None,
                gate_digest=gate.digest if gate else "",
            )
            connection.execute(MODEL_VERSION.insert().values(**_row(version)))
            record(connection, self._clock, by.name, "model.register", version.subject, _evidence(version))
            return version

    def attach(self, model: str, version: int, documents: dict[str, str], by: Actor) -> ModelVersion:
        """Add documents to a version; what is there stays as it is.

        Args:
            model: The model's name.
            version: The version's number.
            documents: Document name to blob digest.
            by: Who adds them.

        Raises:
            AccessDenied: `by` may not do `model.register`.
            Conflict: A document of that name is there and differs.
            NotFound: There is no such version.
        """
        authorise(by, "model.register", model)
        with self._db.write() as connection:
            found = _require(connection, model, version)
            for name, digest in documents.items():
                if found.documents.get(name, digest) != digest:
                    raise Conflict(f"version {found.subject} has another document {name!r}", hint="register a new one")
            merged = found.documents | documents
            if merged == found.documents:
                return found
            where = (MODEL_VERSION.c.model == model) & (MODEL_VERSION.c.version == version)
            text = canonical_json(merged).decode()
            connection.execute(MODEL_VERSION.update().where(where).values(documents=text))
            record(connection, self._clock, by.name, "model.attach", found.subject, documents)
            return msgspec.structs.replace(found, documents=merged)

    def get(self, model: str, version: int) -> ModelVersion:
        """Return a version.

        Raises:
            NotFound: There is none of that model and number.
        """
        with self._db.read() as connection:
            return _require(connection, model, version)

    def remove(self, model: str, version: int, by: Actor) -> None:
        """Mark a version as removed; its row stays, because records name it and its number is taken.

        Args:
            model: The model's name.
            version: The version's number.
            by: Who removes it; already authorised.

        Raises:
            NotFound: There is no such version.
        """
        with self._db.write() as connection:
            found = _require(connection, model, version)
            where = (MODEL_VERSION.c.model == model) & (MODEL_VERSION.c.version == version)
            text = canonical_json(found.documents | {REMOVED: by.name}).decode()
            connection.execute(MODEL_VERSION.update().where(where).values(documents=text))
            record(connection, self._clock, by.name, "model.remove", found.subject, _evidence(found))

    def models(self) -> list[str]:
        """Return the names of all models that have a trained version."""
        return self._names(MODEL_VERSION.c.dataset_digest != "")

    def bare_models(self) -> list[str]:
        """Return the names of all bare models, removed ones too."""
        return self._names(MODEL_VERSION.c.dataset_digest == "")

    def _names(self, which: sa.ColumnElement[bool]) -> list[str]:
        query = sa.select(MODEL_VERSION.c.model).where(which).distinct().order_by(MODEL_VERSION.c.model)
        with self._db.read() as connection:
            return list(connection.execute(query).scalars())

    def versions(self, model: str) -> list[ModelVersion]:
        """Return a model's versions, the newest first; none when it has none."""
        query = sa.select(MODEL_VERSION).where(MODEL_VERSION.c.model == model)
        with self._db.read() as connection:
            return [_version(row) for row in connection.execute(query.order_by(MODEL_VERSION.c.version.desc()))]

    def stage_of(self, model: str, version: int) -> Stage:
        """Return where a version stands.

        Raises:
            NotFound: There is none of that model and number.
        """
        with self._db.read() as connection:
            _require(connection, model, version)
            return stages(connection, model).get(version, Stage.DEVELOPMENT)

    def holder(self, model: str, stage: Stage | str) -> ModelVersion | None:
        """Return the version that holds staging or production, or None."""
        with self._db.read() as connection:
            version = holder(connection, model, Stage(stage))
            return None if version is None else _require(connection, model, version)

    def approvers(self, version: ModelVersion, policy: Policy = _DEFAULT) -> tuple[str, ...]:
        """Return whose approvals of a version hold now: the rule by which it may enter production.

        Args:
            version: The version.
            policy: Whose approvals count, and for how long.
        """
        with self._db.read() as connection:
            return tuple(valid_approvals(connection, version, policy, to_us(self._clock.now())))

    def in_use(self, model: str) -> list[ModelVersion]:
        """Return the versions whose artifact and features must stay ready: staging, production, and its predecessor.

        The predecessor is there because a rollback must not wait for features to be computed again.
        """
        with self._db.read() as connection:
            past = transitions(connection, model)
            at = stages(connection, model)
            numbers = {version for version, stage in at.items() if stage in (Stage.STAGING, Stage.PRODUCTION)}
            entered = [m for m in past if m.to_stage is Stage.PRODUCTION and at[m.version] is Stage.PRODUCTION]
            if entered and entered[-1].previous_holder is not None:
                numbers.add(entered[-1].previous_holder)
            return [_require(connection, model, number) for number in sorted(numbers)]

    def history(self, model: str, version: int | None = None) -> list[Transition]:
        """Return the moves of a model or of one version, the oldest first."""
        with self._db.read() as connection:
            return transitions(connection, model, version)

    def transition(
        self,
        model: str,
        version: int,
        to: Stage | str,
        by: Actor,
        *,
        policy: Policy = _DEFAULT,
        reason: str = "",
        connection: sa.Connection | None = None,
    ) -> Transition:
        """Move a version to a stage; a version that is there already stays, and its last move is returned.

        Staging and production need a gate that passed. Production also needs approvals by others than the version's
        actor, given since it last left production, unless the policy promotes by itself. Whoever held the stage
        goes to archived (from production) or development (from staging), and is recorded as the previous holder.

        Args:
            model: The model's name.
            version: The version's number.
            to: The stage.
            by: Who moves it.
            policy: How many approvals production needs, or none; and whether a gate with too little evidence blocks.
            reason: Why.
            connection: An open write transaction to join, so that routing changes with the stage or not at all.

        Raises:
            AccessDenied: `by` may not do `model.promote` (or `model.archive`), or approvals are missing.
            Conflict: The move is not a legal one, or the gate did not pass.
            NotFound: There is no such version.
        """
        to = Stage(to)
        verb = "model.promote" if to in (Stage.STAGING, Stage.PRODUCTION) else "model.archive"
        authorise(by, verb, model)

        def within(open_connection: sa.Connection) -> Transition:
            found = _require(open_connection, model, version)
            return move(open_connection, self._clock, found, to, by, policy=policy, reason=reason)

        if connection is not None:
            return within(connection)
        with self._db.write() as own:
            return within(own)

    def rollback(
        self, model: str, by: Actor, *, reason: str = "", connection: sa.Connection | None = None
    ) -> ModelVersion:
        """Return production to its recorded previous holder, at once.

        Args:
            model: The model's name.
            by: Who asks.
            reason: Why.
            connection: An open write transaction to join.

        Returns:
            The version now in production.

        Raises:
            AccessDenied: `by` may not do `model.rollback`.
            Conflict: Nothing is in production, or nothing was before it.
        """
        authorise(by, "model.rollback", model)

        def within(open_connection: sa.Connection) -> ModelVersion:
            made = roll_back(open_connection, self._clock, model, by, reason=reason)
            return _require(open_connection, model, made.version)

        if connection is not None:
            return within(connection)
        with self._db.write() as own:
            return within(own)


def _require(connection: sa.Connection, model: str, version: int) -> ModelVersion:
    where = (MODEL_VERSION.c.model == model) & (MODEL_VERSION.c.version == version)
    row = connection.execute(sa.select(MODEL_VERSION).where(where)).first()
    if row is not None:
        return _version(row)
    of_model = sa.select(MODEL_VERSION.c.version).where(MODEL_VERSION.c.model == model)
    numbers = sorted(connection.execute(of_model).scalars())
    if numbers:
        raise NotFound(f"model {model!r} has no version {version}", hint=f"the newest is {numbers[-1]}")
    models = connection.execute(sa.select(MODEL_VERSION.c.model).distinct()).scalars()
    raise NotFound(f"model {model!r} has no version", hint=did_you_mean(model, models))


def _row(version: ModelVersion) -> dict[str, object]:
    return {
        "model": version.model,
        "version": version.version,
        "run_id": version.run_id,
        "dataset_digest": version.dataset_digest,
        "artifact_digest": version.artifact.digest,
        "created_us": version.created_us,
        "actor": version.actor,
        "gate_outcome": version.gate_outcome,
        "body": canonical_json(version).decode(),
        "documents": canonical_json(version.documents).decode(),
    }


def _version(row: sa.Row[tuple[object, ...]]) -> ModelVersion:
    version = from_json(row.body, ModelVersion, what=f"version {row.model}/{row.version}")
    return msgspec.structs.replace(version, documents=from_json(row.documents, dict[str, str]))


def _evidence(version: ModelVersion) -> dict[str, object]:
    return {
        "run": version.run_id,
        "dataset": version.dataset_digest,
        "artifact": version.artifact.digest,
        "gate": version.gate_digest,
        "gate_outcome": version.gate_outcome,
        "for": version.actor,
    }
