"""Values: what step functions take and return, as plain JSON and files. Nothing is pickled.

Tables become Arrow IPC files, models their libraries' own formats, paths the bytes of their files; the rest is JSON.
A library is imported only where a value of it is at hand.
"""

import typing
from collections.abc import Callable, Mapping
from importlib import import_module
from pathlib import Path
from typing import Any

import msgspec

from falaj.definitions.frame import as_frame, frame_form, to_arrow
from falaj.definitions.step import StepFunction
from falaj.definitions.wire import SECRET
from falaj.kernel.errors import InputError
from falaj.kernel.secret import Secret, read_secret
from falaj.pipelines.arguments import DIGEST, KEPT, NAME, OUTPUT, RESULT, kept_in
from falaj.pipelines.context import StepContext

_MODELS = {
    ("lightgbm.basic", "Booster"): "lightgbm",
    ("xgboost.core", "Booster"): "xgboost",
    ("onnx.onnx_ml_pb2", "ModelProto"): "onnx",
}
_ENDINGS = {"table": "arrow", "lightgbm": "txt", "xgboost": "json", "onnx": "onnx"}
_HINT = (
    "return an Arrow table, a pandas or polars frame, a LightGBM or XGBoost booster, an ONNX model, the Path of a "
    "file, or what JSON can hold"
)


def call(function: StepFunction[Any], context: StepContext) -> dict[str, Any]:
    """Call a step function with the arguments of its context, and return its result as outputs.

    Args:
        function: The step.
        context: Holds the arguments, and where files lie.

    Raises:
        InputError: An argument is not of its parameter's type, or the result cannot be kept.
        NotFound: A secret is not there.
    """
    given = {
        name: unpack(tree, function.hints.get(name, Any), context, f"{function.name}, {name}")
        for name, tree in (context.arguments or {}).items()
    }
    given |= dict.fromkeys(function.context_parameters, context)
    return pack(function.function(**given), lambda: context.folder)


def pack(value: Any, folder: Callable[[], Path]) -> dict[str, Any]:
    """Return a value as outputs: JSON under `result`, and the path of each file that it names.

    Args:
        value: What a step function returned.
        folder: Gives the folder that files are written to; most values need none.

    Raises:
        InputError: It is of no kind that can be kept.
    """
    files: dict[str, Path] = {}
    tree = _packed(value, folder, RESULT, files)
    return {RESULT: tree, **files}


def read_kept(kind: str, path: Path) -> Any:
    """Return what is kept as a file: an Arrow table, a model, or the file's path.

    Args:
        kind: "table", "lightgbm", "xgboost", "onnx" or "file".
        path: Where it is kept.
    """
    return path if kind == "file" else _READ[kind](path)


def unpack(tree: Any, hint: Any, context: StepContext, what: str) -> Any:
    """Return an argument as its parameter's type asks for it.

    Args:
        tree: The argument: JSON with kept things by digest.
        hint: The parameter's type; Any for what the value is by itself.
        context: Says where files lie and secrets may be read.
        what: The parameter, for messages.

    Raises:
        InputError: It is not of that type.
        NotFound: A secret is not there.
    """
    if isinstance(tree, dict) and KEPT in tree:
        return _read(tree, hint, context, what)
    if isinstance(tree, dict) and SECRET in tree:
        secret = read_secret(tree[SECRET], context.secrets)
        context.hidden.append(secret.reveal())
        return secret
    if isinstance(tree, list) and _has_objects(tree):
        return _sequence(tree, hint, context, what)
    if isinstance(tree, dict) and _has_objects(tree):
        kinds = typing.get_args(hint)
        each = kinds[1] if len(kinds) == 2 else typing.get_type_hints(hint) if typing.is_typeddict(hint) else Any
        return {
            key: unpack(part, each.get(key, Any) if isinstance(each, dict) else each, context, f"{what}[{key!r}]")
            for key, part in tree.items()
        }
    return _plain(tree, hint, what)


def _packed(value: Any, folder: Callable[[], Path], name: str, files: dict[str, Path]) -> Any:
    kind = type(value)
    form = "table" if frame_form(kind) else _MODELS.get((kind.__module__, kind.__qualname__), "")
    if form:
        path = folder() / f"{name}.{_ENDINGS[form]}"
        _WRITE[form](value, path)
        files[path.name] = path
        return {KEPT: form, OUTPUT: path.name}
    if isinstance(value, Path):
        output = f"{name}{value.suffix}"
        files[output] = value
        return {KEPT: "file", OUTPUT: output, NAME: value.name}
    if isinstance(value, Secret):
        raise InputError("a step returned a secret", hint="return what it was used for")
    if isinstance(value, list | tuple):
        return [_packed(part, folder, f"{name}.{at}", files) for at, part in enumerate(value)]
    if isinstance(value, Mapping):
        return {_key(key): _packed(part, folder, f"{name}.{_plain_key(key)}", files) for key, part in value.items()}
    try:
        return msgspec.json.decode(msgspec.json.encode(value, enc_hook=_scalar))
    except (TypeError, ValueError, OverflowError, RecursionError) as error:
        raise InputError(f"a step returned a {kind.__name__}, which cannot be kept: {error}", hint=_HINT) from None


