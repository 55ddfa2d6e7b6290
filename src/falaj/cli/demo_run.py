"""The demo's stages. Each one runs `falaj` as a shell would, and reads its JSON."""

import json
import os
import shlex
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from types import MappingProxyType
from typing import Any

import click

from falaj.cli.demo_summary import DemoSummary, StageTime, print_summary
from falaj.kernel.codec import from_json
from falaj.kernel.errors import FalajError, InputError, RunFailed, Timeout, error_by_code

_POLL_S = 0.3
_WAIT_S = 300.0
NOT_APPLICABLE = "not applicable: the data has no time"


class DemoRun:
    """One run of a demo.

    Args:
        folder: The new project's folder.
        template: The template's name, which is also the model's and the endpoint's.
        data: The user's own file; None for generated data.
        quiet: Show no progress.
    """

    def __init__(self, folder: Path, template: str, data: Path | None, *, quiet: bool) -> None:
        self._folder = folder
        self._template = template
        self._data = data
        self._quiet = quiet
        self._environment = dict(os.environ)
        self._stages: list[StageTime] = []
        self._facts: dict[str, Any] = {}
        self._answers = folder / "answers.jsonl"
        self._pushed = 0
        self._written = False  # until then the folder may be somebody else's, whose processes are left alone

    def run(self, *, keep_running: bool) -> DemoSummary:
        """Run all stages and return the figures.

        Args:
            keep_running: Leave control and gateway up at the end.

        Raises:
            RunFailed: A command failed; the message shows which one and what it said.
        """
        began = time.monotonic()
        try:
            self._prepare()
            self._train()
            self._serve()
            if self._timeless:
                self._ask_timeless()
            else:
                self._steady_traffic()
                self._drift_and_return()
            # A pushed event is durable at once and in the table a moment later: every one of them must arrive there.
            self._wait_for("all pushed events to be in the tables", lambda: self._streamed() == self._pushed)
            self._facts["status"] = self._json("status")
            self._facts["audit"] = self._json("audit", "verify")
        finally:
            if self._written and not keep_running:
                self._call(["down"], check=False)
        return DemoSummary.of(self._folder, self._stages, self._facts, time.monotonic() - began)

    def print_summary(self, summary: DemoSummary) -> None:
        """Print the figures for people."""
        print_summary(summary)

    @property
    def _timeless(self) -> bool:
        return not (self._folder / "data" / "chargebacks").exists()

    # --- stages ---

    def _prepare(self) -> None:
        with self._stage("project", "write the project's files"):
            words = ["init", str(self._folder), "--template", self._template]
            self._call([*words, *(["--data", str(self._data)] if self._data else [])], project=False)
            self._written = True
            self._free_ports()
        with self._stage("data", "make the raw data: history, stream, labels"):
            self._shell([sys.executable, "prepare.py"])
        with self._stage("definitions", "put the definitions in force"):
            self._facts["plan"] = self._json("plan")
            self._call(["apply"])

    def _train(self) -> None:
        with self._stage("training", "ingest, validate, features, train, evaluate, gate, register"):
            self._facts["training"] = self._json("train", self._template, stream=True)
            self._facts["ingested"] = self._json("source", "list")
        with self._stage("approval", "a second person approves: nobody approves their own version"):
            self._token = self._json("token", "create", "--actor", "risk-officer", "--role", "approver")["token"]
            self._approve(self._facts["training"]["version"], "gate report read")

    def _serve(self) -> None:
        with self._stage("start", "control and gateway"):
            self._facts["addresses"] = self._json("up", "--detach")
        with self._stage("deploy", "the first version takes all traffic"):
            self._facts["deployed"] = self._json("deploy", self._template)

    def _ask_timeless(self) -> None:
        with self._stage("requests", "decide on the held-out transactions, then report what became of them"):
            stream = sorted((self._folder / "data" / "stream").glob("1-*.jsonl"))[0]
            self._facts["steady"] = self._replay(stream)
            labels = self._folder / "data" / "labels" / stream.name
            self._json("feedback", str(labels), "--answers", str(self._answers))
        with self._stage("verify", "compute served features again from the tables"):
            self._facts["verify"] = self._json("features", "verify")
        self._wait_for("outcomes to be joined", lambda: self._monitor().get("outcomes", 0) > 0)
        self._facts["monitor"] = self._monitor()
        self._explain()
        for name in ("streaming", "late labels", "drift", "retraining", "canary"):
            self._stages.append(StageTime(name, 0.0, NOT_APPLICABLE))
            self._say(f"  {name}: {NOT_APPLICABLE}")

    def _steady_traffic(self) -> None:
        stream = self._folder / "data" / "stream"
        with self._stage("steady traffic", "decide on each event as of its instant, then push it"):
            chargebacks = f"chargebacks={stream / '1-steady.chargebacks.jsonl'}"
            self._facts["steady"] = self._replay(stream / "1-steady.transactions.jsonl", "--with", chargebacks)
        with self._stage("late labels", "seven days later: corrections to the events, feedback to the answers"):
            self._facts["labels"] = self._late_labels("1-steady")
        with self._stage("verify", "compute served features again from the tables"):
            self._facts["verify"] = self._json("features", "verify", "--sample", "500")
            self._wait_for("outcomes to be joined", lambda: self._monitor().get("outcomes", 0) > 0)
            self._facts["monitor"] = self._monitor()
        self._explain()

    def _drift_and_return(self) -> None:
        stream = self._folder / "data" / "stream"
        with self._stage("shifted traffic", "the world changes"):
            chargebacks = f"chargebacks={stream / '2-shifted.chargebacks.jsonl'}"
            self._facts["shifted"] = self._replay(stream / "2-shifted.transactions.jsonl", "--with", chargebacks)
            self._wait_for("drift to be found", lambda: self._monitor()["outcome"] == "DRIFT")
            self._facts["drift"] = self._monitor()
            self._facts["alerts"] = self._json("alerts", "list", "--open")
        with self._stage("new labels", "weeks later the labels of the changed world are in"):
            self._late_labels("2-shifted")
            for source in ("transactions", "chargebacks"):
                for file in sorted((self._folder / "data" / "later" / source).glob("*.parquet")):
                    shutil.copy(file, self._folder / "data" / source / file.name)
            self._call(["ingest"])
        with self._stage("retraining", "drift starts a run by itself; it promotes nothing"):
            run_id = self._wait_for("a triggered run", self._triggered_run)
            self._facts["retraining"] = self._json("runs", "follow", run_id, stream=True)
        with self._stage("canary", "approved by the second person, it goes out 10 % -> 50 % -> 100 % under traffic"):
            version = self._facts["retraining"]["result"]["register"]["version"]
            self._approve(version, "drift understood, gate report read")
            self._canary(stream / "3-settled.transactions.jsonl", version)

    def _canary(self, events: Path, version: int) -> None:
        """Send traffic until the canary has ended, and say where it stands."""
        words = self._words(["replay", self._template, str(events), "--answers", str(self._answers), "--rate", "80"])
        traffic = subprocess.Popen(
            [*words, "--json"], stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=self._environment, cwd=self._folder
        )
        self._show(["replay", self._template, str(events), "--rate", "80"])
        seen = ""
        try:
            deadline = time.monotonic() + _WAIT_S
            while time.monotonic() < deadline:
                endpoint = self._json("status", show=False)["endpoints"][0]
                words_now = endpoint["rollout"] or f"version {endpoint['variants'][0]['version']} serves everything"
                if words_now != seen:
                    seen = words_now
                    self._say(f"  {seen}")
                if not endpoint["rollout"] and endpoint["variants"][0]["version"] == version:
                    break
                if traffic.poll() is not None and not endpoint["rollout"]:
                    break
                time.sleep(_POLL_S)
        finally:
            out, error = traffic.communicate(timeout=_WAIT_S)
        if traffic.returncode != 0:
            raise RunFailed(f"replaying during the canary failed: {error.decode()[-400:]}")
        self._facts["canary"] = json.loads(out)
        self._pushed += self._facts["canary"]["events"]
        self._facts["promoted"] = version

    def _explain(self) -> None:
        with self._stage("why", "explain one decision"):
            last = json.loads(self._answers.read_bytes().splitlines()[-1])
            self._facts["why"] = self._json("why", last["request_id"])

    # --- pieces ---

    def _replay(self, events: Path, *options: str) -> dict[str, Any]:
        words = ["replay", self._template, str(events), *options, "--answers", str(self._answers)]
        found: dict[str, Any] = self._json(*words, stream=True)
        self._pushed += found["events"]
        return found

    def _streamed(self) -> int:
        return sum(source["streamed"] for source in self._json("source", "list", show=False))

    def _late_labels(self, phase: str) -> dict[str, Any]:
        labels = self._folder / "data" / "labels"
        transactions = labels / f"{phase}.transactions.jsonl"
        pushed = self._json("push", "transactions", str(transactions))
        known = self._json("push", "chargebacks", str(labels / f"{phase}.chargebacks.jsonl"))
        self._pushed += pushed["accepted"] + known["accepted"]
        reported = self._json("feedback", str(transactions), "--answers", str(self._answers))
        return {"corrections": pushed["accepted"], "feedback": reported["reported"]}

    def _approve(self, version: int, comment: str) -> None:
        words = ["approve", self._template, str(version), "--comment", comment]
        self._show([*words, "--token", "..."])
        # By the environment: what stands on a command line can be read by everybody on the machine.
        self._call(words, show=False, environment={"FALAJ_TOKEN": self._token})

    def _triggered_run(self) -> str | None:
        for run in self._json("runs", "list", show=False):
            if run["reason"].startswith("drift"):
                self._facts["trigger"] = run["reason"]
                return str(run["id"])
        return None

    def _monitor(self) -> dict[str, Any]:
        found: dict[str, Any] = self._json("monitor", self._template, show=False)
        return found

    def _wait_for(self, what: str, look: Callable[[], Any]) -> Any:
        deadline = time.monotonic() + _WAIT_S
        while not (found := look()):
            if time.monotonic() > deadline:
                raise Timeout(f"waited {_WAIT_S:g} s for {what}", hint=f"look into {self._folder / '.falaj' / 'log'}")
            time.sleep(_POLL_S)
        return found

    def _free_ports(self) -> None:
        """Move the project to free ports when its own are taken, so that two demos can run beside each other."""
        from falaj.app.ports import free_port, is_free
        from falaj.kernel.settings import load_settings

        settings = load_settings(self._folder)
        for section, address in (("gateway", settings.gateway), ("control", settings.control)):
            if not is_free(address.host, address.port):
                port = free_port(address.host)
                self._environment[f"FALAJ_{section.upper()}_PORT"] = str(port)
                self._say(f"  port {address.port} is taken; FALAJ_{section.upper()}_PORT={port}")

    # --- commands ---

    @contextmanager
    def _stage(self, name: str, words: str) -> Iterator[None]:
        self._say(f"\n{click.style(name, bold=True)}: {words}")
        began = time.monotonic()
        yield
        seconds = time.monotonic() - began
        self._stages.append(StageTime(name, seconds, "done"))
        self._say(f"  {click.style(f'{seconds:.1f} s', fg='cyan')}")

    def _say(self, text: str) -> None:
        if not self._quiet:
            click.echo(text)

    def _show(self, words: list[str]) -> None:
        shown = shlex.join(words).replace(f"{self._folder}/", "").replace(str(self._folder), ".")
        self._say(f"  $ falaj {shown}")

    def _words(self, words: list[str], *, project: bool = True) -> list[str]:
        command = [sys.executable, "-m", "falaj.cli.main", *words]
        return [*command, "--project", str(self._folder)] if project else command

    def _json(self, *words: str, stream: bool = False, show: bool = True) -> Any:
        """Run a command and return the JSON it printed; with `stream`, its progress is shown as it comes."""
        return json.loads(self._call([*words], show=show, stream=stream))

    def _call(
        self,
        words: list[str],
        *,
        project: bool = True,
        show: bool = True,
        check: bool = True,
        stream: bool = False,
        environment: Mapping[str, str] = MappingProxyType({}),
    ) -> str:
        if show:
            self._show(words)
        options = ["--json", *(["--progress"] if stream else [])]
        command = self._words([*words, *options], project=project)
        folder = self._folder if self._folder.is_dir() else None
        with (
            tempfile.TemporaryFile("w+") as out,
            subprocess.Popen(
                command,
                stdout=out,
                stderr=subprocess.PIPE,
                text=True,
                env=self._environment | dict(environment),
                cwd=folder,
            ) as process,
        ):
            said = self._pass_on(process, stream)
            out.seek(0)
            printed = out.read()
        if process.returncode != 0 and check:
            raise self._error(words[0], process.returncode, said.strip() or printed.strip())
        return printed

    def _error(self, command: str, code: int, said: str) -> FalajError:
        """Return a command's own error, or what it said last where it has none, as after a gate that did not pass."""
        log = f"look into {self._folder / '.falaj' / 'log'}"
        try:
            fault = from_json(said.rpartition("\n")[2], dict[str, str])
            return error_by_code(fault["code"], f"falaj {command}: {fault['error']}", fault["hint"] or log)
        except (InputError, KeyError):
            return RunFailed(f"falaj {command} ended with {code}: {said[-600:]}", hint=log)

    def _pass_on(self, process: "subprocess.Popen[str]", stream: object) -> str:
        """Return what a command says on standard error; show it as it comes, if wanted."""
        assert process.stderr is not None
        lines = []
        for line in process.stderr:
            lines.append(line)
            if stream:
                self._say(line.rstrip())
        process.wait()
        return "".join(lines)

    def _shell(self, command: list[str]) -> None:
        self._say(f"  $ python {' '.join(command[1:])}")
        done = subprocess.run(command, capture_output=True, text=True, cwd=self._folder, check=False)
        if done.returncode != 0:
            raise RunFailed(f"{' '.join(command[1:])} failed: {(done.stderr or done.stdout).strip()[-400:]}")
        for line in done.stdout.splitlines()[-2:]:
            self._say(f"  {line.strip()}")
