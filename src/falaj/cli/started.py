"""Started: what `falaj up --detach` began, waited for until it is ready or says why it is not."""

import json
import subprocess
import time
import urllib.error
import urllib.request
from collections.abc import Mapping
from pathlib import Path

from falaj.app.refusal import told
from falaj.app.supervisor import stop_supervisor
from falaj.kernel.errors import DiskFull, FalajError, Unavailable
from falaj.serving.readiness import UNLOADED
from falaj.storage.disk import lacks_room

READY_S = 60.0
_UNLOADED_S = 6.0
"""A gateway tries again after five seconds to load what it could not."""

_LOOK_EVERY_S = 0.1
_MOST_CHARACTERS = 300


class Started:
    """Processes that have just been started.

    Args:
        state: The state folder.
        process: The supervisor.
        addresses: What is to answer 200: who to the address.
    """

    def __init__(self, state: Path, process: "subprocess.Popen[bytes]", addresses: Mapping[str, str]) -> None:
        self._log = state / "log" / "supervisor.log"
        self._state = state
        self._process = process
        self._addresses = addresses
        self._unloaded_s: float | None = None

    def wait(self, within_s: float = READY_S, unloaded_s: float = _UNLOADED_S) -> None:
        """Return when everything is ready.

        Args:
            within_s: How long to wait for it.
            unloaded_s: How long to wait for an endpoint that cannot be loaded.

        Raises:
            FalajError: It ended, and why.
            Unavailable: It is not ready in time, or an endpoint cannot be loaded. What never came up was stopped.
        """
        deadline_s = time.monotonic() + within_s
        while True:
            missing = {who: why for who, url in self._addresses.items() if (why := why_not(url)) is not None}
            if not missing:
                return
            if self._process.poll() is not None:
                raise self._ended()
            now_s = time.monotonic()
            self._refuse_unloaded(missing, now_s, unloaded_s)
            if now_s > deadline_s:
                raise self._late(missing, within_s)
            time.sleep(_LOOK_EVERY_S)

    def _refuse_unloaded(self, missing: Mapping[str, str], now_s: float, unloaded_s: float) -> None:
        reasons = list(missing.values())
        if len(reasons) != 1 or not reasons[0].startswith(UNLOADED):
            self._unloaded_s = None
            return
        self._unloaded_s = self._unloaded_s or now_s
        if now_s - self._unloaded_s >= unloaded_s:
            raise Unavailable(
                f"control and gateway run, and {reasons[0]}",
                hint="'falaj status' says why; the other endpoints serve. 'falaj down' ends all of it",
            )

    def _ended(self) -> FalajError:
        if lacks_room(self._state):  # for what it had to say, too
            return DiskFull(
                f"no space is left for {self._state}", hint="free some space; nothing acknowledged was lost"
            )
        said = self._said()
        why = told(said)
        if why is not None:
            return why
        last = said.strip().splitlines()[-1:]
        return Unavailable(f"it ended at once: {last[0] if last else 'without a word'}", hint=f"see {self._log.parent}")

    def _late(self, missing: Mapping[str, str], within_s: float) -> Unavailable:
        what = "; ".join(f"{who}: {why or 'does not answer'}" for who, why in sorted(missing.items()))
        fails = [line for line in self._said().splitlines() if "; back in " in line]
        if not fails:
            return Unavailable(
                f"it is not ready after {within_s:g} s: {what}",
                hint=f"it goes on starting; 'falaj status' and {self._log.parent} say more, 'falaj down' ends it",
            )
        stop_supervisor(self._state)
        return Unavailable(f"it did not become ready: {what}; {fails[-1]}", hint="it was stopped again")

    def _said(self) -> str:
        try:
            return self._log.read_text(errors="replace")
        except OSError:
            return ""


def why_not(url: str) -> str | None:
    """Return why an address does not answer 200; empty where it says nothing, None where it does.

    Args:
        url: One of our own, from the settings.
    """
    try:
        with urllib.request.urlopen(url, timeout=2) as answer:  # noqa: S310 - see above
            return None if answer.status == 200 else ""
    except urllib.error.HTTPError as error:
        try:
            return str(json.loads(error.read())["error"])[:_MOST_CHARACTERS]
        except (ValueError, KeyError, TypeError, OSError):
            return f"answers {error.code}"
    except OSError:
        return ""
