"""Which online store a project has, and that only the chosen one is loaded."""

import subprocess
import sys
from pathlib import Path

import pytest

from falaj.app.online import reach_online
from falaj.kernel.errors import ProjectError, StorageError
from falaj.kernel.settings import Settings, StorageSettings, load_settings

_CHOOSE = """
import sys
from pathlib import Path
from falaj.app.online import open_online_reader, open_online_writer
from falaj.kernel.settings import Settings, StorageSettings
{before}
settings = Settings(storage=StorageSettings(**{settings}))
try:
    open_online_writer(Path({folder!r}), settings).close()
    open_online_reader(Path({folder!r}), settings).close()
except Exception as error:
    print(error.code, error.hint)
print(sorted({{"lmdb", "redis", "hiredis"}} & set(sys.modules)))
"""


def chosen(folder: Path, settings: dict[str, object], before: str = "") -> list[str]:
    code = _CHOOSE.format(folder=str(folder), settings=settings, before=before)
    return subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.splitlines()


def test_only_the_store_that_was_chosen_is_loaded(tmp_path: Path) -> None:
    assert chosen(tmp_path / "a", {"online_map_gib": 1}) == ["['lmdb']"]
    assert chosen(tmp_path / "b", {"online": "redis", "online_url": "redis://127.0.0.1:1"}) == ["['hiredis', 'redis']"]


def test_a_server_that_does_not_answer_is_told_before_anything_starts() -> None:
    reach_online(Settings())
    redis = {"online": "redis", "online_url": "redis://127.0.0.1:1/0"}
    for filled in (False, True):
        with pytest.raises(StorageError, match="cannot be reached"):
            reach_online(Settings(storage=StorageSettings(**redis)), filled=filled)  # type: ignore[arg-type]
    with pytest.raises(ProjectError, match="does not begin with redis://"):
        reach_online(Settings(storage=StorageSettings(online="redis", online_url="http://127.0.0.1")))


def test_without_its_client_the_line_that_installs_it_is_said(tmp_path: Path) -> None:
    said = chosen(tmp_path, {"online": "redis", "online_url": "redis://x"}, "sys.modules['redis'] = None")
    assert said[0] == "extra_missing pip install 'falaj[redis]'"


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ('online = "redis"', "online_url is empty"),
        ('online = "memcached"', "memcached"),
        ("online_timeout_ms = 0", "online_timeout_ms 0"),
        ("online_cache_ms = -1", "online_cache_ms -1"),
    ],
)
def test_settings_that_make_no_sense_are_refused(tmp_path: Path, line: str, said: str) -> None:
    (tmp_path / "falaj.toml").write_text(f'[storage]\nonline_password = "s3cret"\n{line}\n')
    with pytest.raises(ProjectError, match=said) as refused:
        load_settings(tmp_path, {})
    assert "s3cret" not in refused.value.message
