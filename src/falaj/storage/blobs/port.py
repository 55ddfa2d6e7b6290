"""The port of content-addressed bytes."""

from pathlib import Path
from typing import Protocol


class BlobStore(Protocol):
    """Keeps bytes under the SHA-256 digest of their content, so that nothing can be changed unseen."""

    def put(self, data: bytes) -> str:
        """Keep the bytes durably and return their digest; the same bytes again cost nothing.

        Raises:
            DiskFull: No space is left.
        """
        ...

    def put_file(self, path: Path) -> str:
        """Keep a copy of the file's bytes durably and return their digest.

        Raises:
            NotFound: There is no such file.
            DiskFull: No space is left.
        """
        ...

    def get(self, digest: str) -> bytes:
        """Return the bytes, checked against their digest.

        Raises:
            NotFound: The store has no such bytes.
            CorruptionError: The stored bytes are not those of the digest.
            InputError: The text is not a digest.
        """
        ...

    def path(self, digest: str) -> Path:
        """Return a local, read-only file with the bytes, checked once per process.

        Raises:
            NotFound: The store has no such bytes.
            CorruptionError: The stored bytes are not those of the digest.
            InputError: The text is not a digest.
        """
        ...

    def exists(self, digest: str) -> bool:
        """Return whether the store has the bytes."""
        ...

    def delete(self, digest: str) -> None:
        """Remove the bytes; removing what is absent is harmless."""
        ...
