"""A project as its user has it: a folder, the installed command, and two HTTP addresses."""

import contextlib
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from pathlib import Path
from typing import Any, NamedTuple

from support.waiting import until

COMMAND = Path(sys.executable).with_name("falaj")
"""The command as `pip install` puts it beside the interpreter."""


class Output(NamedTuple):
    """What a command printed.

    Attributes:
        code: Its exit code.
        out: Standard output.
        err: Standard error.
        seconds: How long it took.
    """

    code: int
    out: str
    err: str
    seconds: float

    def json(self) -> Any:
        """Standard output as JSON."""
        return json.loads(self.out)

    def error(self) -> dict[str, str]:
        """Standard error of a `--json` command, as JSON."""
        found: dict[str, str] = json.loads(self.err.strip().splitlines()[-1])
        return found


class Reply(NamedTuple):
    """An HTTP answer.

    Attributes:
        status: Its status.
        text: Its body.
        headers: Its headers, names in lower case.
    """

    status: int
    text: str
    headers: dict[str, str]

    def json(self) -> Any:
        """The body as JSON."""
        return json.loads(self.text)


def send(
    method: str, url: str, body: object = None, token: str | None = None, headers: dict[str, str] | None = None
) -> Reply:
    """Send one request; a body that is not bytes is sent as JSON."""
    raw = body if isinstance(body, bytes) or body is None else json.dumps(body).encode()
    request = urllib.request.Request(url, data=raw, method=method, headers=headers or {})  # noqa: S310 - our own
    if token is not None:
        request.add_header("authorization", f"Bearer {token}")
    try:
        with urllib.request.urlopen(request, timeout=30) as answer:  # noqa: S310 - our own
            return Reply(answer.status, answer.read().decode(), _lower(answer.headers))
    except urllib.error.HTTPError as error:
        return Reply(error.code, error.read().decode(), _lower(error.headers))


def _lower(headers: Any) -> dict[str, str]:
    return {name.lower(): value for name, value in headers.items()}


def free_ports(count: int) -> list[int]:
    """Return ports that nothing listens on now."""
    holders = [socket.create_server(("127.0.0.1", 0)) for _ in range(count)]
    ports = [int(holder.getsockname()[1]) for holder in holders]
    for holder in holders:
        holder.close()
    return ports


