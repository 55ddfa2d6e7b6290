"""Secrets: named where they are used, read where they are needed, and shown nowhere."""

import os
import re
import stat
from collections.abc import Iterable
from pathlib import Path

from falaj.kernel.errors import DefinitionError, InputError, NotFound

_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]{0,127}")
_SHORTEST = 4
"""A shorter secret is not looked for in texts: it would be found in every other word."""


class Secret:
    """A value that prints as `***`; `reveal` gives it.

    Args:
        name: What it is called.
        value: The value itself.

    Example:
        >>> key = Secret("API_KEY", "s3cret-value")
        >>> print(key, repr(key), key.reveal())
        *** Secret('API_KEY') s3cret-value
    """

    __slots__ = ("_value", "name")

    def __init__(self, name: str, value: str) -> None:
        self.name = name
        self._value = value

    def reveal(self) -> str:
        """Return the value."""
        return self._value

    def __str__(self) -> str:
        return "***"

    def __repr__(self) -> str:
        return f"Secret({self.name!r})"


def check_secret_name(name: str) -> str:
    """Return the name if a secret may bear it.

    Raises:
        DefinitionError: It is not letters, digits and underscores, as names of environment variables are.
    """
    if not isinstance(name, str) or not _NAME.fullmatch(name):
        raise DefinitionError(f"secret name {name!r} cannot be used", hint="use letters, digits and underscores")
    return name


def read_secret(name: str, folder: Path | None) -> Secret:
    """Return a secret: the environment variable of its name, or else the file of its name.

    Args:
        name: Its name.
        folder: Where secrets lie, a file each; None for nowhere.

    Raises:
        NotFound: There is neither.
        InputError: The file could be read by others than its owner, or belongs to somebody else.
    """
    value = os.environ.get(check_secret_name(name))
    if value:
        return Secret(name, value)
    path = None if folder is None else folder / name
    if path is None or not path.is_file():
        where = "" if path is None else f", or write it to {path} (readable by you alone: chmod 600)"
        raise NotFound(f"secret {name!r} is not there", hint=f"set the environment variable {name}{where}")
    found = path.stat()
    if stat.S_IMODE(found.st_mode) & 0o077 or found.st_uid not in (0, os.getuid()):
        raise InputError(
            f"{path} can be read by others, or belongs to somebody else", hint=f"make it yours alone: chmod 600 {path}"
        )
    return Secret(name, path.read_text(encoding="utf-8").rstrip("\n"))


def hide(text: str, secrets: Iterable[str]) -> str:
    """Return a text in which the values of secrets stand as `***`.

    Example:
        >>> hide("401 for key=s3cret-value", ["s3cret-value"])
        '401 for key=***'
    """
    for value in secrets:
        if len(value) >= _SHORTEST:
            text = text.replace(value, "***")
    return text
