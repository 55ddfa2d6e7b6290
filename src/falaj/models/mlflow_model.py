"""A model that MLflow saved elsewhere, read from its folder: only from formats that run no code when they are read."""

import json
from pathlib import Path
from typing import Any, Literal

import msgspec

from falaj.kernel.errors import DataError, InputError, NotFound, Unsupported
from falaj.kernel.size import format_size
from falaj.storage.disk import given_file

Kind = Literal["lightgbm", "xgboost", "onnx", "sklearn"]
MODEL_FILE = "MLmodel"

_MOST_DESCRIBED_BYTES = 16 << 20
_MOST_BYTES = 2 << 30
"""Of a model's file, which is read whole: no ONNX file can be larger, and what serves is ONNX or smaller."""

_NUMBERS = ("boolean", "integer", "long", "float", "double")


class ForeignModel(msgspec.Struct, frozen=True):
    """A model's file, and what MLflow's description says of it.

    Attributes:
        kind: Whose format the file has; skops for scikit-learn.
        content: The file's bytes.
        columns: Names of the columns that it takes, in its order; empty where the description has none.
        width: How many columns it takes; None where the description does not say.
        flavour: The description's words about it, for people.
    """

    kind: Kind
    content: bytes
    columns: tuple[str, ...]
    width: int | None
    flavour: dict[str, Any]


def read_mlflow_model(folder: Path) -> ForeignModel:
    """Read a model from the folder that MLflow saved it in.

    Args:
        folder: With the file `MLmodel` in it.

    Raises:
        NotFound: The folder holds no model of MLflow's.
        DataError: Its description makes no sense, or its file is not there.
        Unsupported: It is pickled, of a library that cannot be served from here, or takes what is no number.
    """
    described = _description(folder)
    flavours = described.get("flavors") or {}
    if not isinstance(flavours, dict):
        raise DataError(f"file {folder / MODEL_FILE} describes no model", hint="give a folder that MLflow wrote")
    for kind, read in (("onnx", _onnx), ("lightgbm", _lightgbm), ("xgboost", _xgboost), ("sklearn", _sklearn)):
        if isinstance(flavours.get(kind), dict):
            said = flavours[kind]
            content = _bytes(folder, read(said))
            columns, width = _signature(described.get("signature"))
            return ForeignModel(kind, content, columns, width, _plain(said))  # type: ignore[arg-type]
    raise _not_native(f"a model of {', '.join(sorted(map(str, flavours))) or 'no flavour'}")


def _description(folder: Path) -> dict[str, Any]:
    import yaml  # a tenth of a second that only this needs

    path = folder / MODEL_FILE
    if not path.is_file():
        raise NotFound(f"folder {folder} holds no model of MLflow's", hint=f"give the folder of its file {MODEL_FILE}")
    text = _read(path, _MOST_DESCRIBED_BYTES).decode(errors="replace")
    try:
        described = yaml.safe_load(text)
    except (yaml.YAMLError, ValueError, RecursionError):  # a date that is none; a list in a list a thousand times
        raise DataError(f"file {path} is not YAML", hint="give a folder that MLflow wrote") from None
    if not isinstance(described, dict):
        raise DataError(f"file {path} describes no model", hint="give a folder that MLflow wrote")
    return described


def _onnx(said: dict[str, Any]) -> str:
    return str(said.get("data", "model.onnx"))


def _lightgbm(said: dict[str, Any]) -> str:
    data = str(said.get("data", ""))
    if not str(said.get("model_class", "")).endswith("Booster") or not data.endswith((".lgb", ".txt")):
        raise _not_native("a LightGBM model of scikit-learn's interface", "log its booster: model.booster_")
    return data


def _xgboost(said: dict[str, Any]) -> str:
    data = str(said.get("data", ""))
    if not data.endswith((".json", ".ubj", ".xgb")):
        raise _not_native("an XGBoost model in a format of its own", "log it with model_format='json'")
    return data


