"""Commands about processes: up, down, control, gateway."""

import socket
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from contextlib import nullcontext
from importlib.util import find_spec
from pathlib import Path

import click

from falaj.app.online import check_online, reach_online
from falaj.app.running import find_control
from falaj.app.scaling import Load, Scaling, read_load
from falaj.app.supervisor import Supervisor, find_supervisor, stop_supervisor
from falaj.app.worker_name import worker_name
from falaj.cli.command import FalajCommand, Session, pass_session
from falaj.cli.started import Started
from falaj.kernel.errors import Conflict, ExtraMissing, StorageError
from falaj.kernel.settings import Settings, load_settings
from falaj.storage.folder import StateFolder
from falaj.storage.shared import is_to_be_filled, refuse_foreign, share


@click.command(cls=FalajCommand)
@click.option("--detach", is_flag=True, help="Return once everything is ready; stop it with 'falaj down'.")
@click.option("--workers", type=click.IntRange(1, 64), help="Gateway workers; the setting gateway.workers by default.")
@pass_session
def up(session: Session, *, detach: bool, workers: int | None) -> None:
    """Start control and gateway, and keep them running.

    Example: falaj up --detach
    """
    client = session.client()
    StateFolder.of(client.folder, client.settings.storage).create()
    count = workers or client.settings.gateway.workers
    _refuse_running(client.state)
    reach_online(client.settings)
    _share(client.folder, client.settings)
    _refuse_taken_ports(client.settings)
    if detach:
        started = _detach(client.folder, client.state, count)
        addresses = _addresses(client.settings)
        ready = {"control": f"{addresses['control']}/healthz", "gateway": f"{addresses['gateway']}/v2/health/ready"}
        Started(client.state, started, ready).wait()
        session.show(_addresses(client.settings), lambda: _print_addresses(client.settings, client.token))
        return
    supervisor = _supervisor(client.folder, client.settings, count, with_control=True, say=session.say)
    if not session.as_json:
        _print_addresses(client.settings, client.token)
        click.echo("stop with Ctrl-C")
    supervisor.run()


@click.command(cls=FalajCommand)
@pass_session
def down(session: Session) -> None:
    """Stop what 'falaj up' started: gateways finish what they have, control ends last.

    Example: falaj down
    """
    stopped = stop_supervisor(session.client().state)
    session.show({"stopped": stopped}, lambda: click.echo("stopped" if stopped else "nothing was running"))


@click.command(cls=FalajCommand)
@pass_session
def control(session: Session) -> None:
    """Run the control process alone, in the foreground.

    Example: falaj control
    """
    from falaj.cli.control_main import run

    client = session.client()
    if find_control(client.state) is not None:
        raise Conflict("a control process already runs here", hint="stop it with 'falaj down'")
    _share(client.folder, client.settings)
    run(client.folder)


@click.command(cls=FalajCommand)
@click.option("--workers", type=click.IntRange(1, 64), help="Workers; the setting gateway.workers by default.")
@pass_session
def gateway(session: Session, *, workers: int | None) -> None:
    """Run the gateway alone, in the foreground.

    On a machine of its own it needs Redis, the folder storage.shared, and settings: falaj.toml, or FALAJ_PROJECT_NAME
    and the others from the environment.

    Example: falaj gateway --workers 2
    """
    folder = session.folder.resolve()
    settings = load_settings(folder, need_file=False)
    state = StateFolder.of(folder, settings.storage)
    check_online(settings)
    refuse_foreign(state, settings.project.name)
    state.create()
    _refuse_running(state.path)
    _check_grpc(settings)
    count = workers or settings.gateway.workers
    try:
        reach_online(settings, filled=True)
    except StorageError as error:  # control may fill it later than gateways start
        session.say(f"not ready until this is over: {error.message}; {error.hint}")
    _supervisor(folder, settings, count, with_control=False, say=session.say).run()


def _share(folder: Path, settings: Settings) -> None:
    """Fill a shared folder before gateways write in it, and where the person at the terminal reads of it."""
    state = StateFolder.of(folder, settings.storage)
    with state.lock() if is_to_be_filled(state) else nullcontext():
        share(state, settings.project.name, lambda said: click.echo(said, err=True))


def _refuse_running(state: Path) -> None:
    running = find_supervisor(state)
    if running is not None:
        raise Conflict(f"Falaj already runs here (process {running.pid})", hint="stop it with 'falaj down'")


def _supervisor(
    folder: Path, settings: Settings, workers: int, *, with_control: bool, say: Callable[[str], None]
) -> Supervisor:  # fmt: skip
    """Listen, and return the supervisor of a gateway, which begins with so many workers."""
    from falaj.app.ports import listen

    gateway, state = settings.gateway, StateFolder.of(folder, settings.storage)
    listener = listen(gateway.host, gateway.port, setting="gateway.port")
    scaling = Scaling(
        min(gateway.min_workers or workers, workers),
        max(gateway.max_workers or workers, workers),
        target_ms=gateway.target_ms,
        shrink_s=gateway.shrink_s,
    )

    def look(numbers: Sequence[int]) -> Load:
        names = [worker_name(settings, number) for number in numbers]
        return read_load(state.stats, names, gateway.target_ms, time.time_ns() // 1000)

    return Supervisor(
        state.path, folder, listener, workers=workers, with_control=with_control, say=say,
        scaling=None if scaling.fixed else scaling, look=look, grpc_listener=_grpc_listener(settings),
    )  # fmt: skip


def _grpc_listener(settings: Settings) -> socket.socket | None:
    from falaj.app.ports import listen

    gateway = settings.gateway
    return listen(gateway.host, gateway.grpc_port, setting="gateway.grpc_port") if gateway.grpc_port else None


def _refuse_taken_ports(settings: Settings) -> None:
    from falaj.app.ports import refuse_taken

    refuse_taken(settings.control.host, settings.control.port, setting="control.port")
    refuse_taken(settings.gateway.host, settings.gateway.port, setting="gateway.port")
    _check_grpc(settings)


def _check_grpc(settings: Settings) -> None:
    from falaj.app.ports import refuse_taken

    port = settings.gateway.grpc_port
    if not port:
        return
    if find_spec("grpc") is None or find_spec("google.protobuf") is None:
        raise ExtraMissing("gateway.grpc_port is set, and gRPC is not installed", hint="pip install 'falaj[grpc]'")
    refuse_taken(settings.gateway.host, port, setting="gateway.grpc_port")


def _detach(folder: Path, state: Path, workers: int) -> "subprocess.Popen[bytes]":
    log = state / "log" / "supervisor.log"
    command = [sys.executable, "-m", "falaj.cli.main", "up", "--project", str(folder), "--workers", str(workers)]
    with log.open("wb") as out:
        return subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=out, stderr=out, start_new_session=True)


def _addresses(settings: Settings) -> dict[str, str]:
    return {
        "control": settings.control.url,
        "gateway": settings.gateway.url,
    }


def _print_addresses(settings: Settings, token: str | None) -> None:
    addresses = _addresses(settings)
    # After '#' the token stays in the browser: it is sent in no request line and stands in no server's log.
    page = f"{addresses['control']}/#token={token}" if token and sys.stdout.isatty() else addresses["control"]
    click.echo(f"page      {page}")
    click.echo(f"MLflow    {addresses['control']}/mlflow/")
    click.echo(f"endpoints {addresses['gateway']}/v1/endpoints/NAME/predict")
    if settings.gateway.grpc_port:
        click.echo(f"gRPC      {settings.gateway.host}:{settings.gateway.grpc_port}")
