"""A step in a container of an exported pipeline: folders in, folders out, and how the process ends."""

import json
import os
import subprocess
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest

import falaj
from falaj.definitions.pipeline import trace_of
from falaj.kernel.errors import DataError
from falaj.pipelines.exports.plan import shape_of
from falaj.pipelines.handover import Handover, Part, gather_handovers, read_handover, write_handover
from falaj.pipelines.outputs import Output
from falaj.pipelines.traced import graph_of

RUN = [sys.executable, "-m", "falaj.pipelines.container"]
SOURCE = str(Path(falaj.__file__).parents[1])
FILE = """
import datetime
import time
from pathlib import Path

import falaj as fj


@fj.step
def numbers(many: int, day: datetime.date) -> list[int]:
    print("numbers of", day, flush=True)
    return list(range(many))


@fj.step
def square(one: int) -> int:
    return one * one


@fj.step
def publish(found: list[int], key: fj.Secret) -> str:
    print("with", key.reveal())
    if sum(found) > 100:
        raise OSError(f"refused {key.reveal()}")
    return "published"


@fj.step
def report(text: str | None) -> str:
    return text or "nothing"


@fj.step(timeout="1s")
def hang(file: Path) -> None:
    if file.read_text() == "hang":
        while True:
            time.sleep(60)


@fj.pipeline(at="day")
def nightly(day: datetime.date, many: int = 3, twice: bool = False) -> None:
    found = square.map(numbers(many, day))
    report(publish(found, fj.secret("SHOP_KEY"), when=found[1] == 1))
    hang(Path("what.txt"))
    if twice:
        square.map(numbers(many, day))
"""


