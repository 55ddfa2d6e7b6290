"""The overview page in a real browser."""

from pathlib import Path

from support.browser import browse
from support.falaj_project import FalajProject


def test_the_page_shows_what_serves_to_who_signs_in(running: FalajProject, tmp_path: Path) -> None:
    running.ask()
    url = f"http://127.0.0.1:{running.control_port}/"
    stranger = browse(url, tmp_path / "stranger", "--dump-dom")
    assert "Your token" in stranger
    assert "What serves" not in stranger
    page = browse(f"{url}#token={running.owner}", tmp_path / "owner", "--dump-dom")
    for text in ("What serves", "champion", "fraud 1", "production", "approved by officer", "100 %", "transactions"):
        assert text in page, text
    assert running.owner not in page
    shot = tmp_path / "page.png"
    browse(f"{url}#token={running.owner}", tmp_path / "shot", f"--screenshot={shot}", "--window-size=1280,1400")
    assert shot.read_bytes()[:8] == b"\x89PNG\r\n\x1a\n"
    assert shot.stat().st_size > 30_000  # an empty page of this size takes about 10 kB
