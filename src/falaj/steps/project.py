"""Steps on the project itself: its sources, its training sets, and its models' versions.

In a run they act for whoever started it, in Falaj's own processes, since a step of a user's own holds none of the
project's stores. In a notebook and in a test each is a run of one step in the project that `fj.open` opened.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from falaj.app.own_step import call_in_open_project
from falaj.data.checked_rows import check_rows
from falaj.definitions.check import Check
from falaj.definitions.project_step import project_step
from falaj.features.entity_frame import TIME_COLUMN
from falaj.governance.access import Actor, authorise
from falaj.kernel.errors import DataError, InputError
from falaj.lifecycle.dataset import SPLIT, landed_versions
from falaj.lifecycle.dataset import build_dataset as build_model_dataset
from falaj.lifecycle.examples import LABEL
from falaj.lifecycle.frame_dataset import FrameDataset, service_named
from falaj.lifecycle.registering import Candidate, register_candidate
from falaj.lifecycle.rooms import Rooms
from falaj.lifecycle.training import read_files, run_actor, run_of, usable_rows
from falaj.models.mlflow_model import ForeignModel
from falaj.pipelines.context import StepContext


@project_step("control", source="source.ingest")
def ingest(source: str, context: StepContext) -> dict[str, Any]:
    """Read a source's new files, and land the events that were pushed to it.

    Args:
        source: The source's name.
        context: Given by itself.

    Returns:
        `source`, `accepted` and `quarantined` rows of now, and `version`, that of the source's table.

    Raises:
        NotFound: There is no such source.
        DataError: A file could not be taken, or the source has no rows at all.
    """
    if not context.run_id:
        found: dict[str, Any] = call_in_open_project(f"{__name__}:ingest", {"source": source})
        return found
    rooms, actor = _acting(context, "source.ingest", source)
    accepted, quarantined = read_files(rooms, source, actor, context)
    version = landed_versions(rooms, [source])[source]
    return {"source": source, "accepted": accepted, "quarantined": quarantined, "version": version}


@project_step("project", source="source.read")
def validate(
    context: StepContext, source: str = "", rows: pa.Table | None = None, checks: list[Check] | None = None
) -> dict[str, Any]:
    """Hold a source, or a table, against checks; what fails one with severity "reject" ends the run.

    Args:
        context: Given by itself.
        source: The source's name; more of its rows in quarantine than not is a fault, too.
        rows: A table, where no source is named.
        checks: `fj.check.between(...)` and the like, besides those that the source has for what enters it.

    Returns:
        `rows`, `quarantined`, and `warnings`: by reason, how many rows a check with severity "warn" found.

    Raises:
        InputError: Both or none of source and rows are given.
        DataError: Rows fail a check.
    """
    if bool(source) == (rows is not None):
        raise InputError("give validate a source's name or a table", hint="steps.validate('transactions')")
    if rows is not None:
        return {"rows": rows.num_rows, "quarantined": 0, "warnings": check_rows("the table", rows, checks or [])}
    if not context.run_id:
        found: dict[str, Any] = call_in_open_project(f"{__name__}:validate", {"source": source, "checks": checks or []})
        return found
    rooms, _ = _acting(context, "source.read", source)
    rooms.definitions.source(source)
    version = rooms.tables.version(f"source/{source}")
    if version is None:
        raise DataError(f"source {source!r} has no rows yet", hint=f"call steps.ingest({source!r}) before")
    count, quarantined = usable_rows(rooms, source, version)
    columns = sorted({check.column for check in checks or []})
    table = rooms.tables.read(f"source/{source}", columns or None, version=version).to_table(columns)
    return {"rows": count, "quarantined": quarantined, "warnings": check_rows(source, table, checks or [])}


@project_step("control", name="dataset.build", sql="source.read")
def build_dataset(
    name: str, context: StepContext, rows: pa.Table | None = None, sql: str = "", *, known_time: bool = False
) -> dict[str, Any]:
    """Build a training set: each row with the features as of its instant; the same data gives the same digest.

    Args:
        name: A model, for its own examples; or with rows to ask about, a feature service too.
        context: Given by itself.
        rows: Entity keys, `event_timestamp`, request fields, and whatever is to be carried along.
        sql: A SELECT over the project's sources that gives such rows.
        known_time: Take only what was known at each row's instant.

    Returns:
        `digest`; `features`, the names of a model's inputs; `versions` of the sources' tables; and for a model's own
        examples `train`, `test`, `label` and `time`, else `rows`.

    Raises:
        NotFound: There is neither a model nor a feature service of that name.
        InputError: A feature service is named without rows, or the rows cannot be used.
        DataError: A source has no rows, or a part of the split is empty.
    """
    given = {"name": name, "rows": rows, "sql": sql, "known_time": known_time}
    if not context.run_id:
        found: dict[str, Any] = call_in_open_project(f"{__name__}:build_dataset", given)
        return found
    rooms, actor = _acting(context, "dataset.build", name)
    if rows is not None and sql:
        raise InputError("rows and SQL text were given", hint="give one of them")
    features = [column for column, _ in service_named(rooms, name).model_inputs]
    if rows is None and not sql:
        if name not in rooms.definitions.models:
            raise InputError(f"feature service {name!r} has no rows of its own", hint="give rows=, or sql=")
        made = build_model_dataset(rooms, rooms.definitions.model(name), actor, known_time=known_time)
    else:
        wanted = FrameDataset(rooms, name, actor, known_time=known_time)
        if rows is None:
            made = wanted.from_sql(sql)
        else:
            with rooms.frames.keep(rows.to_reader()) as kept:
                made = wanted.from_frame(kept)
    context.made(made.digest)
    versions = {source: read["table_version"] for source, read in made.inputs.items()}
    told = {"digest": made.digest, "features": features, "versions": versions}
    return told | _parts(rooms.datasets.load(made.digest), made.split)


@project_step("project", name="model.register")
def register(model: Any, name: str, context: StepContext, versions: dict[str, int] | None = None) -> dict[str, Any]:
    """Make a trained model a candidate version of a model of the project, judged by that one's own gates.

    Whoever started the run had it trained, and may not approve it.

    Args:
        model: What `train` gives; or a LightGBM or XGBoost booster, an ONNX model, or the path of one.
        name: The project's model, whose feature service gives what the trained one takes.
        context: Given by itself.
        versions: Those of the training set that it learned from, so that it is judged on test rows that it has not
            seen; what has landed by default.

    Returns:
        `version`, `gate` ("PASS", "FAIL" or "INCONCLUSIVE"), `checks`, `metrics`, and `report`, a digest.

    Raises:
        NotFound: The project has no such model.
        InputError: It takes other columns than the model's feature service gives, is of another task, or is no model.
        Conflict: The run has registered another version of the model.
    """
    if not context.run_id:
        given = {"model": model, "name": name, "versions": versions}
        found: dict[str, Any] = call_in_open_project(f"{__name__}:register", given)
        return found
    rooms, _ = _acting(context, "model.register", name)
    return register_candidate(context, rooms, rooms.definitions.model(name), _candidate(model), versions)


def _acting(context: StepContext, action: str, name: str) -> tuple[Rooms, Actor]:
    """Return the project, and who started the run, after seeing that the role still allows it."""
    rooms: Rooms = context.resources
    actor = run_actor(rooms, run_of(context))
    authorise(actor, action, name)
    return rooms, actor


def _parts(table: pa.Table, split: Mapping[str, Any]) -> dict[str, Any]:
    if not split:
        return {"rows": table}
    rows = {part: table.filter(pc.field(SPLIT) == part).drop_columns([SPLIT]) for part in ("train", "test")}
    return {**rows, "label": LABEL, "time": TIME_COLUMN if TIME_COLUMN in table.column_names else ""}


def _candidate(model: Any) -> Candidate:
    if isinstance(model, Mapping) and "signature" in model:
        kind, file = str(model["trainer"]["kind"]), model["native"]
        if kind not in ("lightgbm", "xgboost") or file is None:
            kind, file = model["runtime"], model["file"]
        return Candidate(
            _file(kind, Path(file).read_bytes(), model["params"]), model["signature"], model["calibration"]
        )
    if isinstance(model, Path) and model.suffix == ".onnx":
        return Candidate(_file("onnx", model.read_bytes(), {}), {}, {})
    made = (type(model).__module__.partition(".")[0], type(model).__name__)
    if made == ("lightgbm", "Booster"):
        return Candidate(_file("lightgbm", model.model_to_string().encode(), {}), {}, {})
    if made == ("xgboost", "Booster"):
        return Candidate(_file("xgboost", bytes(model.save_raw("json")), {"model_class": "Booster"}), {}, {})
    if made == ("onnx", "ModelProto"):
        return Candidate(_file("onnx", model.SerializeToString(), {}), {}, {})
    raise InputError(
        f"a {type(model).__name__} is no model that can be registered",
        hint="give what steps.train gives, a LightGBM or XGBoost booster, an ONNX model, or the path of one",
    )


def _file(kind: str, content: bytes, said: dict[str, Any]) -> ForeignModel:
    if kind not in ("lightgbm", "xgboost", "onnx"):
        raise InputError(f"a model that is served by {kind} cannot be registered from a step", hint="write it as ONNX")
    return ForeignModel(kind, content, (), None, said)  # type: ignore[arg-type]
