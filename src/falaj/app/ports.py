"""TCP ports: is one free, and who has it otherwise?"""

import contextlib
import errno
import socket
from pathlib import Path

from falaj.kernel.errors import PortInUse, ProjectError

_BACKLOG = 1024


def listen(host: str, port: int, *, setting: str) -> socket.socket:
    """Return a socket that listens on the address; a child process may inherit it.

    Raises:
        PortInUse: Another program listens there.
        ProjectError: The address is not one of this machine.
    """
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    listener = socket.socket(family, socket.SOCK_STREAM)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    _bind(listener, host, port, setting)
    listener.listen(_BACKLOG)
    listener.set_inheritable(True)
    return listener


def refuse_taken(host: str, port: int, *, setting: str) -> None:
    """Return if nothing listens on the address.

    Args:
        host: The address to listen on.
        port: The port.
        setting: The setting that chooses it, for the hint.

    Raises:
        PortInUse: Another program listens there.
        ProjectError: The address is not one of this machine.
    """
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.socket(family, socket.SOCK_STREAM) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        _bind(probe, host, port, setting)


def is_free(host: str, port: int) -> bool:
    """Return whether nothing listens on the address."""
    try:
        refuse_taken(host, port, setting="gateway.port")
    except PortInUse:
        return False
    return True


def free_port(host: str) -> int:
    """Return a port on which nothing listens now."""
    with socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET, socket.SOCK_STREAM) as probe:
        probe.bind((host, 0))
        return int(probe.getsockname()[1])


def _bind(taker: socket.socket, host: str, port: int, setting: str) -> None:
    section, name = setting.split(".")
    try:
        taker.bind((host, port))
    except OSError as error:
        taker.close()
        if error.errno == errno.EADDRINUSE:
            raise PortInUse(
                f"port {port} on {host} is taken by {_holder(port) or 'another program'}",
                hint="if it is Falaj's own of another folder, end it there with 'falaj down'; otherwise set "
                f"[{section}] {name} in falaj.toml, or FALAJ_{section.upper()}_{name.upper()}",
            ) from None
        raise ProjectError(
            f"cannot listen on {host}:{port}: {error.strerror}", hint=f"correct {section}.host or {setting}"
        ) from None


def _holder(port: int) -> str:
    """Return the process that listens on a port, as far as the system tells this user; empty where it does not."""
    listening = "0A"
    sockets = set()
    for table in ("/proc/net/tcp", "/proc/net/tcp6"):
        with contextlib.suppress(OSError):
            for line in Path(table).read_text(encoding="ascii").splitlines()[1:]:
                words = line.split()
                if words[3] == listening and int(words[1].rpartition(":")[2], 16) == port:
                    sockets.add(f"socket:[{words[9]}]")
    for process in sorted(Path("/proc").glob("[0-9]*"), key=lambda path: int(path.name)):  # the eldest first
        with contextlib.suppress(OSError):
            if any(str(fd.readlink()) in sockets for fd in (process / "fd").iterdir()):
                # Its name and not its words, among which may be what nobody should read in a log.
                return f"process {process.name} ({(process / 'comm').read_text(errors='replace').strip()})"
    return ""
