"""Refusal: why a process did not start, handed from the process to whoever started it, by what it prints last."""

import re
import sys
from typing import NoReturn

from falaj.kernel.errors import FalajError, error_by_code
from falaj.kernel.sentence import one_sentence

EXIT = 78
"""Exit code of a process that says why it does not start: EX_CONFIG of sysexits.h."""

_TOLD = re.compile(r"^error \[(\w+)\] (.*)(?:\n  fix  (.*))?", re.MULTILINE)


def refuse(error: FalajError) -> NoReturn:
    """Print the error as the command line does, and end."""
    hint = f"\n  fix  {one_sentence(error.hint)}" if error.hint else ""
    sys.stderr.write(f"error [{error.code}] {one_sentence(error.message)}{hint}\n")
    sys.exit(EXIT)


def told(text: str) -> FalajError | None:
    """Return the last error that was printed, as it was raised; None where none was.

    Args:
        text: What a process printed, or the end of it.

    Example:
        >>> error = told("starting\\nerror [not_found] no such model\\n  fix  list them\\n")
        >>> type(error).__name__, error.message, error.hint
        ('NotFound', 'no such model', 'list them')
        >>> told("starting") is None
        True
    """
    found = list(_TOLD.finditer(text))
    return error_by_code(found[-1][1], found[-1][2], found[-1][3] or "") if found else None