def _key(key: object) -> str:
    text = key if isinstance(key, str) else str(msgspec.to_builtins(key, str_keys=True))
    if text.startswith("$"):
        raise InputError(f"a step returned a dict with the key {text!r}", hint="use keys that do not begin with '$'")
    return text


def _plain_key(key: object) -> str:
    """Return a key as it can stand in a file's name."""
    return "".join(letter if letter.isalnum() or letter in "-_" else "_" for letter in str(key))[:40]


def _scalar(value: Any) -> Any:
    item = getattr(value, "item", None)  # NumPy's numbers
    if callable(item) and getattr(value, "shape", None) == ():
        return item()
    raise TypeError("it is no number, text, list, dict, table, model or path")


def _read(tree: dict[str, Any], hint: Any, context: StepContext, what: str) -> Any:
    path, kind = context.path(tree[DIGEST]), tree[KEPT]
    if kind == "file":
        # Under its own name, as libraries go by endings; the blob's is its digest.
        folder = context.folder / "given" / tree[DIGEST][:16]
        folder.mkdir(parents=True, exist_ok=True)
        link = folder / tree[NAME]
        if not link.is_symlink():
            link.symlink_to(path)
        return link
    value = _READ[kind](path)
    if kind != "table":
        return value
    wanted = [one for one in (hint, *typing.get_args(hint)) if frame_form(one)]
    if not wanted and hint is not Any:
        raise InputError(f"step {what} is given a table and is of type {hint}", hint="annotate it as pyarrow.Table")
    return as_frame(value, wanted[0]) if wanted else value


def _sequence(tree: list[Any], hint: Any, context: StepContext, what: str) -> Any:
    kinds = typing.get_args(hint)
    fixed = typing.get_origin(hint) is tuple and Ellipsis not in kinds
    if fixed and len(kinds) != len(tree):
        raise InputError(f"step {what} is given {len(tree)} values and is of type {hint}")
    each = kinds if fixed else [kinds[0] if kinds else Any] * len(tree)
    values = [unpack(part, each[at], context, f"{what}[{at}]") for at, part in enumerate(tree)]
    return tuple(values) if typing.get_origin(hint) is tuple else values


def _plain(tree: Any, hint: Any, what: str) -> Any:
    if hint is Any:
        return tree
    try:
        return msgspec.convert(tree, hint, strict=False, dec_hook=_made)
    except msgspec.ValidationError as error:
        raise InputError(f"step {what}: {error}", hint=f"it is of type {hint}") from None
    except TypeError as error:
        raise InputError(f"step {what} is of type {hint}: {error}", hint="give it what another step returns") from None


def _made(kind: type, value: Any) -> Any:
    if kind is Path:
        return Path(value)
    raise msgspec.ValidationError(f"a {kind.__name__} cannot be made of {type(value).__name__}")


def _has_objects(tree: Any) -> bool:
    if isinstance(tree, list):
        return any(_has_objects(part) for part in tree)
    if isinstance(tree, dict):
        return SECRET in tree or any(True for _ in kept_in(tree)) or any(_has_objects(part) for part in tree.values())
    return False


def _write_table(value: Any, path: Path) -> None:
    ipc = import_module("pyarrow.ipc")
    table = value if frame_form(type(value)) == "arrow" else to_arrow(value)
    with ipc.new_file(str(path), table.schema) as writer:
        writer.write_table(table)


def _read_table(path: Path) -> Any:
    arrow, ipc = import_module("pyarrow"), import_module("pyarrow.ipc")
    return ipc.open_file(arrow.memory_map(str(path))).read_all()


def _write_xgboost(model: Any, path: Path) -> None:
    model.save_model(str(path))


def _read_xgboost(path: Path) -> Any:
    model = import_module("xgboost").Booster()
    model.load_model(bytearray(path.read_bytes()))  # by its name it could not tell the format
    return model


_WRITE: dict[str, Callable[[Any, Path], object]] = {
    "table": _write_table,
    "lightgbm": lambda model, path: path.write_text(model.model_to_string(), encoding="utf-8"),
    "xgboost": _write_xgboost,
    "onnx": lambda model, path: path.write_bytes(model.SerializeToString()),
}
_READ: dict[str, Callable[[Path], Any]] = {
    "table": _read_table,
    "lightgbm": lambda path: import_module("lightgbm").Booster(model_str=path.read_text(encoding="utf-8")),
    "xgboost": _read_xgboost,
    "onnx": lambda path: import_module("onnx").load_model_from_string(path.read_bytes()),
}
