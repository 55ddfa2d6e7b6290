"""The notebook's view of a project: training sets, online features, predictions and runs as data frames."""

import json
from collections.abc import Mapping, Sequence
from datetime import datetime
from pathlib import Path
from typing import Any, Literal

import msgspec
import pyarrow as pa

from falaj.app.client import Client, decide
from falaj.app.frame import Frame, OnlineFrame
from falaj.app.given_rows import given_entities, given_events, given_instant, plain_row
from falaj.app.kept_values import read_value
from falaj.app.opened import note_opened
from falaj.app.pushing import push_stream
from falaj.app.replay_refused import replay_refused
from falaj.app.training_run import TrainingResult, train_and_follow
from falaj.app.training_set import TrainingSet, build_training_set
from falaj.app.values.features import OnlineFeatures, OnlineQuery
from falaj.app.values.model import Train, VersionsQuery
from falaj.app.values.prediction import Explanation, WhyQuery
from falaj.app.values.run import OutputQuery, RunDetail, RunQuery, RunsQuery, StepOutput
from falaj.app.values.source import Pushed
from falaj.app.values.status import RunStatus, Status, StatusQuery, VersionStatus
from falaj.data.quarantine import Replayed
from falaj.definitions.feature_service import FeatureService
from falaj.definitions.model import Model
from falaj.features.arrow_types import ARROW_TYPES
from falaj.kernel.clock import parse_instant
from falaj.kernel.errors import InputError
from falaj.lifecycle.project import refuse_while_loading
from falaj.lifecycle.step_tracking import capture_notebook


