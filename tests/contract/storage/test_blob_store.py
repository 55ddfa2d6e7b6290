"""What every blob store must do."""

from collections.abc import Callable
from pathlib import Path

import pytest

from falaj.kernel.digest import digest_bytes
from falaj.kernel.errors import InputError, NotFound
from falaj.storage.blobs import BlobStore
from falaj.storage.blobs.local import LocalBlobs
from falaj.storage.blobs.memory import MemoryBlobs

MAKERS: dict[str, Callable[[Path], BlobStore]] = {
    "local": lambda folder: LocalBlobs(folder / "blobs"),
    "memory": lambda _: MemoryBlobs(),
}


@pytest.fixture(params=sorted(MAKERS))
def blobs(request: pytest.FixtureRequest, tmp_path: Path) -> BlobStore:
    return MAKERS[request.param](tmp_path)


@pytest.mark.parametrize("data", [b"", b"model", bytes(range(256)) * 5000])
def test_bytes_come_back_under_their_digest(blobs: BlobStore, data: bytes) -> None:
    digest = blobs.put(data)
    assert digest == digest_bytes(data)
    assert blobs.get(digest) == data
    assert blobs.path(digest).read_bytes() == data
    assert blobs.exists(digest)


def test_the_same_bytes_twice_are_one_blob(blobs: BlobStore) -> None:
    assert blobs.put(b"model") == blobs.put(b"model")


def test_a_file_is_kept_like_its_bytes(blobs: BlobStore, tmp_path: Path) -> None:
    source = tmp_path / "model.onnx"
    source.write_bytes(b"graph" * 1000)
    digest = blobs.put_file(source)
    assert digest == digest_bytes(source.read_bytes())
    source.write_bytes(b"changed later")
    assert blobs.get(digest) == b"graph" * 1000


def test_an_absent_file_is_named(blobs: BlobStore, tmp_path: Path) -> None:
    with pytest.raises(NotFound, match="nowhere"):
        blobs.put_file(tmp_path / "nowhere")


def test_absent_bytes_are_named(blobs: BlobStore) -> None:
    digest = digest_bytes(b"never kept")
    assert not blobs.exists(digest)
    with pytest.raises(NotFound, match=digest):
        blobs.get(digest)
    with pytest.raises(NotFound, match=digest):
        blobs.path(digest)


def test_deleted_bytes_are_gone_and_deleting_twice_is_harmless(blobs: BlobStore) -> None:
    digest = blobs.put(b"secret")
    assert blobs.path(digest).exists()
    blobs.delete(digest)
    blobs.delete(digest)
    assert not blobs.exists(digest)
    with pytest.raises(NotFound):
        blobs.path(digest)
    assert blobs.put(b"secret") == digest
    assert blobs.get(digest) == b"secret"


@pytest.mark.parametrize("text", ["", "../../etc/passwd", "A" * 64, "0" * 63, "0" * 64 + "\n"])
def test_what_is_no_digest_is_refused(blobs: BlobStore, text: str) -> None:
    for call in (blobs.get, blobs.path, blobs.exists, blobs.delete):
        with pytest.raises(InputError, match="is not a digest"):
            call(text)
