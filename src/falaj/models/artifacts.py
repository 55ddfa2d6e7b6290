"""Artifacts: a version's servable file, verified and loaded from the blob store."""

from falaj.definitions.routing_table import ArtifactRef
from falaj.kernel.errors import CorruptionError, NotFound, Unsupported
from falaj.models.python.place import PythonPlace
from falaj.models.runtimes.calibrated import CalibratedRuntime, Calibration
from falaj.models.runtimes.load import KINDS, load_fastest
from falaj.models.runtimes.port import Runtime
from falaj.models.runtimes.tensors import TensorRuntime
from falaj.storage.blobs import BlobStore


def load_artifact(
    blobs: BlobStore, artifact: ArtifactRef, features: int, place: PythonPlace | None = None, *, mixed: bool = False
) -> Runtime:
    """Load a version's files after checking their bytes against the digests recorded at registration.

    What may be loaded is the platform's decision: four formats that run no code when read, and
    users' own classes, in processes of their own. A calibration is put around them here, so that whoever loads a
    version gets its probabilities.

    Args:
        blobs: Where the file is.
        artifact: Its digest and runtime, as recorded, and those of the files beside it.
        features: How many columns the version's signature has.
        place: Where a Python model's process works, and within what limits.
        mixed: Let runtimes take turns whose scores differ in the last digits.

    Raises:
        Unsupported: The runtime is not one of them.
        CorruptionError: The blob is absent, its bytes are not those of the digest, or the model does not answer.
    """
    models = [(one.runtime, _read(blobs, one)) for one in (artifact, *artifact.beside)]
    runtime = load_fastest(models, features, name=artifact.digest, place=place, mixed=mixed)
    if not artifact.calibration:
        return runtime
    calibration = Calibration.decode(_bytes_of(blobs, artifact.calibration), artifact.calibration)
    return CalibratedRuntime(runtime, calibration)


def _read(blobs: BlobStore, artifact: ArtifactRef) -> bytes:
    if artifact.runtime not in KINDS:
        raise Unsupported(
            f"artifact {artifact.digest}: runtime {artifact.runtime!r} does not exist",
            hint=f"known: {', '.join(KINDS)}",
        )
    return _bytes_of(blobs, artifact.digest)


def load_tensors(blobs: BlobStore, artifact: ArtifactRef) -> TensorRuntime:
    """Load a bare model's file after checking its bytes against the digest recorded when it was added.

    Raises:
        CorruptionError: The blob is absent, its bytes are not those of the digest, or it is no ONNX model.
    """
    return TensorRuntime(_bytes_of(blobs, artifact.digest), artifact.digest)


def _bytes_of(blobs: BlobStore, digest: str) -> bytes:
    try:
        return blobs.get(digest)
    except NotFound:
        raise CorruptionError(
            f"artifact {digest} is missing from the blob store", hint="restore it from a backup"
        ) from None
