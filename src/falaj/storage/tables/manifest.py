"""What a Delta table held after each commit, written down beside its log.

Delta's log has no checksums: a flipped byte can turn an `add` into an action that every reader ignores, and rows that
were acknowledged are gone without a word. The manifest keeps one digest of schema and files per version.
"""

import hashlib
import os
from pathlib import Path

from falaj.storage.disk import flush_file

_LINE_BYTES = 20 + 1 + 64 + 1


class Manifest:
    """Lines of `version digest`, ascending and of one width, so that a version is found without reading all.

    Args:
        path: Its file; made by the first record.

    Example:
        >>> import tempfile
        >>> folder = tempfile.TemporaryDirectory()
        >>> manifest = Manifest(Path(folder.name) / "manifest")
        >>> manifest.record(3, state_digest("schema", [("a.parquet", 10)]))
        >>> manifest.newest(), manifest.digest(2)
        (3, None)
        >>> folder.cleanup()
    """

    def __init__(self, path: Path) -> None:
        self._path = path

    def record(self, version: int, digest: str) -> None:
        """Write down durably what the version holds."""
        fd = os.open(self._path, os.O_WRONLY | os.O_CREAT, 0o600)
        try:
            whole = os.fstat(fd).st_size // _LINE_BYTES  # a line cut off by a crash is overwritten
            os.pwrite(fd, f"{version:020d} {digest}\n".encode(), whole * _LINE_BYTES)
            flush_file(fd)
        finally:
            os.close(fd)

    def newest(self) -> int | None:
        """Return the newest version written down, or None."""
        lines = self._lines()
        return _version(lines[-1]) if lines else None

    def digest(self, version: int) -> str | None:
        """Return the digest of the version; None when a crash came between its commit and its record."""
        lines = self._lines()
        low, high = 0, len(lines)
        while low < high:
            middle = (low + high) // 2
            if _version(lines[middle]) < version:
                low = middle + 1
            else:
                high = middle
        found = low < len(lines) and _version(lines[low]) == version
        return lines[low][21:85].decode("ascii", "replace") if found else None

    def _lines(self) -> list[bytes]:
        try:
            raw = self._path.read_bytes()
        except FileNotFoundError:
            return []
        return [raw[at : at + _LINE_BYTES] for at in range(0, len(raw) - _LINE_BYTES + 1, _LINE_BYTES)]


def state_digest(schema: str, files: list[tuple[str, int]]) -> str:
    """Return the digest of a version's schema and of the names and sizes of its data files."""
    content = hashlib.sha256(schema.encode())
    for name, size in sorted(files):
        content.update(f"\n{size} {name}".encode())
    return content.hexdigest()


def _version(line: bytes) -> int:
    return int(line[:20]) if line[:20].isdigit() else -1
