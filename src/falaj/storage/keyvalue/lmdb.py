"""The online store on LMDB: one memory map, one writer process, any number of readers that wait for nobody."""

import errno
import hashlib
import os
import struct
import threading
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import lmdb

from falaj.kernel.errors import CorruptionError, DiskFull, FalajError, InputError, NotFound, StorageError
from falaj.storage.disk import refuse_network
from falaj.storage.filelock import FileLock
from falaj.storage.keyvalue.port import changed
from falaj.storage.watermark import Watermark

MAX_PLAIN_KEY = 510
"""LMDB's limit is 511; keys of exactly that stored length are the shortened ones, so the two kinds never meet."""
_KEPT = 479
_FILE = "data.mdb"
_LENGTH = struct.Struct("<I")
_GIB = 1 << 30
_LITTLE_ROOM_BYTES = 1 << 20
_FULL = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG})


class LmdbSnapshot:
    """One read transaction; values are windows into the map, valid until it is closed."""

    __slots__ = ("_get", "_store", "_txn")

    def __init__(self, store: "LmdbStore", txn: Any) -> None:
        self._store = store
        self._txn = txn
        self._get = txn.get

    def get(self, key: bytes) -> memoryview | None:
        """Return the value without copying it, or None."""
        try:
            value: memoryview | None = self._get(key) if 0 < len(key) <= MAX_PLAIN_KEY else _long_value(key, self._get)
        except lmdb.Error as error:
            raise self._store._named(error) from error
        return value

    def get_many(self, keys: Sequence[bytes]) -> list[memoryview | None]:
        """Return the values without copying them, in the order of the keys."""
        get = self._get
        try:
            return [get(key) if 0 < len(key) <= MAX_PLAIN_KEY else _long_value(key, get) for key in keys]
        except lmdb.Error as error:
            raise self._store._named(error) from error

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._store._end(self._txn)


class LmdbStore:
    """A folder with an LMDB environment; a process can have it open once.

    LMDB has no checksums: values that matter carry their own. What it would answer with a crash or with an older state,
    a file cut short or a damaged first page, is refused on opening.

    Example:
        >>> import tempfile
        >>> folder = tempfile.TemporaryDirectory()
        >>> store = LmdbStore.open(Path(folder.name), map_gib=1)
        >>> store.write([(b"card/1", b"42")])
        >>> with store.snapshot() as snapshot:
        ...     bytes(snapshot.get(b"card/1"))
        b'42'
        >>> store.close()
        >>> folder.cleanup()
    """

    def __init__(self, env: Any, path: Path, lock: FileLock | None) -> None:
        self._env = env
        self._written = Watermark(path / "written")
        self._path = path
        self._lock = lock
        self._turn = threading.Lock()
        self._reading_now: set[int] = set()
        self._closed = False

    @classmethod
    def open(cls, path: Path, map_gib: float = 32, *, readonly: bool = False) -> Self:
        """Open the store, or make it.

        Args:
            path: The folder.
            map_gib: Size of the map in GiB: address space, and the most the store can hold. Readers take what is there.
            readonly: Open for reading only; any number of processes may. The other kind is for one process.

        Raises:
            Locked: Another process writes the store.
            NotFound: There is no store to read yet.
            CorruptionError: The files are not an LMDB environment.
            Unsupported: The folder is on a network file system.
        """
        refuse_network(path)
        if readonly and not (path / _FILE).exists():
            raise NotFound(f"online store {path} does not exist", hint="start control, or run 'falaj apply' first")
        lock = None
        if not readonly:
            path.mkdir(parents=True, exist_ok=True, mode=0o700)
            lock = FileLock(path / "writer.lock", f"online store {path}")
            lock.acquire()
        try:
            with _named_errors(path):
                _check_size(path)
                env = lmdb.open(
                    str(path),
                    map_size=0 if readonly else int(map_gib * _GIB),
                    readonly=readonly,
                    mode=0o600,
                    readahead=False,
                    max_readers=512,
                    max_spare_txns=8,
                )
                env.reader_check()  # slots of killed readers would keep their old pages for ever
            store = cls(env, path, lock)
            store._check_age()
        except FalajError:
            if lock is not None:
                lock.release()
            raise
        return store

    def get_many(self, keys: Sequence[bytes]) -> list[bytes | None]:
        """Return copies of the values in the order of the keys, all of one snapshot."""
        with self.snapshot() as snapshot:
            return [None if value is None else bytes(value) for value in snapshot.get_many(keys)]

    def write(
        self,
        puts: Iterable[tuple[bytes, bytes]],
        deletes: Iterable[bytes] = (),
        *,
        unchanged: Mapping[bytes, bytes | None] | None = None,
    ) -> None:
        """Remove, then put: all of it durably, or nothing."""
        if self._lock is None:
            raise StorageError(f"online store {self._path} was opened for reading only")
        with self._turn, _named_errors(self._path):
            with self._env.begin(write=True) as txn:
                for key, value in (unchanged or {}).items():
                    held = txn.get(key) if 0 < len(key) <= MAX_PLAIN_KEY else _long_value(key, txn.get)
                    if held != value:
                        raise changed(f"online store {self._path}")
                for key in deletes:
                    txn.delete(_stored_key(key))
                for key, value in puts:
                    long = len(key) > MAX_PLAIN_KEY
                    txn.put(_stored_key(key), _LENGTH.pack(len(key)) + key + value if long else value)
            self._written.write(self._env.info()["last_txnid"], (self._path / _FILE).stat().st_size)

    def scan(self, prefix: bytes, limit: int) -> list[tuple[bytes, bytes]]:
        """Return at most `limit` pairs whose key begins with the prefix, in key order."""
        start = prefix[:_KEPT]
        found: list[tuple[bytes, bytes]] = []
        txn = self._begin(buffers=False)
        try:
            cursor = txn.cursor()
            more = cursor.set_range(start) if start else cursor.first()
            while more and len(found) < limit:
                key, value = cursor.item()
                if not key.startswith(start):
                    break
                if len(key) > MAX_PLAIN_KEY:
                    key, value = _split(value)
                if key.startswith(prefix):
                    found.append((key, value))
                more = cursor.next()
        except lmdb.Error as error:
            raise self._named(error) from error
        finally:
            self._end(txn)
        return found

    def snapshot(self) -> LmdbSnapshot:
        """Open a consistent view for reading without copies."""
        return LmdbSnapshot(self, self._begin(buffers=True))

    def close(self) -> None:
        """Close the map and let the writer's lock go."""
        if not self._closed:
            self._closed = True
            self._env.close()
            self._written.close()
            if self._lock is not None:
                self._lock.release()

    def _check_age(self) -> None:
        written = self._written.read()
        if written is not None and self._env.info()["last_txnid"] < written[0]:
            self._env.close()
            raise _damaged(self._path, f"its state is older than write {written[0]}")

    def _begin(self, *, buffers: bool) -> Any:
        try:
            try:
                txn = self._env.begin(buffers=buffers)
            except lmdb.MapResizedError:
                self._adopt_size()
                txn = self._env.begin(buffers=buffers)
        except lmdb.Error as error:
            raise self._named(error) from error
        self._reading_now.add(id(txn))
        return txn

    def _end(self, txn: Any) -> None:
        txn.abort()
        self._reading_now.discard(id(txn))

    def _named(self, error: lmdb.Error) -> FalajError:
        return _named(self._path, error)

    def _adopt_size(self) -> None:
        if self._reading_now:  # remapping would pull the memory from under their values
            raise StorageError(f"online store {self._path} has grown its map", hint="close the open snapshots first")
        self._env.set_mapsize(0)


