"""Keys: how a project's keys are called in Redis, and which of them lie together."""

import zlib
from collections.abc import Callable, Iterable
from urllib.parse import quote

CLUSTER_PARTITIONS = 64
"""Hash tags over which a project's keys are spread in a cluster: three nodes get 21 or 22 each. A store that was
written with another number has to be emptied."""

Together = Callable[[bytes], bytes]
"""Says what of a key decides with which others it lies."""


class RedisKeys:
    """The names of one project's keys.

    Every name begins with `falaj:{project`, so that projects share a server, and the braces hold what Redis takes for
    the key's slot. A partition is a set of keys in one slot, with a marker that says how far it was written.

    Args:
        project: The project's name.
        partitions: 1 for a single server, where all is one atomic place.
        together: What of a key decides on its partition: the same for the records of one entity.

    Attributes:
        project: The project's name.
        control: The hash that says who writes, and how far writing got.
        redo: The list with the pieces of the last batch; of a cluster only.
        pattern: What `SCAN` takes to find all of them.

    Example:
        >>> keys = RedisKeys("fraud", 64)
        >>> keys.name(b"card/1"), keys.control, keys.marker(7)
        (b'falaj:{fraud/22}:/card/1', b'falaj:{fraud/0}:control', b'falaj:{fraud/7}:marker')
        >>> RedisKeys("fraud").name(b"card/1")
        b'falaj:{fraud}:/card/1'
    """

    def __init__(self, project: str, partitions: int = 1, together: Together = bytes) -> None:
        self.project = project
        self.partitions = partitions
        self._together = together
        name = quote(project, safe="")  # neither braces, slashes, nor what SCAN reads as a pattern
        tags = [name] if partitions == 1 else [f"{name}/{i}" for i in range(partitions)]
        self._prefixes = [f"falaj:{{{tag}}}:/".encode() for tag in tags]
        self._markers = [f"falaj:{{{tag}}}:marker".encode() for tag in tags]
        self.control = f"falaj:{{{tags[0]}}}:control".encode()
        self.redo = f"falaj:{{{tags[0]}}}:redo".encode()
        self.pattern = f"falaj:{{{name}{'' if partitions == 1 else '/*'}}}:*".encode()

    def partition(self, key: bytes) -> int:
        """Return the number of the partition in which a key lies."""
        return 0 if self.partitions == 1 else zlib.crc32(self._together(key)) % self.partitions

    def name(self, key: bytes) -> bytes:
        """Return what a key is called in Redis."""
        return self._prefixes[self.partition(key)] + key

    def marker(self, partition: int) -> bytes:
        """Return the name of a partition's marker."""
        return self._markers[partition]

    def names(self, keys: Iterable[bytes]) -> list[bytes]:
        """Return what keys are called in Redis."""
        if self.partitions == 1:
            prefix = self._prefixes[0]
            return [prefix + key for key in keys]
        return [self.name(key) for key in keys]

    def by_partition(self, keys: Iterable[bytes]) -> dict[int, list[bytes]]:
        """Return the keys of each partition."""
        found: dict[int, list[bytes]] = {}
        for key in keys:
            found.setdefault(self.partition(key), []).append(key)
        return found

    def key(self, name: bytes) -> bytes | None:
        """Return the key that has a name; None for markers and the like."""
        prefix = self._prefixes[0]
        if self.partitions > 1:
            prefix = name[: name.find(b"}:/") + 3]
        return name[len(prefix) :] if prefix in self._prefixes and name.startswith(prefix) else None

    def pattern_of(self, prefix: bytes) -> bytes:
        """Return what `SCAN` takes to find the keys that begin with a prefix; it may find some more."""
        escaped = b"".join(b"\\" + bytes([one]) if bytes([one]) in b"*?[]^\\" else bytes([one]) for one in prefix)
        return self.pattern.removesuffix(b"*") + b"/" + escaped + b"*"
