"""Blobs of this process only."""

import shutil
import tempfile
import weakref
from pathlib import Path

from falaj.kernel.digest import digest_bytes
from falaj.kernel.errors import NotFound
from falaj.storage.blobs.local import check_digest


class MemoryBlobs:
    """A dictionary of bytes; `path` writes them to a temporary folder that goes with the object.

    Example:
        >>> blobs = MemoryBlobs()
        >>> blobs.exists(blobs.put(b"model"))
        True
    """

    def __init__(self) -> None:
        self._data: dict[str, bytes] = {}
        self._folder: Path | None = None

    def put(self, data: bytes) -> str:
        """Keep the bytes and return their digest."""
        digest = digest_bytes(data)
        self._data[digest] = bytes(data)
        return digest

    def put_file(self, path: Path) -> str:
        """Keep a copy of the file's bytes and return their digest."""
        try:
            return self.put(path.read_bytes())
        except FileNotFoundError:
            raise NotFound(f"file {path} does not exist") from None

    def get(self, digest: str) -> bytes:
        """Return the bytes."""
        try:
            return self._data[check_digest(digest)]
        except KeyError:
            raise NotFound(f"blob {digest} does not exist") from None

    def path(self, digest: str) -> Path:
        """Return a file with the bytes."""
        data = self.get(digest)
        if self._folder is None:
            self._folder = Path(tempfile.mkdtemp(prefix="falaj-blobs-"))
            weakref.finalize(self, shutil.rmtree, self._folder, ignore_errors=True)
        file = self._folder / digest
        if not file.exists():
            file.write_bytes(data)
        return file

    def exists(self, digest: str) -> bool:
        """Return whether the store has the bytes."""
        return check_digest(digest) in self._data

    def delete(self, digest: str) -> None:
        """Remove the bytes."""
        self._data.pop(check_digest(digest), None)
