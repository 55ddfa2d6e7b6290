"""Falaj's own HTTP server answering a constant: what the protocol class costs by itself; `python echo.py PORT`."""

import asyncio
import sys

import uvloop

from falaj.kernel.clock import SystemClock
from falaj.serving.http import Exchange, HttpServer, Request

_BODY = b'{"id":"r1","prediction":0.5123,"model_version":"3","variant":"champion"}'


class Constant:
    """An application with one answer."""

    def handle(self, request: Request, exchange: Exchange) -> None:
        """Answer."""
        del request
        exchange.respond(200, _BODY)


async def _serve(port: int) -> None:
    await HttpServer(Constant(), SystemClock()).start("127.0.0.1", port)
    await asyncio.Event().wait()


if __name__ == "__main__":
    uvloop.run(_serve(int(sys.argv[1])))
