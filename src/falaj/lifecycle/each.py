"""Each: one thing that fails keeps no other waiting."""

from collections.abc import Callable, Iterable
from typing import TypeVar

from falaj.kernel.errors import FalajError

T = TypeVar("T")


def for_each(items: Iterable[T], act: Callable[[T], bool]) -> bool:
    """Act on every item, and only then say what failed.

    Args:
        items: What to act on.
        act: Returns whether it did something.

    Returns:
        Whether anything was done.

    Raises:
        FalajError: The first failure.
    """
    did_something, failed = False, None
    for item in items:
        try:
            did_something = act(item) or did_something
        except FalajError as error:
            failed = failed or error
    if failed is not None:
        raise failed
    return did_something
