"""The gateway's root, which loads only what serving may: `python -m falaj.app.gateway FOLDER NUMBER [PARENT FD …]`."""

import logging
import sys
from pathlib import Path

from falaj.app.online import check_online, open_online_reader
from falaj.app.refusal import refuse
from falaj.app.worker_name import worker_name
from falaj.kernel.errors import FalajError, Locked
from falaj.kernel.settings import Settings, load_settings
from falaj.serving.gateway import GatewayConfig, run_worker
from falaj.serving.http import Limits
from falaj.serving.outlets import Watching
from falaj.storage.folder import StateFolder


def config_for(
    folder: Path, settings: Settings, number: int, supervisor: int | None = None, listen_fd: int | None = None,
    grpc_listen_fd: int | None = None,
) -> GatewayConfig:  # fmt: skip
    """Return the configuration of one worker of a project.

    Args:
        folder: The project's folder.
        settings: Its settings.
        number: The worker's number, from 0.
        supervisor: Its supervisor's process id, if there is one.
        listen_fd: The supervisor's listening socket, if it passed one on.
        grpc_listen_fd: The same for gRPC.
    """
    state, gateway = StateFolder.of(folder, settings.storage), settings.gateway
    worker = worker_name(settings, number)
    access_path = None if settings.access_log.to == "stderr" else state.log / "access" / f"{worker}.jsonl"
    return GatewayConfig(
        worker=worker,
        blobs=state.blobs,
        log=state.predictions,
        stats=state.stats,
        run=state.run,
        host=gateway.host,
        port=gateway.port,
        grpc_port=gateway.grpc_port or None,
        listen_fd=listen_fd,
        grpc_listen_fd=grpc_listen_fd,
        supervisor=supervisor,
        limits=Limits(
            max_connections=gateway.max_connections,
            max_body_bytes=gateway.max_body_bytes,
            idle_timeout_s=gateway.idle_timeout_s,
            request_timeout_s=gateway.request_timeout_s,
        ),
        max_rows=gateway.max_rows,
        max_queue_rows=gateway.max_queue_rows,
        max_queue_bytes=gateway.max_queue_bytes,
        mixed_runtimes=gateway.mixed_runtimes,
        python=settings.python,
        python_folder=state.run / "python" / worker,
        online_cache_ms=settings.storage.online_cache_ms if settings.storage.online == "redis" else None,
        fsync_ms=settings.storage.fsync_ms,
        redaction_key=settings.storage.redaction_key,
        watching=Watching(settings.tracing, settings.access_log, access_path, gateway.peer_names),
    )


def main(words: list[str]) -> None:
    """Run one worker until it is told to stop.

    Args:
        words: The project's folder, the worker's number, and optionally the supervisor's process id and the
            descriptors of its listening sockets, that of HTTP first.
    """
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s %(message)s")
    folder = Path(words[0]).resolve()
    try:
        settings = load_settings(folder, need_file=False)
        config = config_for(folder, settings, *map(int, words[1:]))
        check_online(settings)
        online = StateFolder.of(folder, settings.storage).online
        try:
            run_worker(config, lambda: open_online_reader(online, settings))
        except Locked:
            raise Locked(
                f"another gateway worker called {config.worker!r} writes in {config.log}",
                hint="give each gateway a name of its own by gateway.name or FALAJ_GATEWAY_NAME, or end the other one",
            ) from None
    except FalajError as error:
        refuse(error)


if __name__ == "__main__":
    main(sys.argv[1:])
