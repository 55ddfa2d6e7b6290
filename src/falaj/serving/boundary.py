"""The boundary: the one place of this room where faults are caught, of requests and of what a model brings along."""

import logging
from collections.abc import Callable
from typing import ParamSpec

P = ParamSpec("P")

_log = logging.getLogger("falaj.serving")


def contain(work: Callable[P, object], *args: P.args, **kwargs: P.kwargs) -> Exception | None:
    """Run the work; log and return what it raised, so that one request's or one model's fault stops no other.

    Example:
        >>> contain(print, "done")
        done
    """
    try:
        work(*args, **kwargs)
    except Exception as error:  # noqa: BLE001 - the boundary
        _log.exception("the gateway goes on after a fault")
        return error
    return None
