"""The online store on Redis: any number of readers on any machine, one writer, batches that are written whole."""

import secrets
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Self

from falaj.kernel.errors import InputError, StorageError
from falaj.storage.disk import failure
from falaj.storage.filelock import FileLock
from falaj.storage.keyvalue.redis.address import RedisAddress
from falaj.storage.keyvalue.redis.cluster_servers import ClusterServers
from falaj.storage.keyvalue.redis.keys import CLUSTER_PARTITIONS, RedisKeys, Together
from falaj.storage.keyvalue.redis.one_server import OneServer
from falaj.storage.keyvalue.redis.redo import RedoWriter
from falaj.storage.keyvalue.redis.servers import MGET_KEYS, Servers, Values
from falaj.storage.keyvalue.redis.writer import AtomicWriter, RedisWriter

CONNECT_S = 0.25
READ_S = 0.05
WRITE_S = 10.0
MAX_VALUE_BYTES = 512 << 20


class RedisStore:
    """A project's keys on a Redis server or a Redis Cluster.

    Reads are one round trip: to a single server they are of one instant; on a cluster, what lies in one partition is
    (the records of one entity do), and the nodes are asked side by side. Nothing connects before the first use.

    Args:
        servers: The server or the cluster.
        keys: The names.
        address: For errors.
        writer: Writes; None for a store that is only read.
        lock: Held as long as the store is open.
    """

    def __init__(
        self,
        servers: Servers,
        keys: RedisKeys,
        address: RedisAddress,
        writer: RedisWriter | None = None,
        lock: FileLock | None = None,
    ) -> None:
        self._servers = servers
        self._keys = keys
        self._address = address
        self._writer = writer
        self._lock = lock
        self._marker = [keys.marker(0)]
        self._single = keys.partitions == 1

    @classmethod
    def open_reader(
        cls,
        address: RedisAddress,
        project: str,
        *,
        together: Together = bytes,
        connect_s: float = CONNECT_S,
        timeout_s: float = READ_S,
    ) -> Self:
        """Return a store for reading, without asking the server.

        Args:
            address: Where Redis is.
            project: The project's name, under which its keys lie.
            together: What of a key decides with which others it lies on a cluster.
            connect_s: How long connecting may take, in seconds.
            timeout_s: How long an answer may take, in seconds.
        """
        return cls(_servers(address, connect_s, timeout_s), _keys(address, project, together), address)

    @classmethod
    def open_writer(
        cls,
        address: RedisAddress,
        project: str,
        folder: Path,
        *,
        together: Together = bytes,
        connect_s: float = CONNECT_S,
        timeout_s: float = WRITE_S,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> Self:
        """Return a store for writing, which no other process of this folder has; without asking the server.

        Args:
            address: Where Redis is.
            project: The project's name, under which its keys lie.
            folder: Of this project's state. Its id says that what lies in Redis is of these tables and no others.
            together: What of a key decides with which others it lies on a cluster.
            connect_s: How long connecting may take, in seconds.
            timeout_s: How long an answer may take, in seconds.
            monotonic: Gives seconds, for how often to look whether the store lost anything.

        Raises:
            Locked: Another process of this folder writes the store.
        """
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        lock = FileLock(folder / "writer.lock", f"online store {address}")
        lock.acquire()
        keys = _keys(address, project, together)
        servers = _servers(address, connect_s, timeout_s)
        kind = RedoWriter if address.cluster else AtomicWriter
        writer = kind(servers, keys, address, _folder_id(folder / "redis.id"), monotonic)
        return cls(servers, keys, address, writer, lock)

    def get_many(self, keys: Sequence[bytes]) -> list[bytes | None]:
        """Return the values in the order of the keys.

        Raises:
            StorageError: Redis failed, or holds nothing of this project yet or any more.
        """
        if self._writer is None:
            values, markers = self._fetch(keys)
            if None in markers:
                raise StorageError(
                    f"online store {self._address} holds nothing of project {self._keys.project!r}",
                    hint="start control, which fills it from the tables; a gateway of its own is told the name by "
                    "FALAJ_PROJECT_NAME, which is control's [project] name",
                )
            return values
        self._writer.settle()
        values, markers = self._fetch(keys)
        if not all(map(self._writer.owns, markers)):
            self._writer.lose()
            self._writer.settle()
            values, _ = self._fetch(keys)
        return values

    def reach(self) -> None:
        """Return if the server answers, whatever it holds.

        Raises:
            StorageError: It does not, or refuses.
        """
        self._fetch([b"?"])

    def write(
        self,
        puts: Iterable[tuple[bytes, bytes]],
        deletes: Iterable[bytes] = (),
        *,
        unchanged: Mapping[bytes, bytes | None] | None = None,
    ) -> None:
        """Remove, then put: all of it or nothing."""
        if self._writer is None:
            raise StorageError(f"online store {self._address} was opened for reading only")
        removed = list(dict.fromkeys(_checked(key) for key in deletes))
        put = {bytes(_checked(key)): _fitting(bytes(value)) for key, value in puts}
        self._writer.write(put, removed, unchanged or {})

    def scan(self, prefix: bytes, limit: int) -> list[tuple[bytes, bytes]]:
        """Return at most `limit` pairs whose key begins with the prefix, in key order.

        Every key of the server is walked, and those found are sorted here: for tests and for looking into a store, not
        for serving. Keys that are written meanwhile may be missed.
        """
        if limit <= 0:
            return []
        if self._writer is not None:
            self._writer.settle()
        found = {self._keys.key(name) for name in self._servers.scan(self._keys.pattern_of(prefix))}
        keys = sorted(key for key in found if key is not None and key.startswith(prefix))[:limit]
        values = self._fetch(keys)[0]
        return [(key, value) for key, value in zip(keys, values, strict=True) if value is not None]

    @contextmanager
    def snapshot(self) -> Iterator["RedisSnapshot"]:
        """Return a view for reading: each of its calls is of one instant, two of them need not be of the same."""
        yield RedisSnapshot(self)

    def close(self) -> None:
        """Close the connections and let the writer's lock go."""
        self._servers.close()
        if self._lock is not None:
            self._lock.release()

    def _fetch(self, keys: Sequence[bytes]) -> tuple[Values, Values]:
        """Return the values of the keys and the markers of the partitions they lie in."""
        if self._single and len(keys) < MGET_KEYS:
            found = self._servers.read([self._marker + self._keys.names(keys)])[0]
            return found[1:], found[:1]
        # A marker beside all that is read at once: what was read before or after says nothing of it.
        groups = [
            (self._keys.marker(i), group[start : start + MGET_KEYS - 1])
            for i, group in self._keys.by_partition(dict.fromkeys(keys)).items()
            for start in range(0, len(group), MGET_KEYS - 1)
        ]
        values: dict[bytes, bytes | None] = {}
        markers: Values = []
        answers = self._servers.read([[marker, *self._keys.names(group)] for marker, group in groups])
        for (_, group), answer in zip(groups, answers, strict=True):
            markers.append(answer[0])
            values.update(zip(group, answer[1:], strict=True))
        return [values[key] for key in keys], markers


class RedisSnapshot:
    """A view for reading."""

    __slots__ = ("_store",)

    def __init__(self, store: RedisStore) -> None:
        self._store = store

    def get(self, key: bytes) -> bytes | None:
        """Return the value, or None."""
        return self._store.get_many([key])[0]

    def get_many(self, keys: Sequence[bytes]) -> list[bytes | None]:
        """Return the values in the order of the keys."""
        return self._store.get_many(keys)


def _servers(address: RedisAddress, connect_s: float, timeout_s: float) -> Servers:
    kind = ClusterServers if address.cluster else OneServer
    return kind(address, connect_s, timeout_s)


def _keys(address: RedisAddress, project: str, together: Together) -> RedisKeys:
    return RedisKeys(project, CLUSTER_PARTITIONS if address.cluster else 1, together)


def _folder_id(path: Path) -> str:
    """Return the id that a state folder keeps; a new one for a folder that has none."""
    try:
        if not path.exists():
            path.write_text(secrets.token_hex(16), encoding="ascii")
        return path.read_text(encoding="ascii").strip()
    except OSError as error:
        raise failure(error, f"cannot keep {path}") from error


def _checked(key: bytes) -> bytes:
    if not key:
        raise InputError("a key of the online store is empty", hint="give keys of at least one byte")
    return key


def _fitting(value: bytes) -> bytes:
    if len(value) > MAX_VALUE_BYTES:
        raise InputError(
            f"a value of {len(value):,} bytes is larger than Redis takes, which is {MAX_VALUE_BYTES:,}",
            hint="keep less per entity: shorter windows, or fewer columns",
        )
    return value
