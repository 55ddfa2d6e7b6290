"""One server: what the store asks of a single Redis."""

import contextlib
from collections.abc import Iterator, Sequence
from typing import Any

import redis

from falaj.storage.keyvalue.redis.address import RedisAddress
from falaj.storage.keyvalue.redis.failures import FAILURES, named, named_failures
from falaj.storage.keyvalue.redis.links import Links, pack_mget
from falaj.storage.keyvalue.redis.servers import MGET_KEYS, SCAN_COUNT, Script, Values, client_options, slices


class OneServer:
    """A single server.

    Args:
        address: Where it is.
        connect_s: How long connecting may take.
        timeout_s: How long an answer may take.
    """

    def __init__(self, address: RedisAddress, connect_s: float, timeout_s: float) -> None:
        host, port = address.hosts[0]
        options = client_options(address, connect_s, timeout_s, 0)
        self._address = address
        self._client = redis.Redis(host=host, port=port, db=address.database, **options)
        self._links = Links(self._client.connection_pool)

    def read(self, groups: Sequence[Sequence[bytes]]) -> list[Values]:
        """Return the values of groups of keys: of up to 5,000 keys in one round trip and of one instant."""
        return [self._mget(group) for group in groups]

    def run(self, scripts: Sequence[Script]) -> list[Any]:
        """Run scripts one after the other."""
        return [self._eval(*script) for script in scripts]

    def scan(self, pattern: bytes) -> Iterator[bytes]:
        """Yield the names that match a pattern; some perhaps twice."""
        with named_failures(self._address):
            yield from self._client.scan_iter(pattern, count=SCAN_COUNT)

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
        self._links.close()
        with contextlib.suppress(*FAILURES):
            self._client.close()

    def _mget(self, names: Sequence[bytes]) -> Values:
        if len(names) <= MGET_KEYS:
            values: Values = self._ask(pack_mget(names))
            return values
        found: Values = []
        for some in slices(names):
            found += self._ask(pack_mget(some))
        return found

    def _ask(self, packed: bytes) -> Any:
        link: Any = None
        try:
            link, fresh = self._links.take()
            try:
                return self._exchange(link, packed)
            except redis.ConnectionError:
                if fresh:
                    raise
                link = self._links.open()  # the server closed it while nobody asked: reading once more is harmless
                return self._exchange(link, packed)
        except FAILURES as error:
            if link is not None:
                link.disconnect()
            raise named(self._address, error) from None

    def _exchange(self, link: Any, packed: bytes) -> Any:
        link.send_packed_command([packed], check_health=False)
        answer = link.read_response()
        self._links.give(link)  # not in a `finally`: what failed may still have an answer on its way
        return answer

    def _eval(self, text: str, names: Sequence[bytes], args: Sequence[bytes]) -> Any:
        with named_failures(self._address):
            try:
                return self._client.eval(text, len(names), *names, *args)
            except redis.ResponseError as error:
                return error