class Project:
    """One project, for a notebook or a script.

    Args:
        client: Carries operations out, in a running control or here.

    Example:
        >>> import falaj as fj
        >>> p = fj.open(".")  # doctest: +SKIP
        >>> df = p.training_set("fraud").to_pandas()  # doctest: +SKIP
    """

    def __init__(self, client: Client) -> None:
        self._client = client

    @classmethod
    def open(cls, folder: str | Path = ".", *, token: str | None = None) -> "Project":
        """Open the project in a folder.

        What the notebook logs with MLflow from then on goes to the project's MLflow, unless its environment names
        another one. Steps of `falaj.steps` that work on a project work on the one that was opened last.

        Raises:
            ProjectError: The folder holds no project, or its definitions are being read.
        """
        refuse_while_loading()
        client = Client(Path(folder), token)
        capture_notebook(client.folder, client.settings)
        note_opened(client)
        return cls(client)

    def training_set(
        self,
        name: str | Model | FeatureService,
        frame: Any = None,
        *,
        known_time: bool = False,
        engine: str | None = None,
    ) -> TrainingSet:
        """Build a training set: each row with the features as of its instant, one row out for each row in.

        Args:
            name: A model, or a feature service and a frame.
            frame: The rows to ask about: entity keys, `event_timestamp` (aware), request fields, and whatever is to be
                carried along. An Arrow table, reader or dataset, a pandas or Polars data frame, Parquet files, or SQL
                text over the project's sources. By default the model's known labels, with `label` and `split`.
            known_time: Take only what was known at each row's instant.
            engine: What computes the features; the settings' engine by default.

        Returns:
            The frame's rows in their order with the features beside them; the same data gives the same digest.

        Raises:
            NotFound: There is no such model or feature service.
            InputError: The frame cannot be used; the message names the column or the row.
        """
        called = name if isinstance(name, str) else name.name
        return TrainingSet(*build_training_set(self._client, called, frame, known_time=known_time, engine=engine or ""))

    def online(self, service: str, entities: Any, *, at: datetime | str | None = None) -> OnlineFrame:
        """Read a feature service's stored features now, or at an instant.

        Args:
            service: The feature service.
            entities: Key column to one value or to values (a list, a NumPy array, a column of Arrow, pandas or Polars);
                a list of dicts; or a frame. All have one length. `{}` for a service without an entity.
            at: The instant, an aware datetime or RFC 3339 text; now by default.

        Returns:
            Per row its keys and features; `.statuses` says why each feature has its value.

        Raises:
            InputError: A key is missing, the lists differ in length, or `at` has no time zone.
        """
        rows = given_entities(entities)
        keys = {name: _column(name, [row.get(name) for row in rows]) for row in rows for name in row}
        query = OnlineQuery(service, rows, None if at is None else given_instant(at))
        answer = self._client.perform("features.online", query, OnlineFeatures)
        values, statuses = dict(keys), dict(keys)
        for i, (name, dtype) in enumerate(zip(answer.columns, answer.dtypes, strict=True)):
            values[name] = _typed([row[i] for row in answer.values], dtype)
            statuses[name] = pa.array([row[i] for row in answer.statuses], pa.string())
        return OnlineFrame(pa.table(values), Frame(pa.table(statuses)))

    def predict(
        self,
        endpoint: str,
        entities: Mapping[str, Any] | None = None,
        request: Mapping[str, Any] | None = None,
        *,
        at: datetime | str | None = None,
    ) -> dict[str, Any]:
        """Ask an endpoint for one decision, by the gateway if it runs, and in this process otherwise.

        Args:
            endpoint: Which endpoint.
            entities: Entity keys.
            request: The request's fields.
            at: The instant, an aware datetime or RFC 3339 text; now by default.

        Returns:
            The answer: prediction, version, variant, request id, statuses.

        Raises:
            InputError: A value is none that JSON could hold, or `at` has no time zone.
        """
        body: dict[str, Any] = {"entities": plain_row(entities or {}), "request": plain_row(request or {})}
        if at is not None:
            body["at"] = given_instant(at)
        return decide(self._client, endpoint, body)

    def train(self, model: str, *, reason: str = "from a notebook") -> TrainingResult:
        """Train the model as a durable run and wait for its end.

        Raises:
            RunFailed: A step failed; the message names it.
        """
        return train_and_follow(self._client, Train(model, reason))

    def push(
        self,
        source: str,
        events: Any,
        *,
        wait: Literal["logged", "applied"] = "logged",
        patience_s: float = 60.0,
    ) -> Pushed:
        """Push events, however many; returns when all of them are durable.

        Args:
            source: To which source.
            events: One event as a dict, any number of them, or an Arrow, pandas or Polars frame. Instants are aware
                datetimes or RFC 3339 text; values of NumPy and pandas are taken.
            wait: Return when they are "logged", or "applied": when the next read sees them.
            patience_s: How long to try again while the project cannot take more.

        Raises:
            InputError: A datetime has no time zone, or a value is none that an event could have.
            Overloaded: The patience is at its end; what came before is kept.
        """
        return push_stream(self._client, source, given_events(events), wait=wait, patience_s=patience_s)

    def replay(self, source: str, *, reason: str = "", dry_run: bool = False) -> Replayed:
        """Judge a source's refused rows again by the present definition; see `falaj source replay`."""
        return replay_refused(self._client, source, reason=reason, dry_run=dry_run)

    def runs(self, *, limit: int = 100) -> Frame:
        """Return runs, the newest first."""
        found = self._client.perform("run.list", RunsQuery(limit=limit), list[RunStatus])
        return Frame(_table(found, RunStatus))

    def run(self, run_id: str) -> RunDetail:
        """Return one run and its steps."""
        return self._client.perform("run.show", RunQuery(run_id), RunDetail)

    def output(self, run_id: str, step: str = "") -> Any:
        """Return what a run of a pipeline gave: tables as `pyarrow.Table`, models as such, files as paths.

        Args:
            run_id: The run.
            step: What this step gave; empty for the step that no other needs. Where a run has several of those, it is a
                dict of them by name.

        Raises:
            NotFound: There is no such run or step.
            Conflict: The step has not succeeded.
        """
        found = self._client.perform("run.output", OutputQuery(run_id, step), list[StepOutput])
        values = {one.step: read_value(one) for one in found}
        return values.popitem()[1] if len(values) == 1 else values

    def versions(self, model: str = "") -> Frame:
        """Return model versions, the newest first."""
        found = self._client.perform("model.list", VersionsQuery(model), list[VersionStatus])
        return Frame(_table(found, VersionStatus))

    def status(self) -> Status:
        """Return the project at a glance."""
        return self._client.perform("project.status", StatusQuery(), Status)

    def why(self, request_id: str) -> Explanation:
        """Explain one decision."""
        return self._client.perform("prediction.why", WhyQuery(request_id), Explanation)


def _table(found: Sequence[msgspec.Struct], kind: type[msgspec.Struct]) -> pa.Table:
    names = [field.name for field in msgspec.structs.fields(kind)]
    rows = [msgspec.to_builtins(one) for one in found]
    flat = {n: [json.dumps(r[n]) if isinstance(r[n], dict | list) else r[n] for r in rows] for n in names}
    return pa.table(flat)


def _column(name: str, values: list[Any]) -> pa.Array:
    try:
        return pa.array(values)
    except pa.ArrowException:
        raise InputError(f"entity key {name!r} has values of several types", hint="give values of one type") from None


def _typed(values: list[Any], dtype: str) -> Any:
    """Return a feature's values as an Arrow array of its type."""
    if "timestamp" not in dtype:
        return pa.array(values, ARROW_TYPES[dtype])
    instants = [None if v is None else [_instant(e) for e in v] if isinstance(v, list) else _instant(v) for v in values]
    return pa.array(instants, ARROW_TYPES[dtype])


def _instant(text: str | None) -> datetime | None:
    return None if text is None else parse_instant(text)
