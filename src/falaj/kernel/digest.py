"""Content digests: SHA-256, as lower-case hex."""

import hashlib
from pathlib import Path

from falaj.kernel.codec import canonical_json


def digest_bytes(data: bytes | memoryview) -> str:
    """Return the digest of bytes.

    Example:
        >>> digest_bytes(b"")[:12]
        'e3b0c44298fc'
    """
    return hashlib.sha256(data).hexdigest()


def digest_value(value: object) -> str:
    """Return the digest of a plain value's canonical JSON.

    Example:
        >>> digest_value({"a": 1, "b": 2}) == digest_value({"b": 2, "a": 1})
        True
    """
    return digest_bytes(canonical_json(value))


def digest_file(path: Path) -> str:
    """Return the digest of a file's bytes, read in pieces."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
