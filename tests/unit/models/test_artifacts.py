import subprocess
import sys
from pathlib import Path

import msgspec
import numpy as np
import pytest

from falaj.definitions.routing_table import ArtifactRef
from falaj.kernel.errors import CorruptionError, ExtraMissing, Unsupported
from falaj.models.artifacts import load_artifact
from falaj.models.runtimes.library import open_library
from falaj.storage.blobs.local import LocalBlobs
from falaj.storage.blobs.memory import MemoryBlobs

FORBIDDEN = ("pandas", "pyarrow", "sqlalchemy", "sklearn", "lightgbm", "xgboost", "scipy", "mlflow", "onnx")


def test_the_gateway_part_loads_no_dataframe_or_training_library() -> None:
    code = (
        "import sys, falaj.models, falaj.models.encoding, falaj.models.artifacts, falaj.models.runtimes\n"
        "from falaj.models.runtimes import lightgbm, xgboost\n"
        "lightgbm._library(); xgboost._library()\n"
        f"print([name for name in {FORBIDDEN!r} if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


@pytest.fixture(scope="module")
def model() -> bytes:
    import lightgbm

    rows = np.arange(200, dtype=np.float64).reshape(100, 2)
    data = lightgbm.Dataset(rows, rows[:, 0] > 100)
    params = {"objective": "binary", "verbosity": -1, "num_threads": 1}
    return str(lightgbm.train(params, data, 2).model_to_string()).encode()


def test_an_artifact_is_loaded_by_its_digest(model: bytes) -> None:
    blobs = MemoryBlobs()
    runtime = load_artifact(blobs, ArtifactRef(blobs.put(model), "lightgbm"), 2)
    assert runtime.predict(np.array([[150, 151]], np.float32))[0] > 0.5


def test_changed_bytes_are_refused_and_named(model: bytes, tmp_path: Path) -> None:
    blobs = LocalBlobs(tmp_path)
    digest = blobs.put(model)
    file = tmp_path / digest[:2] / digest
    file.chmod(0o600)
    file.write_bytes(model.replace(b"leaf_value=", b"leaf_value=9", 1))
    with pytest.raises(CorruptionError, match=digest):
        load_artifact(blobs, ArtifactRef(digest, "lightgbm"), 2)


def test_an_absent_artifact_is_refused_and_named() -> None:
    with pytest.raises(CorruptionError, match="0" * 64):
        load_artifact(MemoryBlobs(), ArtifactRef("0" * 64, "onnx"), 2)


def test_a_runtime_from_outside_the_list_is_refused(model: bytes) -> None:
    blobs = MemoryBlobs()
    artifact = msgspec.structs.replace(ArtifactRef(blobs.put(model), "onnx"), runtime="pickle")
    with pytest.raises(Unsupported, match="pickle"):
        load_artifact(blobs, artifact, 2)


def test_openmp_comes_with_scikit_learn_where_the_system_has_none() -> None:
    # Loaded first, so that LightGBM binds to it as it does on a machine without libgomp.
    code = (
        "from falaj.models.runtimes.library import open_library, provide_openmp\n"
        "assert provide_openmp()\n"
        "open_library('lightgbm', 'lib_lightgbm')\n"
        "import lightgbm, numpy\n"
        "rows = numpy.arange(400.0).reshape(200, 2)\n"
        "data = lightgbm.Dataset(rows, rows[:, 0] > 200)\n"
        "model = lightgbm.train({'objective': 'binary', 'verbosity': -1, 'num_threads': 2}, data, 2)\n"
        "assert model.predict(rows)[-1] > 0.5\n"
        "maps = open('/proc/self/maps').read()\n"
        "print('memfd:libgomp' in maps, '/libgomp.so.1' in maps.replace('memfd:', ''))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split()[0] == "True"


def test_a_library_that_is_not_installed_names_the_line_that_installs_it() -> None:
    with pytest.raises(ExtraMissing) as raised:
        open_library("no_such_package", "lib")
    assert raised.value.hint == "pip install no_such_package"
    with pytest.raises(ExtraMissing, match="numpy is not installed with its library lib_none"):
        open_library("numpy", "lib_none")
