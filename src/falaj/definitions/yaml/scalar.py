"""Scalar: what a text without quotes means, by the core schema of YAML 1.2."""

import re

from falaj.definitions.yaml.node import Scalar
from falaj.kernel.errors import DefinitionError

_NULL = re.compile(r"null|Null|NULL|~|")
_TRUE = re.compile(r"true|True|TRUE")
_FALSE = re.compile(r"false|False|FALSE")
_INT = re.compile(r"[-+]?[0-9]+")
_OCTAL = re.compile(r"0o[0-7]+")
_HEX = re.compile(r"0x[0-9a-fA-F]+")
_FLOAT = re.compile(r"[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?")
_INFINITY = re.compile(r"([-+]?)\.(inf|Inf|INF)")
_NAN = re.compile(r"\.(nan|NaN|NAN)")
_LEADING_ZERO = re.compile(r"[-+]?0[0-9]+")
_MOST_DIGITS = 40


def is_null(scalar: Scalar) -> bool:
    """Whether it says that there is no value."""
    return scalar.plain and _NULL.fullmatch(scalar.text) is not None


def core_value(scalar: Scalar) -> bool | int | float | str | None:
    """Return the value: null, true or false, a number, or the text.

    `no`, `off`, `1_000`, `1:30` and dates are texts, as YAML 1.2 has it.

    Raises:
        DefinitionError: It is a number with a leading zero, which YAML 1.1 and 1.2 read differently, or one that
            does not fit in 64 bits.
    """
    text = scalar.text
    if not scalar.plain:
        return text
    if is_null(scalar):
        return None
    if _TRUE.fullmatch(text) or _FALSE.fullmatch(text):
        return _TRUE.fullmatch(text) is not None
    if _LEADING_ZERO.fullmatch(text):
        raise DefinitionError(
            f"{scalar.place}: {text[:_MOST_DIGITS]} could be decimal or octal", hint="quote a text, or write no zero"
        )
    for pattern, base in ((_INT, 10), (_OCTAL, 8), (_HEX, 16)):
        if pattern.fullmatch(text):
            return _whole(scalar, base)
    if match := _INFINITY.fullmatch(text):
        return float(f"{match[1]}inf")
    if _NAN.fullmatch(text):
        return float("nan")
    return float(text) if _FLOAT.fullmatch(text) else text


def _whole(scalar: Scalar, base: int) -> int:
    digits = scalar.text if base == 10 else scalar.text[2:]
    number = int(digits, base) if len(digits) <= _MOST_DIGITS else 1 << 64
    if not -(1 << 63) <= number < 1 << 63:
        raise DefinitionError(f"{scalar.place}: {digits[:_MOST_DIGITS]} does not fit in 64 bits", hint="quote a text")
    return number
