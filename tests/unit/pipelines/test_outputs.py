"""Outputs are plain values and files, and nothing else."""

import math
from pathlib import Path

import pytest

from falaj.kernel.digest import digest_bytes, digest_value
from falaj.kernel.errors import InputError
from falaj.pipelines.outputs import Output, checked, digests


def test_plain_values_and_files(tmp_path: Path) -> None:
    file = tmp_path / "model"
    file.touch()
    assert checked("s", {"auc": 0.5, "names": ("a", "b"), "model": file, "none": None}) == {
        "auc": 0.5,
        "names": ["a", "b"],
        "model": file,
        "none": None,
    }
    assert checked("s", None) == {}


def test_nan_becomes_null() -> None:
    assert checked("s", {"auc": math.nan}) == {"auc": None}


@pytest.mark.parametrize("returned", [[1], "text", {1: 2}, {"a": object()}, {"a": {1j}}])
def test_what_is_not_plain_is_refused(returned: object) -> None:
    with pytest.raises(InputError, match="step 's' returned"):
        checked("s", returned)


def test_folders_and_absent_files_are_refused(tmp_path: Path) -> None:
    for path in (tmp_path, tmp_path / "absent"):
        with pytest.raises(InputError, match="not a file"):
            checked("s", {"model": path})


def test_digests() -> None:
    blob = digest_bytes(b"model")
    assert Output(blob=blob).digest == Output(blob=blob).plain == blob
    assert Output(value=[1]).digest == digest_value([1])
    assert Output(value=[1]).plain == [1]
    assert digests([{"model": Output(blob=blob), "auc": Output(value=1)}, {}]) == [blob]
