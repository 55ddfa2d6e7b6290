"""Writer: the one process that may write, and how a batch is written whole or not at all."""

import logging
import secrets
import threading
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from falaj.kernel.errors import Conflict, FalajError, StorageError
from falaj.storage.keyvalue.port import changed
from falaj.storage.keyvalue.redis import scripts
from falaj.storage.keyvalue.redis.address import RedisAddress
from falaj.storage.keyvalue.redis.failures import named
from falaj.storage.keyvalue.redis.keys import RedisKeys
from falaj.storage.keyvalue.redis.servers import Script, Servers

CHECK_EVERY_S = 1.0
"""How often the markers of a cluster's partitions are looked at: a node that lost its data says so nowhere else."""
_UNLINK_NAMES = 1_000
_UNSAFE_POLICIES = "allkeys-"

log = logging.getLogger("falaj.storage.redis")


class RedisWriter(ABC):
    """Holds the right to write.

    Taking the right puts a new token into the control hash; a script that writes compares it first, so a writer whose
    right was taken cannot interleave. What is written is derived: where Redis has lost any of it, all is removed, and
    whoever asks how far it got learns that it begins anew.

    Args:
        servers: Where to write.
        keys: The names.
        address: For errors.
        owner: The id of the state folder whose project this is. Another folder's is refused.
        monotonic: Seconds, for how often to look whether all is there.
    """

    def __init__(
        self, servers: Servers, keys: RedisKeys, address: RedisAddress, owner: str, monotonic: Callable[[], float]
    ) -> None:
        self._servers = servers
        self._keys = keys
        self._address = address
        self._owner = owner
        self._monotonic = monotonic
        self._turn = threading.RLock()
        self._token: bytes | None = None
        self._generation = b""
        self._check_at = 0.0

    def settle(self) -> None:
        """Make sure that this writer has the right, that the last batch is whole, and that nothing was lost.

        Raises:
            Conflict: Another folder's project has the store.
            StorageError: Redis failed.
        """
        if self._token is None or self._monotonic() >= self._check_at:
            with self._turn:
                if self._token is None or (self._monotonic() >= self._check_at and not self._whole()):
                    self._acquire()
                self._check_at = self._monotonic() + CHECK_EVERY_S

    def lose(self) -> None:
        """Note that the right may be gone or data lost: the next `settle` looks."""
        self._token = None

    def owns(self, marker: bytes | None) -> bool:
        """Return whether a partition with this marker is of what this writer writes."""
        return marker is not None and marker.startswith(self._generation)

    def write(
        self, puts: Mapping[bytes, bytes], deletes: Sequence[bytes], unchanged: Mapping[bytes, bytes | None]
    ) -> None:
        """Remove, then put, if what has to be unchanged is; all of it or nothing.

        Raises:
            StorageError: The right was lost, a value changed, or Redis failed. Whatever was read before is out of
                date: read again, then write.
        """
        with self._turn:
            if self._token is None:
                self._acquire()
            try:
                self._write(self._token or b"", puts, deletes, unchanged)
            except FalajError:
                self._token = None  # whether it was written is not known; a new token keeps it from happening later
                raise

    @abstractmethod
    def _write(
        self,
        token: bytes,
        puts: Mapping[bytes, bytes],
        deletes: Sequence[bytes],
        unchanged: Mapping[bytes, bytes | None],
    ) -> None: ...

    @abstractmethod
    def _resume(self, token: bytes, control: Mapping[bytes, bytes]) -> None: ...

    @abstractmethod
    def _whole(self) -> bool: ...

    def _acquire(self) -> None:
        token = secrets.token_hex(16).encode()
        answer = self._run(scripts.ACQUIRE, [self._keys.control], [self._owner.encode(), token])
        control = dict(zip(answer[::2], answer[1::2], strict=True))
        known, self._generation = self._generation, control.get(b"generation", b"")
        if b"ready" in control:
            self._resume(token, control)
        if b"ready" not in control or not self._whole():
            # The first time there is nothing to lose.
            level = logging.WARNING if known or b"ready" in control else logging.INFO
            log.log(level, "online store %s is empty, or a part of it was lost: beginning anew", self._address)
            self._begin(token)
        self._token = token

    def _begin(self, token: bytes) -> None:
        """Remove all that is left, and begin with an empty store."""
        self._refuse_eviction()
        keys, generation = self._keys, secrets.token_hex(8).encode()
        self._run(scripts.BEGIN, [keys.control], [token, generation])
        # First the markers: without them no older batch can be applied while its keys are being removed.
        self._servers.unlink([keys.marker(i) for i in range(keys.partitions)])
        names: list[bytes] = []
        for name in self._servers.scan(keys.pattern):
            if name != keys.control:
                names.append(name)
            if len(names) == _UNLINK_NAMES:
                self._servers.unlink(names)
                names = []
        self._servers.unlink(names)
        self._generation = generation
        self._mark(generation)
        self._run(scripts.READY, [keys.control], [token])
        self._resume(token, {b"number": b"0"})

    def _mark(self, generation: bytes) -> None:
        marker = generation + b":0"
        self._run_all([(scripts.MARK, [self._keys.marker(i)], [marker]) for i in range(self._keys.partitions)])

    def _refuse_eviction(self) -> None:
        for policy in self._servers.policies():
            if policy.startswith(_UNSAFE_POLICIES):
                raise StorageError(
                    f"online store {self._address} may drop any key when it is full: maxmemory-policy is {policy}",
                    hint="set maxmemory-policy to noeviction in redis.conf: a dropped record would be a wrong number",
                )

    def _run(self, text: str, names: Sequence[bytes], args: Sequence[bytes]) -> Any:
        return self._run_all([(text, names, args)])[0]

    def _run_all(self, steps: Sequence[Script]) -> list[Any]:
        answers = self._servers.run(steps)
        for answer in answers:
            if isinstance(answer, Exception):
                raise self._meaning(answer)
        return answers

    def _meaning(self, error: Exception) -> FalajError:
        said = str(error)
        if "FALAJ_FOREIGN" in said:
            return Conflict(
                f"online store {self._address} holds another project of this name, or this one's former state folder",
                hint="give this project another name in [project], or remove that one's keys: those that redis-cli "
                f"--scan --pattern '{self._keys.pattern.decode()}' lists",
            )
        if "FALAJ_" in said:
            return self._refused()
        return named(self._address, error)

    def _refused(self) -> StorageError:
        return changed(f"online store {self._address}")


class AtomicWriter(RedisWriter):
    """Writes a batch to a single server as one script."""

    def _write(
        self,
        token: bytes,
        puts: Mapping[bytes, bytes],
        deletes: Sequence[bytes],
        unchanged: Mapping[bytes, bytes | None],
    ) -> None:
        keys = self._keys
        names = [keys.control, *keys.names(unchanged), *keys.names(deletes), *keys.names(puts)]
        counts = [str(len(part)).encode() for part in (unchanged, deletes, puts)]
        expected = [b"-" if value is None else b"+" + value for value in unchanged.values()]
        self._run(scripts.WRITE, names, [token, *counts, *expected, *puts.values()])

    def _resume(self, token: bytes, control: Mapping[bytes, bytes]) -> None:
        """Do nothing: no batch is ever written in part."""

    def _whole(self) -> bool:
        return self.owns(self._servers.read([[self._keys.marker(0)]])[0][0])
