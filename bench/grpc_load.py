"""A closed loop over gRPC: so many calls under way at once, the answers counted, one line of JSON at the end.

`python bench/grpc_load.py HOST:PORT SECONDS CALLS CHANNELS`, with TOKEN, MODEL and BODIES (a file of native bodies, one
a line) in the environment. It says what `requests.lua` says, so that both are read alike.
"""

import asyncio
import json
import os
import sys
import time
from itertools import cycle
from pathlib import Path

import grpc
import numpy as np
import uvloop

from falaj.serving.grpc.messages import Messages

_METHOD = "/inference.GRPCInferenceService/ModelInfer"


def messages(model: str, bodies: Path) -> list[bytes]:
    """Return a `ModelInferRequest` for each native body."""
    known = Messages()
    return [_message(known, model, json.loads(line)) for line in bodies.read_text().splitlines()]


def _message(known: Messages, model: str, body: dict[str, dict[str, str | float]]) -> bytes:
    message = known.make("inference.ModelInferRequest", model_name=model)
    for name, value in (body["entities"] | body["request"]).items():
        if isinstance(value, str):
            raw, datatype = len(value.encode()).to_bytes(4, "little") + value.encode(), "BYTES"
        else:
            raw, datatype = np.array(value, "<f8").tobytes(), "FP64"
        message.inputs.add(name=name, datatype=datatype, shape=[1])
        message.raw_input_contents.append(raw)
    serialized: bytes = message.SerializeToString()
    return serialized


async def load(address: str, seconds: float, calls: int, channels: int) -> dict[str, float]:
    """Ask until the time is over, and return what was counted."""
    sent = cycle(messages(os.environ["MODEL"], Path(os.environ["BODIES"])))
    metadata = (("authorization", f"Bearer {os.environ['TOKEN']}"),)
    opened = [
        grpc.aio.insecure_channel(address, options=[("grpc.use_local_subchannel_pool", 1)]) for _ in range(channels)
    ]
    await asyncio.gather(*(channel.channel_ready() for channel in opened))
    took: list[float] = []
    refused = broken = 0
    deadline = time.perf_counter() + seconds

    async def caller(method: grpc.aio.UnaryUnaryMultiCallable) -> None:
        nonlocal refused, broken
        while (began := time.perf_counter()) < deadline:
            try:
                await method(next(sent), metadata=metadata)
            except grpc.aio.AioRpcError as error:
                unreachable = error.code() is grpc.StatusCode.UNAVAILABLE
                refused, broken = refused + (not unreachable), broken + unreachable
            took.append(time.perf_counter() - began)

    began = time.perf_counter()
    await asyncio.gather(*(caller(opened[i % channels].unary_unary(_METHOD)) for i in range(calls)))
    lasted = time.perf_counter() - began
    for channel in opened:
        await channel.close()
    p50, p99 = np.percentile(took, [50, 99]) * 1e3
    return {
        "requests": len(took), "refused": refused, "broken": broken, "seconds": lasted, "p50_ms": float(p50),
        "p99_ms": float(p99),
    }  # fmt: skip


if __name__ == "__main__":
    where, for_s, at_once, over = sys.argv[1], float(sys.argv[2]), int(sys.argv[3]), int(sys.argv[4])
    print(json.dumps(uvloop.run(load(where, for_s, at_once, over))))
