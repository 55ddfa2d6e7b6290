"""Granian's RSGI echo: reads the body and answers a constant; `python granian_echo.py PORT`.

One worker, in the mode that was the fastest here: `--runtime-mode st`.
"""

import sys
from typing import Any

from granian import Granian
from granian.constants import Interfaces, Loops, RuntimeModes

_BODY = b'{"id":"r1","prediction":0.5123,"model_version":"3","variant":"champion"}'
_HEADERS = [("content-type", "application/json")]


async def app(scope: Any, protocol: Any) -> None:
    """Answer."""
    del scope
    await protocol()
    protocol.response_bytes(200, _HEADERS, _BODY)


if __name__ == "__main__":
    Granian(
        "granian_echo:app",
        port=int(sys.argv[1]),
        interface=Interfaces.RSGI,
        workers=1,
        runtime_mode=RuntimeModes.st,
        loop=Loops.uvloop,
        log_enabled=False,
    ).serve()
