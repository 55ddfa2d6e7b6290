"""The page on reading features in Python, as it stands: its Python runs."""

import re
import subprocess
import sys
from pathlib import Path

import falaj
from support.tour import write_tour

ROOT = Path(__file__).parents[2]
PAGE = ROOT / "docs" / "how-to" / "read-features-online.md"


def test_the_page_runs(tmp_path: Path) -> None:
    write_tour(tmp_path, rows=300)
    blocks = re.findall(r"^```python\n(.*?)^```", PAGE.read_text("utf-8"), re.MULTILINE | re.DOTALL)
    environment = {"PYTHONPATH": str(Path(falaj.__file__).parents[1])}
    for words in (["-m", "falaj.cli.main", "apply"], ["-c", "\n".join(blocks)]):
        done = subprocess.run(
            [sys.executable, *words], cwd=tmp_path, env=environment, capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, done.stderr
