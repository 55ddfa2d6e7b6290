"""A project whose pipeline uses all that an export has to carry."""

from pathlib import Path
from typing import Any

from falaj.app.backends import workers_for
from falaj.app.operation import perform
from falaj.definitions.project import collect
from falaj.governance.access import Actor, Role
from falaj.lifecycle.apply import apply_definitions
from falaj.lifecycle.project import load_definitions
from falaj.lifecycle.rooms import Rooms
from falaj.pipelines.runs import RunState, get_run, run_steps

ADA = Actor("ada", Role.ENGINEER)
FILE = '''
import datetime
from pathlib import Path
from typing import Any

import pyarrow as pa

import falaj as fj


@fj.step(retries=1, retry_delay="0s", timeout="5m")
def load(day: datetime.date, tried: str) -> pa.Table:
    """Fail when it is called for the first time."""
    if not Path(tried).exists():
        Path(tried).touch()
        raise OSError("not yet")
    return pa.table({"shop": ["a", "b", "a"] * 40, "amount": [1.0, 2.0, float(day.day)] * 40})


@fj.step
def by_shop(rows: pa.Table) -> list[pa.Table]:
    shops = rows["shop"].to_pylist()
    return [rows.filter(pa.array([one == shop for one in shops])).select(["amount"]) for shop in sorted(set(shops))]


@fj.step(cpu=0.5, memory="2GiB")
def total(part: pa.Table, scale: float = 1.0) -> float:
    return sum(part["amount"].to_pylist()) * scale


@fj.step
def summary(totals: list[float]) -> dict[str, float]:
    return {"sum": sum(totals), "shops": len(totals)}


@fj.step(random=True)
def fit(rows: pa.Table) -> object:
    import lightgbm

    data = lightgbm.Dataset(rows["amount"].to_numpy().reshape(-1, 1), [s == "a" for s in rows["shop"].to_pylist()])
    return lightgbm.train({"num_threads": 1, "verbose": -1, "min_data_in_leaf": 1}, data, 3)


@fj.step
def publish(model: Any, found: dict[str, float], key: fj.Secret) -> Path:
    file = Path("published.txt").absolute()
    file.write_text(f"{model.num_trees()} trees for {found['sum']}, {len(key.reveal())} letters")
    print("with", key.reveal())
    return file


@fj.step
def report(text: Path | None, totals: list[float]) -> list[object]:
    return [text and [text.name, text.read_text()], totals]


@fj.step
def tell(found: dict[str, float]) -> str:
    return f"{found['shops']} shops"


@fj.step
def told(text: str, nobody: list[int]) -> str:
    return f"{text}, {nobody}"


@fj.step
def nobody() -> list[int]:
    return []


@fj.step
def greeted(one: int) -> int:
    return one


@fj.step
def pairs(many: int) -> list[list[int]]:
    return [[at, at] for at in range(many)]


@fj.step
def one(pair: list[int]) -> int:
    return pair[0]


@fj.step
def larger(found: dict[str, float]) -> float:
    return found["sum"]


@fj.pipeline(schedule="30 2 * * *", time_zone="Europe/Berlin", at="day", notify=["failure"])
def nightly(day: datetime.date, tried: str = "tried", at_least: float = 0.0, scale: int = 2) -> None:
    rows = load(day, tried)
    totals = total.map(by_shop(rows), scale=scale)
    found = summary(totals)
    text = publish(fit(rows), found, fj.secret("SHOP_KEY"), when=found["sum"] >= at_least)
    report(text, totals)
    greetings = greeted.map(nobody())
    told(tell(found, when=found["sum"] >= at_least), greetings)
    larger(found, when=totals[0] > found["shops"])
    one.map_each(pairs.map([2, 0]))
'''
STEPS = [
    "load",
    "by_shop",
    "total",
    "summary",
    "fit",
    "publish",
    "report",
    "nobody",
    "greeted",
    "tell",
    "told",
    "larger",
    "pairs",
    "one",
]


class ExportedShop:
    """The project.

    Args:
        rooms: Its opened rooms.
    """

    def __init__(self, rooms: Rooms) -> None:
        self.rooms = rooms
        (rooms.folder / "etl.py").write_text(FILE)
        definitions = load_definitions(rooms.folder, rooms.settings)
        apply_definitions(rooms, collect(("etl.py", one) for one in definitions.pipelines.values()), ADA)

    def export(self, to: str, **more: Any) -> tuple[Path, tuple[str, ...]]:
        """Export the pipeline into a file, and return it with the notes."""
        made = perform(
            self.rooms, ADA, "pipeline.export", {"pipeline": "nightly", "to": to, "image": "a/python:1", **more}
        )
        file = self.rooms.folder / f"{to}.yaml"
        file.write_text(made.text)
        return file, made.notes

    def run(self, **params: Any) -> dict[str, dict[str, Any]]:
        """Run the pipeline here, and return what each step gave that was not skipped."""
        run = perform(self.rooms, ADA, "run.start", {"pipeline": "nightly", "params": params})
        for worker in workers_for(self.rooms):
            worker.run_until_idle()
        found = get_run(self.rooms.db, run.id)
        assert found.state is RunState.SUCCEEDED, found.error
        steps = [step for step in run_steps(self.rooms.db, run.id) if step.state is RunState.SUCCEEDED]
        return {step.name: {n: out.plain for n, out in step.outputs.items()} for step in steps if step.name in STEPS}
