"""Without: keep a library out of the process that another one would import along, only because it is installed."""

import sys
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from importlib.abc import MetaPathFinder
from typing import Any


class _Refusal(MetaPathFinder):
    """Refuses a library to one thread; what others import meanwhile is none of its business."""

    def __init__(self, library: str) -> None:
        self._library = library
        self._thread = threading.get_ident()

    def find_spec(self, fullname: str, path: Sequence[str] | None, target: Any = None) -> None:
        """Refuse, or leave it to the other finders."""
        del path, target
        if fullname.partition(".")[0] == self._library and threading.get_ident() == self._thread:
            raise ModuleNotFoundError(f"{fullname} is kept out here", name=fullname)


@contextmanager
def without(library: str) -> Iterator[None]:
    """Let this thread import nothing of a library, unless it is there already.

    Args:
        library: Its top package.

    Example:
        >>> with without("wave"):
        ...     import wave
        Traceback (most recent call last):
            ...
        ModuleNotFoundError: wave is kept out here
    """
    refusal = _Refusal(library)
    sys.meta_path.insert(0, refusal)
    try:
        yield
    finally:
        sys.meta_path.remove(refusal)
