"""Blobs on a disk: damage is named, nothing half written is left."""

from pathlib import Path

import pytest

from falaj.kernel.errors import CorruptionError, StorageError
from falaj.storage.blobs.local import LocalBlobs


def flip_byte(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.chmod(0o600)
    path.write_bytes(bytes(content))


def test_a_flipped_byte_is_refused_by_digest(tmp_path: Path) -> None:
    digest = LocalBlobs(tmp_path).put(b"model" * 100)
    flip_byte(tmp_path / digest[:2] / digest)
    with pytest.raises(CorruptionError, match=digest):
        LocalBlobs(tmp_path).get(digest)
    with pytest.raises(CorruptionError, match=digest):
        LocalBlobs(tmp_path).path(digest)


def test_get_checks_every_time_and_path_once(tmp_path: Path) -> None:
    blobs = LocalBlobs(tmp_path)
    digest = blobs.put(b"model" * 100)
    path = blobs.path(digest)
    flip_byte(path)
    assert blobs.path(digest) == path
    with pytest.raises(CorruptionError, match=digest):
        blobs.get(digest)


def test_files_are_read_only_and_nothing_else_is_left(tmp_path: Path) -> None:
    digest = LocalBlobs(tmp_path).put(b"model")
    files = [path for path in tmp_path.rglob("*") if path.is_file()]
    assert files == [tmp_path / digest[:2] / digest]
    assert files[0].stat().st_mode & 0o777 == 0o400


def test_a_failed_write_leaves_nothing(tmp_path: Path) -> None:
    (tmp_path / "blobs").write_text("a file where the folder should be")
    with pytest.raises(StorageError, match="cannot keep blob"):
        LocalBlobs(tmp_path / "blobs").put(b"model")


def test_another_process_sees_the_bytes_at_once(tmp_path: Path) -> None:
    writer, reader = LocalBlobs(tmp_path), LocalBlobs(tmp_path)
    digest = writer.put(b"model")
    assert reader.get(digest) == b"model"
    assert reader.path(digest).read_bytes() == b"model"
