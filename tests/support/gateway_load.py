"""Steady load on a gateway worker, by callers on kept connections."""

import asyncio
import json

from support.serving_world import TOKEN, ask


class Load:
    """Callers that each ask one thing after another until told to stop, and note every answer.

    Attributes:
        answered: Request ids of the decisions that came, in their order.
        versions: Which versions decided.
        failures: What came instead of an answer.
        killing: Whether a worker is being killed: what it had, nobody was told of.
        cut_off: Requests that such a worker had.
        stopping: Whether to end.
    """

    def __init__(self, port: int, callers: int = 8) -> None:
        self._port = port
        self._callers = callers
        self.answered: list[str] = []
        self.cut_off: list[str] = []
        self.killing = False
        self.versions: set[int] = set()
        self.failures: list[str] = []
        self.stopping = False
        raw = json.dumps(ask("c1", 10.0)).encode()
        head = f"POST /v1/endpoints/fraud/predict HTTP/1.1\r\nhost: x\r\nauthorization: Bearer {TOKEN}\r\n"
        self._request = f"{head}content-length: {len(raw)}\r\n\r\n".encode() + raw

    async def run(self) -> None:
        async with asyncio.TaskGroup() as group:
            for _ in range(self._callers):
                group.create_task(self._caller())

    async def _caller(self) -> None:
        while not self.stopping:
            reader, writer = await asyncio.open_connection("127.0.0.1", self._port)
            try:
                while not self.stopping and await self._ask(reader, writer):
                    pass
            except (OSError, asyncio.IncompleteReadError) as error:
                if not self.stopping:
                    (self.cut_off if self.killing else self.failures).append(repr(error))
            writer.close()

    async def _ask(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bool:
        writer.write(self._request)
        head = await reader.readuntil(b"\r\n\r\n")
        length = int(head.lower().split(b"content-length: ")[1].split(b"\r\n")[0])
        answer = json.loads(await reader.readexactly(length))
        if b" 200 " not in head:
            self.failures.append(answer["error"])
            return True
        self.answered.append(answer["request_id"])
        self.versions.add(answer["model_version"])
        return b"connection: close" not in head

    async def reach(self, answers: int) -> None:
        wanted = len(self.answered) + answers
        while len(self.answered) < wanted:
            await asyncio.sleep(0.01)
