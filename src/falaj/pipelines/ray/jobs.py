"""Jobs: what Ray is asked and told about a job, over the REST interface of its dashboard.

Ray's own client would be asked to do the same and is not used: it waits for an answer without end, lets a variable of
the environment overrule the address, and loads the whole of Ray into control.
"""

import http.client
import json
import urllib.error
import urllib.request
from collections.abc import Callable
from typing import Any
from urllib.parse import quote, urlsplit

import msgspec

from falaj.governance.exposure import is_loopback
from falaj.kernel.codec import to_json
from falaj.kernel.errors import AccessDenied, Conflict, DefinitionError, Unavailable
from falaj.kernel.ray_settings import RaySettings
from falaj.pipelines.graph import Step

TIMEOUT_S = 10.0
_MOST_BYTES = 4 << 20
"""Of an answer; Ray puts at most 20,000 characters of a log into one."""

_MOST_SAID = 300
"""Of a refusal, its end: Ray answers with a trace."""

_REFUSED = (401, 403)
_HINT = "start it, or correct [ray] address"
ENDED = ("SUCCEEDED", "FAILED", "STOPPED")
DIED = ("JOB_SUPERVISOR_ACTOR_DIED", "JOB_SUPERVISOR_ACTOR_UNKNOWN_FAILURE")
"""What Ray says of a job whose node is gone."""


class Job(msgspec.Struct, frozen=True):
    """What Ray knows of a job.

    Attributes:
        status: PENDING, RUNNING, SUCCEEDED, FAILED or STOPPED.
        message: Why, with the end of its log where it failed.
        error_type: What failed, in Ray's words; None where nothing did.
        driver_exit_code: What the process left with.
        driver_node_id: Where it ran; None before it does.
    """

    status: str
    message: str | None = None
    error_type: str | None = None
    driver_exit_code: int | None = None
    driver_node_id: str | None = None


class Jobs:
    """The jobs of one cluster.

    Args:
        address: Of the dashboard.
        token: Gives the cluster's token; empty where it asks for none.
        timeout_s: How long connecting, and each wait for bytes, may take.
    """

    def __init__(self, address: str, token: Callable[[], str] = str, timeout_s: float = TIMEOUT_S) -> None:
        self.address = address.rstrip("/")
        self._token = token
        self._timeout_s = timeout_s
        # No proxy of the environment, which the token would go through, and no redirect, which it would follow.
        self._opener = urllib.request.build_opener(urllib.request.ProxyHandler({}), _NoRedirect)

    def find(self, name: str) -> Job | None:
        """Return what Ray knows of a job; None where it knows none of that name.

        Raises:
            Unavailable: Ray does not answer.
            AccessDenied: It refuses the token.
        """
        answer = self._ask("GET", f"/api/jobs/{quote(name)}", None, absent=True)
        try:
            return None if answer is None else msgspec.convert(answer, Job)
        except msgspec.ValidationError as error:
            raise Unavailable(f"{self.address} does not answer as Ray does: {error}", hint=_HINT) from None

    def submit(self, name: str, entrypoint: str, step: Step, labels: dict[str, str]) -> None:
        """Have a job begin as soon as a node has room for the step.

        Args:
            name: No other job of the cluster has it, or the submission is refused.
            entrypoint: The command; everybody who sees the dashboard reads it.
            step: What it needs.
            labels: Shown beside it.

        Raises:
            Conflict: There is a job of that name, or Ray does not take it.
            Unavailable: Ray does not answer; it may have taken the job.
            AccessDenied: It refuses the token.
        """
        body: dict[str, Any] = {
            "entrypoint": entrypoint,
            "submission_id": name,
            "metadata": labels,
            "entrypoint_num_cpus": step.cpu,
            "entrypoint_num_gpus": step.gpu,
            "entrypoint_memory": step.memory_bytes or 0,
        }
        self._ask("POST", "/api/jobs/", body)

    def stop(self, name: str) -> None:
        """Ask a job to end: SIGTERM, and SIGKILL three seconds later; one that is not there or has ended stays so.

        Raises:
            Unavailable: Ray does not answer.
            AccessDenied: It refuses the token.
        """
        self._ask("POST", f"/api/jobs/{quote(name)}/stop", {}, absent=True)

    def _ask(self, method: str, path: str, body: Any, *, absent: bool = False) -> Any:
        headers = {"Content-Type": "application/json", "User-Agent": "falaj"}
        token = self._token()
        if not (token.isascii() and token.isprintable()):  # the library would say it in its error
            raise AccessDenied("Ray's token is not one line of printable ASCII", hint="correct the secret")
        if token:
            headers["Authorization"] = f"Bearer {token}"
        data = None if body is None else to_json(body).encode()
        try:
            request = urllib.request.Request(self.address + path, data, headers, method=method)  # noqa: S310 - http(s)
            with self._opener.open(request, timeout=self._timeout_s) as answer:
                return json.loads(answer.read(_MOST_BYTES))
        except urllib.error.HTTPError as error:
            with error:
                return self._refused(error, absent=absent)
        except (OSError, http.client.HTTPException, ValueError) as error:
            raise Unavailable(
                f"Ray at {self.address} does not answer: {error}",
                hint=_HINT,
            ) from None

    def _refused(self, error: urllib.error.HTTPError, *, absent: bool) -> None:
        if error.code == http.client.NOT_FOUND and absent:
            return
        answer = error.read(_MOST_BYTES).decode(errors="replace").strip()
        said = answer[-_MOST_SAID:]
        if error.code in _REFUSED:
            raise AccessDenied(
                f"Ray at {self.address} refuses the token ({error.code})",
                hint="[ray] token names the secret that holds what 'ray get-auth-token' prints on the head node",
            )
        if error.code >= http.client.INTERNAL_SERVER_ERROR and "already exists" not in answer:
            raise Unavailable(f"Ray at {self.address} answered {error.code}: {said}")
        raise Conflict(f"Ray at {self.address} did not take it ({error.code}): {said}")


class _NoRedirect(urllib.request.HTTPRedirectHandler):
    def redirect_request(self, *args: Any) -> None:
        del args


def refuse_unsafe(settings: RaySettings) -> None:
    """Return if there is a Ray to send jobs to, and nobody on the way can put in jobs of their own.

    Raises:
        DefinitionError: There is no address, or it is another machine's and without TLS.
    """
    if not settings.address:
        raise DefinitionError(
            "a step runs on Ray, and there is no address of one",
            hint="set [ray] address = 'http://127.0.0.1:8265' in falaj.toml, or FALAJ_RAY_ADDRESS",
        )
    parts = urlsplit(settings.address)
    if parts.scheme == "http" and not is_loopback(parts.hostname or "") and not settings.plain_http:
        raise DefinitionError(
            f"[ray] address {settings.address} is another machine's, without TLS: whoever is on the way could run "
            "what they like there",
            hint="give an https address, or one of a tunnel on 127.0.0.1; where the network encrypts by itself, set "
            "[ray] plain_http = true",
        )
