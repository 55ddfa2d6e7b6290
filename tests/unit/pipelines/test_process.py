"""Dead workers are told from live ones, and from later processes with their pid."""

import os
import subprocess
import sys

import msgspec

from falaj.pipelines.process import WorkerId, process_start, this_host, this_worker


def test_this_process_is_alive_and_its_name_can_be_read_back() -> None:
    me = this_worker()
    assert WorkerId.parse(str(me)) == me
    assert me.pid == os.getpid()
    assert not me.is_gone(this_host())
    assert me != this_worker()


def test_a_host_name_with_bars_can_be_read_back() -> None:
    odd = WorkerId("a|b", 1, "2", "3")
    assert WorkerId.parse(str(odd)) == odd


def test_an_ended_process_is_gone_even_before_its_parent_looks() -> None:
    child = subprocess.Popen([sys.executable, "-S", "-c", ""], stdout=subprocess.PIPE)
    worker = WorkerId(this_host(), child.pid, process_start(child.pid) or "", "0")
    assert child.stdout is not None
    child.stdout.read()
    os.waitid(os.P_PID, child.pid, os.WEXITED | os.WNOWAIT)
    assert worker.is_gone(this_host())
    child.wait()
    child.stdout.close()
    assert worker.is_gone(this_host())


def test_a_reused_pid_is_another_process() -> None:
    assert msgspec.structs.replace(this_worker(), started="long ago").is_gone(this_host())


def test_a_worker_elsewhere_is_never_said_to_be_gone() -> None:
    assert not WorkerId("elsewhere", 2**30, "0", "0").is_gone(this_host())
