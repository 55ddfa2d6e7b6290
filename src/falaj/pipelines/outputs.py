"""What steps give out: plain values, and files kept by their digest."""

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import msgspec

from falaj.kernel.digest import digest_value
from falaj.kernel.errors import InputError

StepOutputs = Mapping[str, Any]
"""What a step function returns: plain JSON values and `Path`s of files it wrote, by name."""


class Output(msgspec.Struct, frozen=True, omit_defaults=True):
    """One output of a step: a file in the blob store, or a plain value.

    Attributes:
        blob: SHA-256 of the file; None for a plain value.
        size_bytes: Length of the file.
        value: The plain value; NaN and infinities become null, as JSON has none.
    """

    blob: str | None = None
    size_bytes: int = 0
    value: Any = None

    @property
    def digest(self) -> str:
        """The digest of the file or of the value's canonical JSON."""
        return self.blob if self.blob is not None else digest_value(self.value)

    @property
    def plain(self) -> Any:
        """What a step that needs this one sees: the value, or the file's digest."""
        return self.blob if self.blob is not None else self.value


Outputs = dict[str, Output]


def checked(step: str, returned: object) -> dict[str, Any]:
    """Return what a step function returned, as plain values and paths.

    Raises:
        InputError: It is not a mapping of names to plain JSON values or files.

    Example:
        >>> checked("train", {"auc": 0.9})
        {'auc': 0.9}
    """
    if returned is None:
        return {}
    if not isinstance(returned, Mapping):
        raise InputError(f"step {step!r} returned a {type(returned).__name__}", hint="return a dict of outputs by name")
    outputs: dict[str, Any] = {}
    for name, value in returned.items():
        if not isinstance(name, str):
            raise InputError(f"step {step!r} returned an output named {name!r}", hint="name outputs with strings")
        outputs[name] = _file(step, name, value) if isinstance(value, Path) else _plain(step, name, value)
    return outputs


def digests(outputs: Iterable[Outputs]) -> list[str]:
    """Return the digests of all files among outputs."""
    return [output.blob for group in outputs for output in group.values() if output.blob is not None]


def _file(step: str, name: str, path: Path) -> Path:
    if not path.is_file():
        raise InputError(
            f"step {step!r} returned {path} as output {name!r}, which is not a file",
            hint="return the path of a file that the step wrote; pack a folder first",
        )
    return path


def _plain(step: str, name: str, value: object) -> Any:
    try:
        return msgspec.json.decode(msgspec.json.encode(value))
    except (TypeError, ValueError, OverflowError, RecursionError) as error:
        raise InputError(
            f"step {step!r} returned output {name!r} that is not plain JSON: {error}",
            hint="return numbers, strings, lists, dicts, or the path of a file",
        ) from None