class FalajProject:
    """A project in a folder.

    Args:
        folder: Its folder.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.state = folder / ".falaj"
        self.gateway_port, self.control_port = free_ports(2)
        self.env: dict[str, str] = {}
        self.hidden: set[str] = set()
        self._started: list[subprocess.Popen[str]] = []

    def copy_to(self, folder: Path) -> "FalajProject":
        """Return a copy with everything in it; only while nothing runs in it."""
        shutil.copytree(self.folder, folder)
        return FalajProject(folder)

    def environment(self) -> dict[str, str]:
        """The environment that the project's commands run in."""
        kept = {name: value for name, value in os.environ.items() if not name.startswith("FALAJ_")}
        ports = {"FALAJ_GATEWAY_PORT": str(self.gateway_port), "FALAJ_CONTROL_PORT": str(self.control_port)}
        return {name: value for name, value in (kept | ports | self.env).items() if name not in self.hidden}

    def start(self, *words: str, token: str | None = None) -> subprocess.Popen[str]:
        """Start a command and return its process."""
        process = subprocess.Popen(
            [COMMAND, *words, *(["--token", token] if token else [])],
            cwd=self.folder,
            env=self.environment(),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        self._started = [one for one in self._started if one.returncode is None] + [process]
        return process

    def run(self, *words: str, token: str | None = None, stdin: str = "", within_s: float = 120) -> Output:
        """Run a command to its end, whatever its exit code."""
        began = time.monotonic()
        process = self.start(*words, token=token)
        try:
            out, err = process.communicate(stdin, timeout=within_s)
        except subprocess.TimeoutExpired:
            process.kill()
            process.communicate()
            raise
        return Output(process.returncode, out, err, time.monotonic() - began)

    def falaj(self, *words: str, token: str | None = None, stdin: str = "") -> Output:
        """Run a command that must succeed."""
        done = self.run(*words, token=token, stdin=stdin)
        assert done.code == 0, f"falaj {' '.join(words)} ended with {done.code}:\n{done.out}\n{done.err}"
        return done

    def json(self, *words: str, token: str | None = None, stdin: str = "") -> Any:
        """Run a command that must succeed and return what `--json` prints."""
        return self.falaj(*words, "--json", token=token, stdin=stdin).json()

    def refused(self, *words: str, token: str | None = None, stdin: str = "") -> dict[str, Any]:
        """Run a command that must be refused, and return code, error and hint, with `exit`."""
        done = self.run(*words, "--json", token=token, stdin=stdin)
        assert done.code != 0, f"falaj {' '.join(words)} succeeded:\n{done.out}"
        assert "Traceback" not in done.err, done.err
        return {**done.error(), "exit": done.code}

    def edit(self, file: str, old: str, new: str) -> None:
        """Change a file as its author would: one place, which must be there."""
        path = self.folder / file
        text = path.read_text()
        assert text.count(old) == 1, f"{old!r} stands {text.count(old)} times in {file}"
        path.write_text(text.replace(old, new))

    @property
    def owner(self) -> str:
        """The owner's token."""
        return (self.state / "owner.token").read_text().strip()

    def token(self, actor: str, role: str, *scopes: str) -> str:
        """Make an actor and a token."""
        words = [word for scope in scopes for word in ("--scope", scope)]
        return str(self.json("token", "create", "--actor", actor, "--role", role, *words)["token"])

    def up(self, *words: str) -> "FalajProject":
        """Start control and gateway."""
        self.falaj("up", "--detach", *words)
        return self

    def down(self) -> None:
        """Stop them."""
        assert self.json("down")["stopped"]

    def end(self) -> None:
        """Leave nothing of this project running, in whatever state a test left it."""
        self.run("down")
        for process in self._started:  # of a test that failed before it ended them
            if process.returncode is None:
                process.kill()
                process.communicate()
        for pid in self.processes():
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)

    def processes(self) -> list[int]:
        """The processes that work on this project's folder."""
        found = []
        for path in Path("/proc").glob("[0-9]*/cmdline"):
            with contextlib.suppress(OSError):
                if str(self.folder).encode() in path.read_bytes().split(b"\0"):
                    found.append(int(path.parent.name))
        return found

    def pids(self) -> dict[str, int]:
        """The process ids of the running supervisor, control and gateway workers, by name."""
        supervisor = json.loads((self.state / "run" / "supervisor.json").read_text())["pid"]
        found = {"supervisor": int(supervisor)}
        for child in _children(int(supervisor)):
            words = Path(f"/proc/{child}/cmdline").read_bytes().decode().split("\0")
            if "falaj.cli.control_main" in words:
                found["control"] = child
            elif "falaj.app.gateway" in words:
                found[f"gateway-{words[words.index('falaj.app.gateway') + 2]}"] = child
        return found

    def gateway(self, method: str, path: str, body: object = None, token: str | None = None, **headers: str) -> Reply:
        """Send a request to the gateway, as the owner by default; an empty token sends none."""
        who = self.owner if token is None else token or None
        return send(method, f"http://127.0.0.1:{self.gateway_port}{path}", body, who, headers)

    def control(self, method: str, path: str, body: object = None, token: str | None = None, **headers: str) -> Reply:
        """Send a request to control, as the owner by default; an empty token sends none."""
        who = self.owner if token is None else token or None
        return send(method, f"http://127.0.0.1:{self.control_port}{path}", body, who, headers)

    def ask(self, card: str = "c1", amount: float = 25.0, *, endpoint: str = "fraud", **more: Any) -> dict[str, Any]:
        """Ask the gateway for one decision, which must be given."""
        body = {"entities": {"card_id": card}, "request": {"amount": amount}, **more}
        reply = self.gateway("POST", f"/v1/endpoints/{endpoint}/predict", body)
        assert reply.status == 200, reply.text
        answer: dict[str, Any] = reply.json()
        return answer

    def metric(self, name: str) -> float:
        """A number of the gateway's `/metrics`, by its name with its labels; 0 before it counts anything."""
        lines = self.gateway("GET", "/metrics").text.splitlines()
        found = [line.rpartition(" ")[2] for line in lines if line.rpartition(" ")[0] == name]
        return float(found[0]) if found else 0.0

    def endpoint(self, name: str = "fraud") -> dict[str, Any]:
        """An endpoint as `GET /v1/status` shows it."""
        found = self.control("GET", "/v1/status").json()
        return next(one for one in found["endpoints"] if one["name"] == name)

    def serves(self) -> list[int]:
        """The versions that serve, the heaviest first."""
        variants = sorted(self.endpoint()["variants"], key=lambda one: -one["weight_percent"])
        return [one["version"] for one in variants]

    def wait_for_version(self, version: int, within_s: float = 30) -> None:
        """Wait until a version serves alone."""
        until(lambda: self.serves() == [version], f"version {version} serves alone", within_s=within_s)


def _children(pid: int) -> list[int]:
    return [int(word) for word in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]
