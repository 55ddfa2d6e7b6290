"""A pipeline that was exported gives in Kubeflow's own local runner what it gives here; Argo's types take it whole."""

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from peers.asked import Asked, asked
from peers.make import NotMade, python_of

import falaj
from falaj.app.backends import open_rooms
from falaj.kernel.settings import Settings
from falaj.pipelines.exports.plan import portable_name
from falaj.pipelines.handover import read_handover
from support.exported_shop import STEPS, ExportedShop

WORKER = Path(__file__).parents[2] / "bench" / "peers" / "kfp_worker.py"
SECRET = "open sesame"


@pytest.fixture(scope="module")
def kfp() -> Iterator[Asked]:
    try:
        python = python_of("kfp")
    except NotMade as error:
        pytest.skip(str(error))
    source = str(Path(falaj.__file__).parents[1])
    with asked(python, WORKER, {"PYTHONPATH": source, "SHOP_KEY": SECRET}) as running:
        yield running


@pytest.fixture
def shop(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[ExportedShop]:
    monkeypatch.setenv("SHOP_KEY", SECRET)
    with open_rooms(tmp_path, Settings()) as rooms:
        yield ExportedShop(rooms)


def run_in_kfp(kfp: Asked, file: Path, folder: Path, **arguments: Any) -> dict[str, dict[str, Any]]:
    """Run an export there, and return what each step gave that was not skipped."""
    python = str(Path(sys.executable).parent)
    kfp.ask("run", file=str(file), folder=str(folder), python=python, arguments=arguments)
    (run,) = folder.iterdir()
    found = {}
    for step in STEPS:
        name = portable_name(step)
        for task in (name, f"{name}-gather"):
            if (run / task / "outputs").exists():
                handover = read_handover(run / task / "outputs")
                if not handover.skipped:
                    found[step] = {name: output.plain for name, output in handover.outputs.items()}
    return found


def test_the_versions_are_those_that_the_documents_name(kfp: Asked) -> None:
    assert kfp.ask("version") == {"kfp": "2.17.0", "hera": "7.1.0"}


@pytest.mark.parametrize("at_least", [0.0, 1e9])
def test_kubeflow_gives_what_falaj_gives(kfp: Asked, shop: ExportedShop, tmp_path: Path, at_least: float) -> None:
    """Tables, a model, files, JSON, a retry, maps (an empty one too), three kinds of conditions, a secret."""
    here = shop.run(day="2026-02-05", tried=str(tmp_path / "tried here"), at_least=at_least)
    file, _ = shop.export("kfp", params={"day": "2026-01-31"}, folder=str(shop.rooms.folder))
    tried = tmp_path / "tried there"
    there = run_in_kfp(kfp, file, tmp_path / "kfp", day="2026-02-05", tried=str(tried), at_least=at_least)
    assert there == here
    assert tried.exists()
    skipped = {"publish", "tell", "told"} if at_least else set()
    assert set(STEPS) - set(there) == skipped


def test_kfp_reads_parameters_and_secrets(kfp: Asked, shop: ExportedShop) -> None:
    file, _ = shop.export("kfp", params={"day": "2026-01-31"}, secret="shop-keys")
    assert kfp.ask("load", file=str(file)) == {
        "name": "nightly",
        "inputs": {"day": "String", "tried": "String", "at_least": "Float", "scale": "Integer"},
        "secrets": {"exec-publish": [["shop-keys", ["SHOP_KEY"]]]},
    }


@pytest.mark.parametrize("params", [{}, {"day": "2026-01-31"}])
def test_argos_types_take_every_field(kfp: Asked, shop: ExportedShop, params: dict[str, str]) -> None:
    """Hera's models leave out what they do not know: nothing may be missing, and nothing changed."""
    file, _ = shop.export("argo", params=params)
    assert kfp.ask("workflow", file=str(file))["workflow"] == yaml.safe_load(file.read_text())
