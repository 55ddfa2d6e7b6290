"""The request boundary: the one place of this room where a fault of our own code is caught."""

import logging
from collections.abc import Callable
from typing import ParamSpec

P = ParamSpec("P")

_log = logging.getLogger("falaj.serving")


def contain(work: Callable[P, None], *args: P.args, **kwargs: P.kwargs) -> Exception | None:
    """Run the work; log and return what it raised, so that one request's fault stops no other.

    Example:
        >>> contain(print, "done")
        done
    """
    try:
        work(*args, **kwargs)
    except Exception as error:  # noqa: BLE001 - the request boundary
        _log.exception("a request failed inside the gateway")
        return error
    return None
