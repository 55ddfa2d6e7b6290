"""What Ray is asked, where it answers strangely or not at all; and where jobs may be sent."""

import contextlib
import socket
import threading
from collections.abc import Iterator

import pytest

from falaj.kernel.errors import AccessDenied, Conflict, DefinitionError, Unavailable
from falaj.kernel.ray_settings import RaySettings
from falaj.pipelines.graph import Step
from falaj.pipelines.ray.jobs import Jobs, refuse_unsafe
from support.ray_cluster import RayCluster
from support.waiting import until

STEP = Step(name="a", function="m:f", executor="ray", cpu=1)


@contextlib.contextmanager
def answering(*parts: bytes) -> Iterator[str]:
    """Listen, send the parts to whoever asks, and keep the connection open until the block ends."""
    with socket.create_server(("127.0.0.1", 0)) as server, contextlib.ExitStack() as held:

        def answer() -> None:
            with contextlib.suppress(OSError):
                while True:
                    connection = held.enter_context(server.accept()[0])
                    connection.recv(1 << 16)
                    for part in parts:
                        connection.sendall(part)
                    if parts:
                        connection.shutdown(socket.SHUT_WR)

        thread = threading.Thread(target=answer, daemon=True)
        thread.start()
        yield f"http://127.0.0.1:{server.getsockname()[1]}"
        server.shutdown(socket.SHUT_RDWR)
        thread.join()


@pytest.mark.parametrize(
    "said",
    [
        (),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nnot JSON!",),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n[]",),
        (b"SSH-2.0-OpenSSH_9.2\r\n",),
        (b"HTTP/1.1 503 Service Unavailable\r\nContent-Length: 4\r\n\r\nbusy",),
        (b"HTTP/1.1 302 Found\r\nLocation: http://127.0.0.1:1/\r\nContent-Length: 0\r\n\r\n",),
    ],
    ids=["silence", "no JSON", "no job", "no HTTP", "busy", "redirect"],
)
def test_who_does_not_answer_as_ray_is_no_ray(said: tuple[bytes, ...]) -> None:
    with answering(*said) as address, pytest.raises((Unavailable, Conflict), match=r"http://127\.0\.0\.1"):
        Jobs(address, timeout_s=0.3).find("a")


def test_nobody_listens() -> None:
    with pytest.raises(Unavailable, match="does not answer") as raised:
        Jobs("http://127.0.0.1:1").find("a")
    assert raised.value.hint == "start it, or correct [ray] address"


def test_a_name_is_taken_once_and_a_job_that_is_not_there_is_none(ray: RayCluster) -> None:
    jobs, name = ray.jobs, "falaj-once"
    assert jobs.find(name) is None
    jobs.submit(name, "exit 3", STEP, {})
    with pytest.raises(Conflict, match="already exists"):
        jobs.submit(name, "exit 4", STEP, {})
    until(lambda: (found := jobs.find(name)) is not None and found.status == "FAILED", "the job has ended")
    job = jobs.find(name)
    assert job is not None
    assert (job.driver_exit_code, job.error_type) == (3, "JOB_ENTRYPOINT_COMMAND_ERROR")
    jobs.stop(name)
    jobs.stop("falaj-never")


def test_a_token_is_asked_for(ray: RayCluster) -> None:
    for token in ("", "0" * 64):
        with pytest.raises(AccessDenied, match="refuses the token") as raised:
            Jobs(ray.address, lambda token=token: token).find("a")  # type: ignore[misc]
        assert "ray get-auth-token" in raised.value.hint


@pytest.mark.parametrize("token", ["s3cret\r", "s3cret\nX-More: 1", "s3crét"])
def test_a_token_that_no_header_can_hold_is_not_told(token: str) -> None:
    with pytest.raises(AccessDenied) as raised:
        Jobs("http://127.0.0.1:1", lambda: token).find("a")
    assert "s3c" not in f"{raised.value} {raised.value.hint}"


@pytest.mark.parametrize(
    ("settings", "refused"),
    [
        (RaySettings(), "there is no address"),
        (RaySettings(address="http://127.0.0.1:8265"), ""),
        (RaySettings(address="http://[::1]:8265"), ""),
        (RaySettings(address="https://ray.example"), ""),
        (RaySettings(address="http://ray.example:8265"), "without TLS"),
        (RaySettings(address="http://10.0.0.7:8265"), "without TLS"),
        (RaySettings(address="http://10.0.0.7:8265", plain_http=True), ""),
    ],
)
def test_jobs_go_where_nobody_on_the_way_can_read_or_write(settings: RaySettings, refused: str) -> None:
    with contextlib.nullcontext() if not refused else pytest.raises(DefinitionError, match=refused):
        refuse_unsafe(settings)


@pytest.mark.parametrize(
    "address",
    [
        "ray://127.0.0.1:10001",
        "127.0.0.1:8265",
        "auto",
        "http://a:b@127.0.0.1",
        "http://h:99999",
        "http://h/x",
        "h://x",
    ],
)
def test_an_address_is_that_of_a_dashboard(address: str) -> None:
    with pytest.raises(ValueError, match="not that of a dashboard"):
        RaySettings(address=address)


def test_jobs_are_one_at_least() -> None:
    with pytest.raises(ValueError, match="jobs 0 is below 1"):
        RaySettings(jobs=0)
