"""Form: how a value of some type may be written."""

import types
import typing
from collections.abc import Mapping, Sequence
from functools import cache, reduce
from typing import Any

import msgspec

from falaj.definitions.project import KINDS
from falaj.definitions.yaml.constructor import Constructor, constructors_of, noun
from falaj.definitions.yaml.node import Scalar

_SCALARS = {str: "a text", int: "a whole number", float: "a number", bool: "true or false"}


class Form(msgspec.Struct, frozen=True):
    """What may stand where a type is expected.

    Attributes:
        null: Whether nothing may.
        anything: Whether anything may.
        references: Kinds of definitions, by name.
        parts: What makes the value, by name: `count` in `{count: {window: 1h}}`.
        item: The type of a list's values; None where no list may stand.
        container: What the list becomes.
        value: The type of a mapping's values; None where no mapping may stand.
        scalars: Which of str, int, float and bool.
        choices: The allowed values.
        other: Another type, which is msgspec's to convert; None where there is none.
    """

    null: bool = False
    anything: bool = False
    references: tuple[str, ...] = ()
    parts: dict[str, Constructor] = {}
    item: Any = None
    container: type = list
    value: Any = None
    scalars: tuple[type, ...] = ()
    choices: tuple[Any, ...] = ()
    other: Any = None

    def sole(self) -> Constructor | None:
        """The only thing that makes the value; None where there are several."""
        return next(iter(self.parts.values())) if len(self.parts) == 1 else None

    def direct(self, field: str) -> Constructor | None:
        """What makes the value of a field that bears its name, so that it need not be said twice: `monitor: {...}`."""
        only = self.sole()
        return only if only is not None and only.name == field else None

    def said(self) -> Constructor | None:
        """The only thing that makes the value, where one text is enough: `abort_if: [p99_ms > 10]`."""
        only = self.sole()
        return only if only is not None and only.short is not None else None

    def expected(self) -> str:
        """What to write, for a hint."""
        words = [f"the name of a {kind.replace('_', ' ')}" for kind in self.references]
        words += [", ".join(str(choice) for choice in self.choices)] if self.choices else []
        words += [text for scalar, text in _SCALARS.items() if scalar in self.scalars]
        words += ["a list"] if self.item is not None else []
        words += ["a mapping"] if self.value is not None else []
        words += [f"one of {', '.join(self.parts)}"] if len(self.parts) > 1 else list(self.parts)
        words += ["null"] if self.null else []
        return " or ".join(words) or "another value"


@cache
def form_of(annotation: Any) -> Form:
    """Return how a value of a type may be written.

    Args:
        annotation: The type, as a constructor's annotation has it.

    Example:
        >>> form_of(str | None).expected()
        'a text or null'
    """
    origin, arguments = typing.get_origin(annotation), typing.get_args(annotation)
    if annotation is Any:
        return Form(anything=True)
    if annotation in (None, types.NoneType):
        return Form(null=True)
    if annotation is Scalar:
        return Form(scalars=(str,))
    if annotation in _SCALARS:
        return Form(scalars=(annotation,))
    if origin in (typing.Union, types.UnionType):
        return reduce(_either, (form_of(argument) for argument in arguments))
    if origin is typing.Annotated:
        return form_of(arguments[0])
    if origin is typing.Literal:
        return Form(choices=arguments)
    if isinstance(origin, type) and issubclass(origin, Mapping):
        return Form(value=arguments[1])
    if isinstance(origin, type) and issubclass(origin, Sequence) and (origin is not tuple or arguments[-1] is ...):
        return Form(item=arguments[0], container=tuple if origin is tuple else list)
    if annotation in KINDS:
        return Form(references=(KINDS[annotation],))
    if isinstance(annotation, type) and issubclass(annotation, msgspec.Struct):
        made = constructors_of(annotation)
        tagged = annotation.__struct_config__.tag
        return Form(parts={noun(annotation): one for one in made.values()} if tagged and len(made) == 1 else made)
    return Form(other=annotation)


def _either(left: Form, right: Form) -> Form:
    other = left.other if right.other is None else right.other if left.other is None else left.other | right.other
    listed = left if left.item is not None else right
    return Form(
        null=left.null or right.null,
        anything=left.anything or right.anything,
        references=left.references + right.references,
        parts=left.parts | right.parts,
        item=_union(left.item, right.item),
        container=listed.container,
        value=_union(left.value, right.value),
        scalars=left.scalars + right.scalars,
        choices=left.choices + right.choices,
        other=other,
    )


def _union(left: Any, right: Any) -> Any:
    if left is None or right is None or left == right:
        return right if left is None else left
    return left | right
