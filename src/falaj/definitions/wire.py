"""Wire: what a step will give, as the pipeline's function holds it while the pipeline is traced."""

import math
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NoReturn, get_args, get_origin

import msgspec

from falaj.kernel.errors import DefinitionError
from falaj.kernel.secret import check_secret_name

STEP, PATH, SECRET, FILE, COMPARE = "$step", "$path", "$secret", "$file", "$compare"
"""The fields by which an argument that is not a plain value is told from one."""


class Wire:
    """What a step will give, or a part of it.

    Args:
        step: The step's name in its pipeline.
        path: The keys and indices that lead to the part.
        kind: The annotated type, where there is one.

    Example:
        >>> metrics = Wire("evaluate")
        >>> wired(metrics["auc"] >= 0.9)
        {'$compare': '>=', 'left': {'$step': 'evaluate', '$path': ['auc']}, 'right': 0.9}
    """

    __hash__ = None  # type: ignore[assignment]

    def __init__(self, step: str, path: tuple[str | int, ...] = (), kind: Any = None) -> None:
        self._falaj_step = step
        self._falaj_path = path
        self._falaj_kind = kind

    def __getitem__(self, key: str | int) -> "Wire":
        if isinstance(key, bool) or not isinstance(key, str | int):
            raise DefinitionError(
                f"a part of what step {self._falaj_step!r} gives is named by a text or a number, not by {key!r}",
                hint="take it apart inside a step",
            )
        return Wire(self._falaj_step, (*self._falaj_path, key))

    def __iter__(self) -> Iterator["Wire"]:
        parts = get_args(self._falaj_kind)
        if get_origin(self._falaj_kind) is not tuple or Ellipsis in parts:
            self._unknown(
                "how many parts it has", "go over them with STEP.map(...), or annotate the step '-> tuple[A, B]'"
            )
        return iter([Wire(self._falaj_step, (*self._falaj_path, at), kind) for at, kind in enumerate(parts)])

    def __lt__(self, other: Any) -> "Comparison":
        return Comparison(self, "<", other)

    def __le__(self, other: Any) -> "Comparison":
        return Comparison(self, "<=", other)

    def __gt__(self, other: Any) -> "Comparison":
        return Comparison(self, ">", other)

    def __ge__(self, other: Any) -> "Comparison":
        return Comparison(self, ">=", other)

    def __eq__(self, other: object) -> "Comparison":  # type: ignore[override]
        return Comparison(self, "==", other)

    def __ne__(self, other: object) -> "Comparison":  # type: ignore[override]
        return Comparison(self, "!=", other)

    def __bool__(self) -> bool:
        self._unknown("whether it is true", "give the condition to a step: STEP(..., when=...)")

    def __len__(self) -> int:
        self._unknown("its length", "look at it inside a step")

    def __repr__(self) -> str:
        return f"<what step {self._falaj_step!r} gives{''.join(f'[{part!r}]' for part in self._falaj_path)}>"

    def _unknown(self, what: str, hint: str) -> NoReturn:
        raise DefinitionError(
            f"step {self._falaj_step!r} has not run yet, and {what} is not known while the pipeline is traced",
            hint=hint,
        )


class Comparison:
    """A comparison whose sides are not known yet; for `when=`.

    Args:
        left: A wire.
        operator: `<`, `<=`, `>`, `>=`, `==` or `!=`.
        right: A wire or a plain value.
    """

    def __init__(self, left: Any, operator: str, right: Any) -> None:
        self.left = left
        self.operator = operator
        self.right = right

    def __bool__(self) -> bool:
        raise DefinitionError(
            "what a step gives is not known while the pipeline is traced",
            hint="give the condition to a step: STEP(..., when=...)",
        )


class SecretName(msgspec.Struct, frozen=True):
    """A secret by its name; its value is read where the step runs."""

    name: str

    def __post_init__(self) -> None:
        check_secret_name(self.name)


def wired(value: Any) -> Any:
    """Return an argument as plain JSON, in which wires, secrets and files stand by name.

    Raises:
        DefinitionError: It cannot be written so.

    Example:
        >>> wired([Wire("load"), 3])
        [{'$step': 'load', '$path': []}, 3]
    """
    if isinstance(value, Wire):
        return {STEP: value._falaj_step, PATH: list(value._falaj_path)}
    if isinstance(value, Comparison):
        return {COMPARE: value.operator, "left": wired(value.left), "right": wired(value.right)}
    if isinstance(value, SecretName):
        return {SECRET: value.name}
    if isinstance(value, Path):
        return {FILE: str(value)}
    if isinstance(value, list | tuple):
        return [wired(part) for part in value]
    if isinstance(value, dict):
        return {_key(key): wired(part) for key, part in value.items()}
    return _plain(value)


def steps_in(tree: Any) -> Iterator[str]:
    """Yield the names of the steps that a wired argument needs.

    Example:
        >>> list(steps_in(wired({"a": Wire("load"), "b": [Wire("train")["model"]]})))
        ['load', 'train']
    """
    if isinstance(tree, list):
        for part in tree:
            yield from steps_in(part)
    elif isinstance(tree, dict):
        if STEP in tree:
            yield tree[STEP]
        else:
            for part in tree.values():
                yield from steps_in(part)


def _key(key: object) -> str:
    if not isinstance(key, str) or key.startswith("$"):
        raise DefinitionError(f"an argument has the key {key!r}", hint="use text that does not begin with '$'")
    return key


def _plain(value: Any) -> Any:
    if isinstance(value, float) and not math.isfinite(value):
        raise DefinitionError(f"an argument is {value}, which JSON cannot hold", hint="give None, or a finite number")
    try:
        return msgspec.json.decode(msgspec.json.encode(value))
    except (TypeError, ValueError, OverflowError):
        raise DefinitionError(
            f"a {type(value).__name__} cannot be given to a step of a run",
            hint="give numbers, texts, lists, dicts, paths, or what another step gives; a table comes from a step",
        ) from None
