"""Cluster: what the store asks of a Redis Cluster."""

import contextlib
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import redis
import redis.cluster

from falaj.storage.keyvalue.redis.address import RedisAddress
from falaj.storage.keyvalue.redis.failures import FAILURES, named, named_failures
from falaj.storage.keyvalue.redis.links import Links, pack_mget
from falaj.storage.keyvalue.redis.servers import SCAN_COUNT, Script, Values, client_options, slices


class ClusterServers:
    """A Redis Cluster: one round trip per node, asked side by side.

    Reads go to the nodes that the client last saw hold the keys; where one has moved or is gone, once more through the
    client, which then learns where it is.

    Args:
        address: Some of its nodes.
        connect_s: How long connecting to a node may take.
        timeout_s: How long an answer may take.
    """

    def __init__(self, address: RedisAddress, connect_s: float, timeout_s: float) -> None:
        self._address = address
        self._options = client_options(address, connect_s, timeout_s, 1)
        self._connected: Any = None
        self._links: dict[str, Links] = {}
        self._slots: dict[bytes, int] = {}  # by hash tag

    def read(self, groups: Sequence[Sequence[bytes]]) -> list[Values]:
        """Return the values of groups of keys; each group of up to 5,000 is of one instant."""
        parts = [(number, some) for number, group in enumerate(groups) for some in slices(group)]
        with named_failures(self._address):
            answers = self._read_directly(parts)
            if answers is None:
                answers = self._pipe([("MGET", *some) for _, some in parts])
        found: list[Values] = [[] for _ in groups]
        for (number, _), answer in zip(parts, answers, strict=True):
            if isinstance(answer, Exception):
                raise named(self._address, answer)
            found[number] += answer
        return found

    def run(self, scripts: Sequence[Script]) -> list[Any]:
        """Run scripts, those of different nodes side by side."""
        return self._pipe([("EVAL", text, len(names), *names, *args) for text, names, args in scripts])

    def scan(self, pattern: bytes) -> Iterator[bytes]:
        """Yield the names that match a pattern on any node; some perhaps twice."""
        with named_failures(self._address):
            yield from self._client().scan_iter(pattern, count=SCAN_COUNT)

    def unlink(self, names: Sequence[bytes]) -> None:
        """Remove keys."""
        for answer in self._pipe([("UNLINK", name) for name in names]):
            if isinstance(answer, Exception):
                raise named(self._address, answer)

    def policies(self) -> set[str]:
        """Return what the nodes do when their memory is full."""
        with named_failures(self._address):
            client = self._client()
            try:
                infos = client.info("memory", target_nodes=client.PRIMARIES)
            except redis.exceptions.NoPermissionError:
                return set()
        nodes = [infos] if "maxmemory_policy" in infos else infos.values()
        return {str(node.get("maxmemory_policy", "")) for node in nodes}

    def close(self) -> None:
        """Close the connections."""
        for links in self._links.values():
            links.close()
        self._links.clear()
        if self._connected is not None:
            with contextlib.suppress(*FAILURES):
                self._connected.close()
            self._connected = None

    def _read_directly(self, parts: Sequence[tuple[int, Sequence[bytes]]]) -> list[Any] | None:
        """Return the answers to parts, each of one slot; None where the client has to look for them."""
        asked: dict[str, tuple[Links, list[int]]] = {}
        try:
            for place, (_, names) in enumerate(parts):
                node, links = self._links_of(names[0])
                asked.setdefault(node, (links, []))[1].append(place)
        except redis.exceptions.SlotNotCoveredError:  # as far as the client knows
            return None
        return self._ask(list(asked.values()), parts)

    @staticmethod
    def _ask(
        asked: Sequence[tuple[Links, list[int]]], parts: Sequence[tuple[int, Sequence[bytes]]]
    ) -> list[Any] | None:
        """Return the answers to parts, given the places of each node's; None where a node is gone or sent elsewhere."""
        answers: list[Any] = [None] * len(parts)
        waiting: list[tuple[Any, Links, list[int]]] = []
        try:
            for links, places in asked:
                link, _ = links.take()
                waiting.append((link, links, places))
                packed = b"".join([pack_mget(parts[place][1]) for place in places])
                link.send_packed_command([packed], check_health=False)
            while waiting:
                link, links, places = waiting[-1]
                for place in places:
                    answers[place] = link.read_response()
                waiting.pop()
                links.give(link)
        except redis.TimeoutError:
            raise
        except (redis.ConnectionError, redis.ResponseError):  # gone, or moved
            return None
        finally:
            for link, _, _ in waiting:  # their answers are still on their way
                link.disconnect()
        return answers

    def _links_of(self, name: bytes) -> tuple[str, Links]:
        """Return the name and the links of the node that holds a key."""
        client = self._client()
        tag = name[: name.find(b"}") + 1]
        slot = self._slots.get(tag)
        if slot is None:
            slot = self._slots[tag] = client.keyslot(tag)
        node = client.nodes_manager.get_node_from_slot(slot)
        links = self._links.get(node.name)
        if links is None:
            links = self._links[node.name] = Links(client.get_redis_connection(node).connection_pool)
        return node.name, links

    def _client(self) -> Any:
        if self._connected is None:
            nodes = [redis.cluster.ClusterNode(host, port) for host, port in self._address.hosts]
            self._connected = redis.cluster.RedisCluster(
                startup_nodes=nodes, require_full_coverage=False, **self._options
            )
        return self._connected

    def _pipe(self, commands: Sequence[tuple[Any, ...]]) -> list[Any]:
        if not commands:
            return []
        with named_failures(self._address):
            client = self._client()
            if len(commands) == 1:
                return [self._one(lambda: client.execute_command(*commands[0]))]
            pipe = client.pipeline(transaction=False)
            for command in commands:
                pipe.execute_command(*command)
            answers: list[Any] = pipe.execute(raise_on_error=False)
        return answers

    @staticmethod
    def _one(ask: Callable[[], Any]) -> Any:
        try:
            return ask()
        except redis.ResponseError as error:
            return error
