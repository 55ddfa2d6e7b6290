"""A real Prometheus and its promtool, as the system has them."""

import json
import shutil
import subprocess
import urllib.request
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest

from support.falaj_project import free_ports


def program(name: str) -> str:
    """Where a program is; the test skips where it is not installed."""
    found = shutil.which(name)
    if found is None:
        pytest.skip(f"{name} is not installed: apt-get install prometheus")
    return found


def promtool(*words: str | Path) -> str:
    """Run promtool, which must be content, and return what it said."""
    done = subprocess.run([program("promtool"), *map(str, words)], capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


class Prometheus:
    """A Prometheus that runs.

    Args:
        port: Where it answers.
    """

    def __init__(self, port: int) -> None:
        self.port = port

    def ask(self, path: str) -> Any:
        """The data of an answer of its API; None while it does not answer."""
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{self.port}/api/v1/{path}", timeout=10) as reply:
                return json.load(reply)["data"]
        except OSError:
            return None

    def query(self, expression: str) -> list[dict[str, Any]]:
        """The samples of an expression now."""
        data = self.ask(f"query?query={quote(expression)}")
        return data["result"] if data else []

    def names(self) -> set[str]:
        """The names of all series that it has."""
        return set(self.ask("label/__name__/values") or ())


@contextmanager
def prometheus(folder: Path, targets: Mapping[str, int], token: str, rules: Path | None = None) -> Iterator[Prometheus]:
    """Run one that scrapes ports of this machine once a second, by job, and evaluates the rules as often."""
    port, token_path = free_ports(1)[0], folder / "scrape.token"
    token_path.write_text(token)
    jobs = [
        {"job_name": job, "authorization": {"credentials_file": str(token_path)},
         "static_configs": [{"targets": [f"127.0.0.1:{target}"]}]}
        for job, target in targets.items()
    ]  # fmt: skip
    often = {"scrape_interval": "1s", "evaluation_interval": "1s"}
    config = {"global": often, "rule_files": [str(rules)] if rules else [], "scrape_configs": jobs}
    path = folder / "prometheus.yml"
    path.write_text(json.dumps(config))  # JSON is YAML
    promtool("check", "config", path)
    with (folder / "prometheus.out").open("wb") as output:
        process = subprocess.Popen(
            [program("prometheus"), f"--config.file={path}", f"--storage.tsdb.path={folder / 'tsdb'}",
             f"--web.listen-address=127.0.0.1:{port}"],
            stdout=output, stderr=output,
        )  # fmt: skip
        try:
            yield Prometheus(port)
        finally:
            process.terminate()
            process.wait(20)
