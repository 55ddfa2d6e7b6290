"""Servers: the few things that the store asks of a Redis, of one server or of a cluster."""

import contextlib
from collections.abc import Callable, Iterator, Sequence
from typing import Any, Protocol

import hiredis
import redis
import redis.backoff
import redis.cluster
import redis.retry

from falaj.storage.keyvalue.redis.address import RedisAddress
from falaj.storage.keyvalue.redis.failures import FAILURES, named, named_failures

Script = tuple[str, Sequence[bytes], Sequence[bytes]]
"""One step: its Lua text, its keys and its arguments."""

Values = list[bytes | None]
MGET_KEYS = 5_000
"""Most keys of one `MGET`: a server answers nobody else meanwhile."""
_SCAN_COUNT = 1_000


class Servers(Protocol):
    """One server or a cluster. All but `close` raise a StorageError when it fails."""

    def read(self, groups: Sequence[Sequence[bytes]]) -> list[Values]:
        """Return the values of groups of keys, each group of one slot."""
        ...

    def run(self, scripts: Sequence[Script]) -> list[Any]:
        """Run scripts, each of one slot, whose answers stand in their order; an answer may be an error, not raised."""
        ...

    def scan(self, pattern: bytes) -> Iterator[bytes]:
        """Yield the names that match a pattern; some perhaps twice."""
        ...

    def unlink(self, names: Sequence[bytes]) -> None:
        """Remove keys of any slots."""
        ...

    def policies(self) -> set[str]:
        """Return what the servers do when their memory is full; empty where this user may not ask."""
        ...

    def close(self) -> None:
        """Close the connections."""
        ...


def _options(address: RedisAddress, connect_s: float, timeout_s: float, retries: int) -> dict[str, Any]:
    options: dict[str, Any] = {
        "username": address.username or None,
        "password": address.password or None,
        "socket_connect_timeout": connect_s,
        "socket_timeout": timeout_s,
        "retry": redis.retry.Retry(redis.backoff.NoBackoff(), retries),
        "protocol": 2,
        "ssl": address.tls,
    }
    if address.tls and address.ca_file:
        options["ssl_ca_certs"] = address.ca_file
    return options


class OneServer:
    """A single server.

    Reads take a connection of their own and no detour through the client, which would cost as much as the server.

    Args:
        address: Where it is.
        connect_s: How long connecting may take.
        timeout_s: How long an answer may take.
    """

    def __init__(self, address: RedisAddress, connect_s: float, timeout_s: float) -> None:
        host, port = address.hosts[0]
        options = _options(address, connect_s, timeout_s, 0)
        self._address = address
        self._client = redis.Redis(host=host, port=port, db=address.database, **options)
        self._idle: list[Any] = []

    def read(self, groups: Sequence[Sequence[bytes]]) -> list[Values]:
        """Return the values of groups of keys: of up to 5,000 keys in one round trip and of one instant."""
        return [self._mget(group) for group in groups]

    def run(self, scripts: Sequence[Script]) -> list[Any]:
        """Run scripts one after the other."""
        return [self._eval(*script) for script in scripts]

    def scan(self, pattern: bytes) -> Iterator[bytes]:
        """Yield the names that match a pattern; some perhaps twice."""
        with named_failures(self._address):
            yield from self._client.scan_iter(pattern, count=_SCAN_COUNT)

    def unlink(self, names: Sequence[bytes]) -> None:
        """Remove keys."""
        with named_failures(self._address):
            if names:
                self._client.unlink(*names)

    def policies(self) -> set[str]:
        """Return what the server does when its memory is full."""
        with named_failures(self._address):
            try:
                return {str(self._client.info("memory").get("maxmemory_policy", ""))}
            except redis.exceptions.NoPermissionError:
                return set()

    def close(self) -> None:
        """Close the connections."""
        while self._idle:
            self._idle.pop().disconnect()
        with contextlib.suppress(*FAILURES):
            self._client.close()

    def _mget(self, names: Sequence[bytes]) -> Values:
        if len(names) <= MGET_KEYS:
            values: Values = self._ask(hiredis.pack_command((b"MGET", *names)))
            return values
        found: Values = []
        for some in _slices(names):
            found += self._ask(hiredis.pack_command((b"MGET", *some)))
        return found

    def _ask(self, packed: bytes) -> Any:
        link: Any = None
        try:
            try:
                link = self._idle.pop()
            except IndexError:
                link = self._connect()
                return self._exchange(link, packed)
            try:
                return self._exchange(link, packed)
            except redis.ConnectionError:  # the server closed it while nobody asked: reading once more is harmless
                link = self._connect()
                return self._exchange(link, packed)
        except FAILURES as error:
            if link is not None:
                link.disconnect()
            raise named(self._address, error) from None

    def _connect(self) -> Any:
        pool = self._client.connection_pool  # which counts what it makes itself, and never what was closed
        link = pool.connection_class(**pool.connection_kwargs)
        link.connect()
        return link

    def _exchange(self, link: Any, packed: bytes) -> Any:
        link.send_packed_command([packed], check_health=False)
        answer = link.read_response()
        self._idle.append(link)  # not in a `finally`: what failed may still have an answer on its way
        return answer

    def _eval(self, text: str, names: Sequence[bytes], args: Sequence[bytes]) -> Any:
        with named_failures(self._address):
            try:
                return self._client.eval(text, len(names), *names, *args)
            except redis.ResponseError as error:
                return error


class ClusterServers:
    """A Redis Cluster: one round trip per node, asked side by side.

    Args:
        address: Some of its nodes.
        connect_s: How long connecting to a node may take.
        timeout_s: How long an answer may take.
    """

    def __init__(self, address: RedisAddress, connect_s: float, timeout_s: float) -> None:
        self._address = address
        self._options = _options(address, connect_s, timeout_s, 1)
        self._connected: Any = None

    def read(self, groups: Sequence[Sequence[bytes]]) -> list[Values]:
        """Return the values of groups of keys; each group of up to 5,000 is of one instant."""
        commands: list[tuple[Any, ...]] = []
        owners: list[int] = []
        for number, group in enumerate(groups):
            for some in _slices(group):
                commands.append(("MGET", *some))
                owners.append(number)
        found: list[Values] = [[] for _ in groups]
        for number, answer in zip(owners, self._pipe(commands), strict=True):
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
            yield from self._client().scan_iter(pattern, count=_SCAN_COUNT)

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
        if self._connected is not None:
            with contextlib.suppress(*FAILURES):
                self._connected.close()
            self._connected = None

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


def _slices(names: Sequence[bytes]) -> Iterator[Sequence[bytes]]:
    for start in range(0, len(names), MGET_KEYS):
        yield names[start : start + MGET_KEYS]


def servers_at(address: RedisAddress, connect_s: float, timeout_s: float) -> Servers:
    """Return the server or the cluster at an address; connects when first asked.

    Args:
        address: Where it is.
        connect_s: How long connecting may take.
        timeout_s: How long an answer may take.
    """
    kind = ClusterServers if address.cluster else OneServer
    return kind(address, connect_s, timeout_s)
