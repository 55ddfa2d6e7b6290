"""The client: an operation goes to the running control, or is done in this process under the project's lock."""

import json
import math
import time
import urllib.error
import urllib.request
from pathlib import Path
from typing import Any, TypeVar
from urllib.parse import quote

import msgspec

from falaj.app.running import RunningControl, find_control, owner_token
from falaj.app.values.prediction import LocalPredict
from falaj.kernel.codec import convert
from falaj.kernel.errors import FalajError, InputError, Locked, Unauthenticated, Unavailable, error_by_code
from falaj.kernel.settings import Settings, load_settings

T = TypeVar("T")
_TIMEOUT_S = 600.0
_STARTING_S = 10.0
_LOOK_EVERY_S = 0.05


class Client:
    """Carries operations out for one actor.

    Args:
        folder: The project's folder.
        token: Who acts; the owner's own token, kept in the state folder, by default.

    Raises:
        ProjectError: The folder holds no project.
        Unauthenticated: The token is no text that a token could be.
    """

    def __init__(self, folder: Path, token: str | None = None) -> None:
        if token is not None and not (token.isascii() and token.isprintable() and token.strip()):
            # An empty one too: `--token "$UNSET"` must not act as the owner.
            raise Unauthenticated(
                "the token given is empty, or holds characters that no token has",
                hint="give the text that 'falaj token create' printed",
            )
        self.folder = folder.resolve()
        self.settings: Settings = load_settings(self.folder)
        self._token = token

    @property
    def state(self) -> Path:
        """The state folder."""
        return self.folder / self.settings.storage.path

    @property
    def token(self) -> str | None:
        """The token sent with each request."""
        return self._token or owner_token(self.state)

    def control(self) -> RunningControl | None:
        """Return the running control of this project, if there is one."""
        return find_control(self.state)

    def perform(self, operation: str, params: msgspec.Struct, result: type[T]) -> T:
        """Carry out one operation.

        Args:
            operation: Its name, such as "model.train".
            params: Its parameters.
            result: The type of what it returns.

        Raises:
            FalajError: Whatever the operation raises, the same here as from a running control.
        """
        value = self._perform(operation, params, time.monotonic() + _STARTING_S)
        return convert(msgspec.to_builtins(value), result, what=operation)

    def _perform(self, operation: str, params: msgspec.Struct, deadline: float) -> Any:
        running = self.control()
        if running is not None:
            return self._ask(running, operation, params)
        from falaj.app.local import perform_local

        try:
            return perform_local(self.folder, self.settings, self._token, operation, params)
        except Locked:
            from falaj.app.supervisor import find_supervisor

            if find_supervisor(self.state) is None or time.monotonic() > deadline:
                raise
        time.sleep(_LOOK_EVERY_S)  # a control that is starting has the project, and will answer in a moment
        return self._perform(operation, params, deadline)

    def _ask(self, running: RunningControl, operation: str, params: msgspec.Struct) -> Any:
        if self.token is None:
            raise Unauthenticated(
                f"no token was given, and the owner's, {self.state / 'owner.token'}, is not there",
                hint="give one with --token or FALAJ_TOKEN; 'falaj down' and the next command make the owner a new one",
            )
        request = urllib.request.Request(  # noqa: S310 - the address comes from our own state folder
            f"{running.url}/v1/operations/{operation}",
            data=msgspec.json.encode(params),
            headers={"content-type": "application/json", "authorization": f"Bearer {self.token}"},
        )
        return http_json(request)


def http_json(request: urllib.request.Request, *, timeout_s: float = _TIMEOUT_S) -> Any:
    """Send a request and return the JSON of its answer.

    Raises:
        FalajError: The server answered with an error; it is raised again here with its code and hint.
        Unavailable: Nothing answers at the address.
    """
    try:
        with urllib.request.urlopen(request, timeout=timeout_s) as answer:  # noqa: S310 - see the caller
            return json.loads(answer.read() or b"null")
    except urllib.error.HTTPError as error:
        raise _from_answer(error.code, error.read()) from None
    except (urllib.error.URLError, ConnectionError, TimeoutError) as error:
        reason = getattr(error, "reason", error)
        raise Unavailable(
            f"{request.full_url} does not answer: {reason}", hint="start it with 'falaj up', or look at its log"
        ) from None


def _from_answer(status: int, body: bytes) -> FalajError:
    try:
        fault = json.loads(body)
        return error_by_code(fault.get("code", ""), fault["error"], fault.get("hint", ""))
    except (ValueError, KeyError, TypeError, AttributeError):
        return Unavailable(f"the server answered {status}: {body[:200].decode(errors='replace')}")


def decide(client: Client, endpoint: str, body: dict[str, Any]) -> dict[str, Any]:
    """Ask an endpoint for one decision, by the gateway if control runs, and in this process otherwise.

    Args:
        client: Who asks, and where.
        endpoint: Which endpoint.
        body: As the gateway takes it: entities, request, id, unit, at.

    Raises:
        InputError: A value is not a number that JSON can carry, or not what the signature says.
        NotFound: Nothing serves there.
        Unavailable: Control runs and the gateway does not.
    """
    if not endpoint:
        raise InputError("the endpoint's name is empty", hint="list them with 'falaj status'")
    for part in ("entities", "request"):
        for name, value in body.get(part, {}).items():
            if isinstance(value, float) and not math.isfinite(value):
                raise InputError(
                    f"{part} field {name!r} is {value}, which is not a number", hint="send null if it is not known"
                )
    if client.control() is None:
        return client.perform("endpoint.predict", LocalPredict(endpoint, [body]), list[dict[str, Any]])[0]
    answer: dict[str, Any] = post_gateway(client, f"/v1/endpoints/{quote(endpoint, safe='')}/predict", body)
    return answer


def post_gateway(client: Client, path: str, body: Any) -> Any:
    """Send JSON to the project's gateway and return the JSON of its answer.

    Raises:
        FalajError: The gateway answered with an error.
        Unavailable: It does not run.
    """
    request = urllib.request.Request(  # noqa: S310 - our own address from the settings
        f"{client.settings.gateway.url}{path}",
        data=msgspec.json.encode(body),
        headers={"content-type": "application/json", "authorization": f"Bearer {client.token or ''}"},
    )
    return http_json(request)
