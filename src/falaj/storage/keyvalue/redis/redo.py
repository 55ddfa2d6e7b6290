"""Redo: a batch for a cluster, written whole to one slot before its pieces go to theirs."""

from collections.abc import Mapping, Sequence

import msgspec

from falaj.storage.keyvalue.redis import scripts
from falaj.storage.keyvalue.redis.writer import RedisWriter


class Piece(msgspec.Struct, array_like=True, frozen=True):
    """What a batch does to one partition.

    Attributes:
        partition: Which.
        before: The batch that its marker names before.
        deletes: Keys to remove first.
        puts: Keys and values to put then.
    """

    partition: int
    before: int
    deletes: list[bytes]
    puts: list[tuple[bytes, bytes]]


class RedoWriter(RedisWriter):
    """Writes a batch to a cluster: first its pieces as a whole to one slot, then each piece to its own.

    The batch is decided when the pieces are written. A piece says which batch its partition holds before and after, so
    it is applied once, in order, and by whoever comes next after a kill; nobody writes a further batch before.
    """

    _number = 0
    _applied: dict[int, int]

    def _write(
        self,
        token: bytes,
        puts: Mapping[bytes, bytes],
        deletes: Sequence[bytes],
        unchanged: Mapping[bytes, bytes | None],
    ) -> None:
        self._check(unchanged)
        pieces = self._cut(puts, deletes)
        if not pieces:
            return
        number = self._number + 1
        args = [token, str(self._number).encode(), str(number).encode()]
        for piece in pieces:
            args += [str(piece.partition).encode(), msgspec.msgpack.encode(piece)]
        self._run(scripts.COMMIT, [self._keys.control, self._keys.redo], args)
        self._number = number
        if not self._apply(pieces):
            raise self._refused()

    def _check(self, unchanged: Mapping[bytes, bytes | None]) -> None:
        # Only the holder of the token changes values, and the commit compares it: what is so now is so then.
        groups = self._keys.by_partition(unchanged)
        found = self._servers.read([self._keys.names(group) for group in groups.values()])
        for group, values in zip(groups.values(), found, strict=True):
            if any(unchanged[key] != value for key, value in zip(group, values, strict=True)):
                raise self._refused()

    def _cut(self, puts: Mapping[bytes, bytes], deletes: Sequence[bytes]) -> list[Piece]:
        removed, put = self._keys.by_partition(deletes), self._keys.by_partition(puts)
        return [
            Piece(i, self._applied.get(i, 0), removed.get(i, []), [(key, puts[key]) for key in put.get(i, ())])
            for i in sorted({*removed, *put})
        ]

    def _apply(self, pieces: Sequence[Piece]) -> bool:
        """Bring the pieces to their partitions; return False where one holds neither what was before nor after."""
        keys = self._keys
        steps = []
        for piece in pieces:
            names = [
                keys.marker(piece.partition),
                *keys.names(piece.deletes),
                *keys.names(key for key, _ in piece.puts),
            ]
            markers = [b"%b:%d" % (self._generation, number) for number in (piece.before, self._number)]
            counts = [b"%d" % len(piece.deletes), b"%d" % len(piece.puts)]
            steps.append((scripts.APPLY, names, [*markers, *counts, *(value for _, value in piece.puts)]))
        answers = self._servers.run(steps)
        lost = [answer for answer in answers if isinstance(answer, Exception) and "FALAJ_GONE" in str(answer)]
        failed = [answer for answer in answers if isinstance(answer, Exception) and answer not in lost]
        if failed:
            raise self._meaning(failed[0])
        for piece in pieces:
            self._applied[piece.partition] = self._number
        return not lost

    def _resume(self, token: bytes, control: Mapping[bytes, bytes]) -> None:
        del token
        self._number = int(control[b"number"])
        self._applied = {int(name[1:]): int(at) for name, at in control.items() if name[:1] == b"p"}
        raw = self._run(scripts.PIECES, [self._keys.redo], [])
        self._apply([msgspec.msgpack.decode(one, type=Piece) for one in raw])  # a lost partition is seen by `_whole`

    def _whole(self) -> bool:
        names = [[self._keys.marker(i)] for i in range(self._keys.partitions)]
        expected = [b"%b:%d" % (self._generation, self._applied.get(i, 0)) for i in range(self._keys.partitions)]
        return [values[0] for values in self._servers.read(names)] == expected
