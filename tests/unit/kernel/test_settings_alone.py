"""Settings of a gateway that has no project beside it."""

from pathlib import Path

import pytest

from falaj.kernel.errors import ProjectError
from falaj.kernel.gateway_settings import GatewaySettings
from falaj.kernel.settings import load_settings

ENVIRON = {"FALAJ_PROJECT_NAME": "fraud", "FALAJ_STORAGE_SHARED": "/mnt/fraud", "FALAJ_GATEWAY_MAX_WORKERS": "4"}


def test_the_environment_is_enough_where_no_file_is_needed(tmp_path: Path) -> None:
    found = load_settings(tmp_path, ENVIRON, need_file=False)
    assert (found.project.name, found.storage.shared, found.gateway.max_workers) == ("fraud", "/mnt/fraud", 4)
    for environ, need_file in ((ENVIRON, True), ({}, False)):
        with pytest.raises(ProjectError, match="does not exist"):
            load_settings(tmp_path, environ, need_file=need_file)
    with pytest.raises(ProjectError):
        load_settings(tmp_path / "absent", ENVIRON, need_file=False)


def test_a_file_counts_where_it_is(tmp_path: Path) -> None:
    (tmp_path / "falaj.toml").write_text("[gateway]\nport = 8700\n")
    found = load_settings(tmp_path, ENVIRON, need_file=False)
    assert (found.gateway.port, found.project.name) == (8700, "fraud")


@pytest.mark.parametrize(
    ("fields", "what"),
    [
        ({"workers": 2, "min_workers": 3}, "not in order"),
        ({"workers": 2, "max_workers": 1}, "not in order"),
        ({"max_workers": 65}, "above 64"),
        ({"name": "a/b"}, "other characters"),
        ({"target_ms": 0.0}, "not above 0"),
    ],
)
def test_bounds_that_make_no_sense_are_refused(fields: dict[str, int], what: str) -> None:
    with pytest.raises(ValueError, match=what):
        GatewaySettings(**fields)  # type: ignore[arg-type]
