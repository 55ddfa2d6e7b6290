"""Where a setting that cannot be was read is told, and what it means."""

from pathlib import Path

import pytest

from falaj.kernel.errors import ProjectError
from falaj.kernel.settings import load_settings

ALONE = {"FALAJ_PROJECT_NAME": "fraud"}


def refused(folder: Path, environ: dict[str, str], file: str | None = None) -> ProjectError:
    if file is not None:
        (folder / "falaj.toml").write_text(file)
    with pytest.raises(ProjectError) as raised:
        load_settings(folder, ALONE | environ, need_file=file is not None)
    return raised.value


@pytest.mark.parametrize("file", [None, "", "[gateway]\nport = 8700\n"])
@pytest.mark.parametrize(
    ("name", "value", "said", "hint"),
    [
        ("FALAJ_GATEWAY_PORT", "abc", "Expected `int`, got `str`", "TCP port shared by all workers."),
        ("FALAJ_GATEWAY_PORT", "70000", "port 70000 is not between", "correct the variable"),
        ("FALAJ_GATEWAY_PORT", "tcp://10.0.0.7:8600", "Expected `int`", "enableServiceLinks"),
        ("FALAJ_STORAGE_ONLINE", "rediss", "Invalid enum value 'rediss'", "Where features are kept"),
        ("FALAJ_STORAGE_ONLINE", "redis", "online_url is empty", "correct the variable"),
        ("FALAJ_PROJECT_FILES", "a.py", "a list is set in the file only", "[project] files"),
        ("FALAJ_GATEWAY_PROT", "8700", "names no setting", "did you mean 'FALAJ_GATEWAY_PORT'?"),
        ("FALAJ_STORGE_SHARED", "/mnt", "names no setting", "did you mean 'FALAJ_STORAGE_SHARED'?"),
    ],
)
def test_a_variable_is_blamed_for_itself(
    tmp_path: Path, file: str | None, name: str, value: str, said: str, hint: str
) -> None:
    error = refused(tmp_path, {name: value}, file)
    assert error.message.startswith(f"{name}")
    assert said in error.message
    assert "falaj.toml" not in error.message
    assert hint in error.hint


@pytest.mark.parametrize(
    ("file", "said", "hint"),
    [
        ("[gateway]\nworker = 2\n", "[gateway] worker: there is no such setting", "did you mean 'workers'?"),
        ("[gatway]\nport = 1\n", "[gatway]: there is no such section", "did you mean 'gateway'?"),
        ("gateway = 2\n", "[gateway]: Expected `object`, got `int`", "correct the file"),
        ("[gateway]\nport = 'x'\n", "[gateway] port: Expected `int`, got `str`", "TCP port shared by all workers."),
        ("[gateway]\nport = 0\n", "[gateway]: port 0 is not between 1 and 65535", "correct the file"),
        ("[project]\nfiles = [1, 'a']\n", "[project] files: Expected `str`, got `int`", "Glob patterns of the files"),
    ],
)
def test_the_file_is_blamed_for_what_it_says(tmp_path: Path, file: str, said: str, hint: str) -> None:
    error = refused(tmp_path, {"FALAJ_GATEWAY_HOST": "127.0.0.1"}, file)
    assert error.message == f"{tmp_path / 'falaj.toml'}: {said}"
    assert error.hint.startswith(hint)
    assert "docs/" not in error.hint


def test_variables_that_nobody_meant_as_settings_are_left_alone(tmp_path: Path) -> None:
    linked = {
        "FALAJ_SERVICE_HOST": "10.0.0.7",
        "FALAJ_CONTROL_SERVICE_PORT_HTTP": "8610",
        "FALAJ_PORT": "tcp://10.0.0.7:8600",
        "FALAJ_PORT_8600_TCP_ADDR": "10.0.0.7",
    }
    others = {"FALAJ_TOKEN": "flj_x", "FALAJ_PROJECT": ".", "FALAJ_TEST_LONG": "1", "PATH": "/bin"}
    assert load_settings(tmp_path, ALONE | linked | others, need_file=False).gateway.port == 8600


def test_a_gateway_without_a_project_is_told_what_it_needs(tmp_path: Path) -> None:
    with pytest.raises(ProjectError, match="does not exist") as raised:
        load_settings(tmp_path, {}, need_file=False)
    assert "FALAJ_PROJECT_NAME" in raised.value.hint
    with pytest.raises(ProjectError, match="does not exist") as raised:
        load_settings(tmp_path, {})
    assert "falaj init" in raised.value.hint