def _stored_key(key: bytes) -> bytes:
    if not key:
        raise InputError("a key of the online store is empty", hint="give keys of at least one byte")
    return key if len(key) <= MAX_PLAIN_KEY else key[:_KEPT] + hashlib.sha256(key).digest()


def _long_value(key: bytes, get: Any) -> memoryview | None:
    if not key:
        return None
    stored = get(_stored_key(key))
    return None if stored is None else stored[_LENGTH.size + len(key) :]


def _split(stored: bytes) -> tuple[bytes, bytes]:
    end = _LENGTH.size + _LENGTH.unpack_from(stored)[0]
    return stored[_LENGTH.size : end], stored[end:]


def _check_size(path: Path) -> None:
    """Refuse a file that was cut short: reading what is missing in a map ends the process with a bus error."""
    written = Watermark(path / "written").read()
    size = (path / _FILE).stat().st_size if (path / _FILE).exists() else 0
    if written is not None and size < written[1]:
        raise _damaged(path, f"{_FILE} has {size} bytes instead of {written[1]}")


def _is_full(path: Path, said: str) -> bool:
    """Return whether the disk is the reason; LMDB calls a write of which only a part fitted an input/output error."""
    room = os.statvfs(path)
    nearly = room.f_bavail * room.f_frsize < _LITTLE_ROOM_BYTES
    return any(os.strerror(number) in said for number in _FULL) or (os.strerror(errno.EIO) in said and nearly)


def _damaged(path: Path, finding: str) -> CorruptionError:
    return CorruptionError(
        f"online store {path} is damaged: {finding}", hint="remove the folder and run 'falaj features materialise'"
    )


@contextmanager
def _named_errors(path: Path) -> Iterator[None]:
    try:
        yield
    except lmdb.Error as error:
        raise _named(path, error) from error


def _named(path: Path, error: lmdb.Error) -> FalajError:
    if isinstance(error, lmdb.MapFullError):
        return StorageError(
            f"online store {path} is full", hint="raise storage.online_map_gib in falaj.toml and restart"
        )
    if isinstance(error, lmdb.InvalidError | lmdb.CorruptedError | lmdb.PageNotFoundError | lmdb.VersionMismatchError):
        return _damaged(path, str(error))
    if _is_full(path, str(error)):
        return DiskFull(f"online store {path}: the disk is full", hint="free some space")
    return StorageError(f"online store {path}: {error}", hint="look at the disk and the folder's permissions")
