"""Models that were trained elsewhere and registered with MLflow: taken in as candidates like any other.

folder ──► kept by its digest ──► the training pipeline, in which it stands in the place of fitting
"""

from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pyarrow.compute as pc

from falaj.definitions.model import Model
from falaj.definitions.signature import Signature
from falaj.governance.access import Actor
from falaj.kernel.errors import Unsupported
from falaj.lifecycle.bare_models import add_bare_bytes
from falaj.lifecycle.dataset import SPLIT
from falaj.lifecycle.pipeline import training_graph
from falaj.lifecycle.rooms import Rooms
from falaj.lifecycle.training import Outputs, exported_outputs, model_of, service_of
from falaj.models.encoding import encode_columns, fit_signature
from falaj.models.export import export
from falaj.models.making import Made
from falaj.models.mlflow_model import ForeignModel, order_columns, read_mlflow_model
from falaj.models.runtimes.calibrated import Calibration
from falaj.models.training.adopted import adopted, in_service_order
from falaj.models.training.foreign_columns import columns_apart
from falaj.models.version import ModelVersion
from falaj.pipelines.context import StepContext
from falaj.pipelines.submission import submit

ADOPTED = "adopted"


def adopt_model(rooms: Rooms, actor: Actor, model: Model, folder: Path, origin: str) -> str:
    """Submit a run that judges a model from elsewhere as a version of one of the project.

    Args:
        rooms: The project.
        actor: Who adopts it, and may not approve it; already authorised.
        model: The definition, whose features it takes.
        folder: Where MLflow's description of it is, on the machine where the project is.
        origin: Where it came from, for people.

    Returns:
        The run.

    Raises:
        InputError: It takes other columns than the model's feature service gives.
        NotFound: The folder holds no model.
        DataError: It cannot be read.
        Unsupported: It is pickled, or of a library that cannot be served from here.
        Conflict: A training run of the model is under way.
    """
    foreign = read_mlflow_model(folder)
    columns = columns_of(rooms, model, foreign)
    digest = rooms.blobs.put(foreign.content)
    params = {
        ADOPTED: digest,
        "kind": foreign.kind,
        "columns": list(columns),
        "flavour": foreign.flavour,
        "origin": origin,
    }
    return submit(
        rooms.db,
        rooms.clock,
        rooms.new_id,
        training_graph(rooms, model.name, (f"{__name__}:adopt", params)),
        by=actor,
        reason=f"adopted from {origin}",
        params={"model": model.name, "from": origin},
        dedup_key=f"train:{model.name}",
    )


def adopt_bare(rooms: Rooms, actor: Actor, name: str, folder: Path) -> ModelVersion:
    """Keep a model from elsewhere that no definition of the project knows: it takes and gives tensors.

    Raises:
        Unsupported: It is no ONNX model.
    """
    foreign = read_mlflow_model(folder)
    if foreign.kind != "onnx":
        raise Unsupported(
            f"the project has no model {name!r}, and without one only ONNX files are served",
            hint="declare a model whose feature service gives what this one takes, or write it as ONNX",
        )
    return add_bare_bytes(rooms, actor, name, foreign.content, folder.name)


def adopt(context: StepContext) -> Outputs:
    """Stand in the place of fitting: read the model, export it, and choose the file that serves.

    A model of a pipeline's own brings its signature and its calibration; for one from elsewhere the signature is that
    of the training rows.
    """
    rooms, model = model_of(context)
    given = context.params
    content = rooms.blobs.get(given[ADOPTED])
    context.used(given[ADOPTED])
    spec, dataset = service_of(rooms, model), context.input("features", "dataset")
    context.used(dataset)
    rows = rooms.datasets.load(dataset)
    training = rows.filter(pc.field(SPLIT) == "train")
    columns = {name: training.column(name) for name, _ in spec.model_inputs}
    if given.get("signature"):
        signature = msgspec.convert(given["signature"], Signature)
    else:
        signature = fit_signature(columns, dict(spec.model_inputs))
        if model.task == "regression":
            signature = msgspec.structs.replace(signature, output="prediction")
    matrix, names = encode_columns(signature, columns), tuple(columns)
    own = tuple(given["columns"])
    foreign = ForeignModel(given["kind"], content, own, len(own), given["flavour"])
    context.progress(0.2, f"reading a model of {given['kind']}")
    as_it_takes = np.ascontiguousarray(matrix[:, [names.index(name) for name in own]])
    fitted = in_service_order(adopted(foreign, own, as_it_takes, model.task), names)
    context.progress(0.5, "exporting")
    calibration = msgspec.convert(given["calibration"], Calibration) if given.get("calibration") else None
    exported = export(fitted, matrix, place=rooms.python_place(model.name), calibration=calibration)
    made = Made(fitted, calibration, exported)
    outputs = exported_outputs(context, made, signature)
    told: dict[str, Any] = {"kind": foreign.kind, "from": given["origin"], "digest": given[ADOPTED]}
    return {**outputs, "train_rows": 0, ADOPTED: told}


def columns_of(rooms: Rooms, model: Model, foreign: ForeignModel) -> tuple[str, ...]:
    """Return the columns that a model takes, in its order.

    Raises:
        InputError: They are others than the model's feature service gives.
        Unsupported: One of them is a text.
    """
    inputs = rooms.applied.document.services[model.features.name].model_inputs
    texts = [name for name, dtype in inputs if dtype == "string"]
    if texts:
        raise Unsupported(
            f"feature {texts[0]!r} is a text, whose codes only training gives",
            hint="adopt it as a model whose feature service gives numbers alone",
        )
    return order_columns(foreign, columns_apart(foreign), tuple(name for name, _ in inputs))