class Containers:
    """Runs containers of one project, as Argo lays their folders out."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.place = folder / "place"
        (folder / "etl.py").write_text(FILE)
        (folder / "what.txt").write_text("go on")
        space: dict[str, Any] = {"__name__": "etl"}
        exec(compile(FILE, "etl.py", "exec"), space)  # noqa: S102 the file above
        trace, _ = trace_of("nightly", space["nightly"].__dict__["declared"], {"day": "2026-01-31"})
        self.shape = shape_of(graph_of("nightly", trace))

    def __call__(
        self, work: str, step: str, *more: str, params: Sequence[str] = (), **environment: str
    ) -> "subprocess.CompletedProcess[str]":
        words = [f"--{name}={value}" for name, value in self.words.items()]
        return subprocess.run(
            [*RUN, "argo", work, f"--step={step}", *words, *more, "--param", "day=2026-01-31", *params],
            capture_output=True,
            text=True,
            check=False,
            env={**os.environ, "PYTHONPATH": SOURCE, "SHOP_KEY": "open sesame"} | environment,
        )

    @property
    def words(self) -> dict[str, str]:
        """What every container is told."""
        return {"pipeline": "etl:nightly", "shape": self.shape, "folder": str(self.folder), "at": str(self.place)}

    def put(self, step: str, value: Any, **more: Any) -> None:
        write_handover(self.place / "falaj-inputs" / step, {"result": value}, **more)

    def gave(self) -> Any:
        return read_handover(self.place / "falaj-outputs").outputs["result"].value

    def decided(self, key: str) -> Any:
        return json.loads((self.place / "falaj-decisions" / key).read_text())


@pytest.fixture
def container(tmp_path: Path) -> Containers:
    return Containers(tmp_path)


def test_a_step_gives_and_says_over_what_the_next_one_goes(container: Containers) -> None:
    done = container("run", "numbers", "--decide=parts:square", params=["many=3"])
    assert (done.returncode, done.stdout) == (0, "numbers of 2026-01-31\n"), done.stderr
    assert (container.gave(), container.decided("parts-square")) == ([0, 1, 2], [0, 1, 2])


def test_the_instant_of_a_schedule_is_one_of_the_pipelines_time_zone(container: Containers) -> None:
    instant = ["--instant=day=2026-01-31T23:30:00Z", "--time-zone=Europe/Berlin"]
    done = container("run", "numbers", *instant)
    assert (done.returncode, done.stdout) == (0, "numbers of 2026-02-01\n"), done.stderr
    assert "no instant" in container("run", "numbers", "--instant=day={{workflow.scheduledTime}}").stderr


def test_one_part_and_none(container: Containers) -> None:
    container.put("numbers", [4, 5])
    assert container("part", "square", "--part=1").returncode == 0
    assert read_handover(container.place / "falaj-outputs").part == Part(1, 2)
    assert container.gave() == 25
    beyond = container("part", "square", "--part=2")
    assert (beyond.returncode, "goes over 2 parts" in beyond.stderr) == (3, True)
    container.put("numbers", [])
    assert container("part", "square", "--part=-1").returncode == 0
    assert read_handover(container.place / "falaj-outputs") == Handover(part=Part(-1))


def test_what_parts_gave_is_gathered_and_decided_upon(container: Containers) -> None:
    for at in (1, 0):
        write_handover(container.place / "falaj-parts" / str(at), {"result": at}, part=Part(at, 2))
    assert container("gather", "square", "--decide=go:publish").returncode == 0
    assert (container.gave(), container.decided("go-publish")) == ([0, 1], True)


def test_a_condition_that_cannot_be_told_is_the_steps_own_error(container: Containers) -> None:
    container.put("square", [])
    assert container("decide", "publish", "--decide=go:publish").returncode == 0
    assert container.decided("go-publish") is True
    failed = container("run", "publish")
    assert (failed.returncode, "square gave no 1" in failed.stderr) == (3, True)


def test_what_is_not_wanted_is_skipped_and_says_so(container: Containers) -> None:
    container.put("square", [0, 2])
    done = container("run", "publish")
    assert (done.returncode, read_handover(container.place / "falaj-outputs").skipped) == (0, True)
    assert "skipped" in done.stdout
    container.put("publish", None, skipped=True)
    assert container("run", "report").returncode == 0
    assert container.gave() == "nothing"


def test_what_argo_skipped_left_nothing_at_all(container: Containers) -> None:
    assert container("run", "report").returncode == 0
    assert container.gave() == "nothing"
    missing = container("run", "publish")
    assert (missing.returncode, "what step 'square' gave is not there" in missing.stderr) == (3, True)


def test_a_failure_says_whether_another_try_helps_and_hides_secrets(container: Containers) -> None:
    container.put("square", [100, 1])
    failed = container("run", "publish")
    assert (failed.returncode, "OSError: refused ***" in failed.stderr) == (1, True)
    assert "with ***" in failed.stdout
    assert "sesame" not in failed.stdout + failed.stderr
    absent = container("run", "publish", SHOP_KEY="")
    assert (absent.returncode, "secret 'SHOP_KEY' is not there" in absent.stderr) == (3, True)


def test_a_step_that_takes_too_long_is_ended(container: Containers) -> None:
    assert container("run", "hang", "--timeout-s=60").returncode == 0
    (container.folder / "what.txt").write_text("hang")
    ended = container("run", "hang", "--timeout-s=1")
    assert (ended.returncode, "Timeout (0:00:01)!" in ended.stderr) == (1, True)


def test_another_shape_than_was_exported_is_refused(container: Containers) -> None:
    refused = container("run", "numbers", params=["twice=true"])
    assert (refused.returncode, "has other steps" in refused.stderr) == (3, True)
    (container.folder / "etl.py").write_text("import nothing_of_that_name")
    gone = container("run", "numbers")
    assert (gone.returncode, "cannot be imported" in gone.stderr) == (3, True)


def test_kubeflow_says_where_things_lie(container: Containers, tmp_path: Path) -> None:
    container.put("numbers", [4, 5])
    place, numbers = tmp_path / "kfp", container.place / "falaj-inputs" / "numbers"
    own = {"name": "outputs", "uri": str(place / "falaj-outputs"), "metadata": {}}
    given = {
        "inputs": {
            "parameterValues": {"day": "2026-01-31", "many": 2, "falaj-part": 1, "pipelinechannel--a--parts-b": [0]},
            "artifacts": {"numbers": {"artifacts": [{"uri": "s3://b", "customPath": str(numbers)}]}},
        },
        "outputs": {"artifacts": {"outputs": {"artifacts": [own]}}, "outputFile": str(place / "executor_output.json")},
    }
    words = [f"--{name}={value}" for name, value in container.words.items()]
    done = subprocess.run(
        [
            *(*RUN, "kubeflow", "part", "--step=square", *words),
            *("--executor-input", json.dumps(given)),
        ],
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, "PYTHONPATH": SOURCE},
    )
    assert done.returncode == 0, done.stderr
    assert read_handover(place / "falaj-outputs").outputs["result"].value == 25
    told = json.loads((place / "executor_output.json").read_text())
    assert told == {"artifacts": {"outputs": {"artifacts": [{**own, "metadata": {"result": 25}}]}}}


def test_parts_that_are_missing_or_twice_are_refused(tmp_path: Path) -> None:
    for at in range(3):
        write_handover(tmp_path / str(at), {"result": at}, part=Part(at, 3))
    given = [tmp_path / str(at) for at in range(3)]
    assert gather_handovers(given, tmp_path / "all").outputs["result"].value == [0, 1, 2]
    for parts in ([], given[:2], given[1:], [*given, given[0]], [given[0], given[1], given[1]]):
        with pytest.raises(DataError, match="not all of a list"):
            gather_handovers(parts, tmp_path / "all")
    with pytest.raises(DataError, match="holds no outputs of a step"):
        read_handover(tmp_path)


def test_files_travel_by_digest(tmp_path: Path) -> None:
    makes: Callable[[int], Path] = lambda at: tmp_path / f"{at}.txt"  # noqa: E731
    for at in (0, 1):
        makes(at).write_text("same")
        tree = {"$kept": "file", "$output": "result.txt", "$name": makes(at).name}
        write_handover(tmp_path / f"part{at}", {"result": tree, "result.txt": makes(at)}, part=Part(at, 2))
    whole = gather_handovers([tmp_path / "part1", tmp_path / "part0"], tmp_path / "all")
    assert [one["$name"] for one in whole.outputs["result"].value] == ["0.txt", "1.txt"]
    assert [path.read_text() for path in (tmp_path / "all" / "blobs").iterdir()] == ["same"]
    assert isinstance(whole.outputs["0.result.txt"], Output)