def _sklearn(said: dict[str, Any]) -> str:
    form = str(said.get("serialization_format", "pickle"))
    if form != "skops":
        raise _not_native(
            f"a scikit-learn model saved as {form}",
            "save it with mlflow.sklearn.log_model(serialization_format='skops')",
        )
    return str(said.get("pickled_model", said.get("data", "model.skops")))


def _not_native(what: str, instead: str = "") -> Unsupported:
    return Unsupported(
        f"this is {what}, and what is pickled runs code when it is read",
        hint=instead or "write it as ONNX, and log that with mlflow.onnx.log_model",
    )


def _bytes(folder: Path, name: str) -> bytes:
    path = (folder / name).resolve()
    if not path.is_relative_to(folder.resolve()):
        raise DataError(f"the description names a file {name!r} outside of the model's folder")
    if not path.is_file():
        raise DataError(f"the model's file {path} is not there", hint="give the whole folder that MLflow wrote")
    return _read(path, _MOST_BYTES)


def _read(path: Path, most: int) -> bytes:
    with given_file(path), path.open("rb") as file:
        content = file.read(most + 1) if path.stat().st_size <= most else None
    if content is None or len(content) > most:
        raise DataError(f"file {path} is larger than {format_size(most)}", hint="models of that size are not taken in")
    return content


def _signature(said: Any) -> tuple[tuple[str, ...], int | None]:
    """Return the names of the columns and their number, of what MLflow keeps as JSON in its YAML."""
    inputs = said.get("inputs") if isinstance(said, dict) else None
    if not inputs:
        return (), None
    try:
        specs = json.loads(inputs)
        if len(specs) == 1 and specs[0]["type"] == "tensor":
            shape = specs[0]["tensor-spec"]["shape"]
            if len(shape) != 2:
                raise Unsupported(f"it takes a tensor of shape {shape}", hint="only rows of features can be served")
            return (), None if shape[1] == -1 else int(shape[1])
        for spec in specs:
            if spec["type"] not in _NUMBERS:
                raise Unsupported(
                    f"its column {spec.get('name')!r} is a {spec['type']}",
                    hint="texts are encoded in training: train it here, or adopt one that takes numbers",
                )
        return tuple(str(spec["name"]) for spec in specs if "name" in spec), len(specs)
    except (ValueError, KeyError, TypeError, AttributeError):
        raise DataError("the model's signature cannot be read", hint="log it with a signature again") from None


def _plain(said: dict[str, Any]) -> dict[str, Any]:
    return {str(name): value for name, value in said.items() if isinstance(value, str | int | float | bool)}


def order_columns(foreign: ForeignModel, own: tuple[str, ...], features: tuple[str, ...]) -> tuple[str, ...]:
    """Return the features in the order in which a model takes them.

    Args:
        foreign: The model.
        own: The columns that the model's file names; empty where it names none.
        features: Those that the feature service gives, in its order.

    Raises:
        InputError: The model takes other columns, or does not say which.
    """
    columns = foreign.columns or own
    if foreign.columns and own and foreign.columns != own:
        raise InputError("the model's file names its columns otherwise than its signature does", hint="log it again")
    if columns:
        missing = [name for name in columns if name not in features]
        unused = [name for name in features if name not in columns]
        if missing or unused or len(set(columns)) != len(columns):
            what = [f"the service does not give {', '.join(missing)}"] if missing else []
            what += [f"the model does not take {', '.join(unused)}"] if unused else []
            raise InputError(
                f"the model takes other columns than the feature service gives: {'; '.join(what) or 'one comes twice'}",
                hint="declare a feature service of just these, under these names",
            )
        return columns
    if foreign.width != len(features):
        said = "does not say how many columns it takes" if foreign.width is None else f"takes {foreign.width} columns"
        raise InputError(
            f"the model {said}, and the feature service gives {len(features)}",
            hint="log it with a signature: mlflow.models.infer_signature(rows)",
        )
    return features
