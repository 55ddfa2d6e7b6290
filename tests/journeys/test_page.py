"""The overview page in a real browser."""

import shutil
import subprocess
from pathlib import Path

import pytest

from support.falaj_project import FalajProject

FLAGS = (
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--virtual-time-budget=6000",
)


def _browse(url: str, folder: Path, *options: str) -> str:
    browser = shutil.which("chromium") or shutil.which("chromium-browser")
    if browser is None:
        pytest.skip("chromium is not installed")
    done = subprocess.run(
        [browser, *FLAGS, f"--user-data-dir={folder}", *options, url],
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_the_page_shows_what_serves_to_who_signs_in(running: FalajProject, tmp_path: Path) -> None:
    running.ask()
    url = f"http://127.0.0.1:{running.control_port}/"
    stranger = _browse(url, tmp_path / "stranger", "--dump-dom")
    assert "Your token" in stranger
    assert "What serves" not in stranger
    page = _browse(f"{url}#token={running.owner}", tmp_path / "owner", "--dump-dom")
    for text in ("What serves", "champion", "fraud 1", "production", "approved by officer", "100 %", "transactions"):
        assert text in page, text
    assert running.owner not in page
    shot = tmp_path / "page.png"
    _browse(f"{url}#token={running.owner}", tmp_path / "shot", f"--screenshot={shot}", "--window-size=1280,1400")
    assert shot.read_bytes()[:8] == b"\x89PNG\r\n\x1a\n"
    assert shot.stat().st_size > 30_000  # an empty page of this size takes about 10 kB
