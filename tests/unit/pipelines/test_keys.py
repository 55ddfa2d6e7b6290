"""The key changes with everything that the result depends on, and with nothing else."""

import importlib
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from falaj.kernel.errors import DefinitionError
from falaj.pipelines.graph import Step
from falaj.pipelines.keys import InstalledNow, StepKeys, environment_digest
from falaj.pipelines.outputs import Output, Outputs


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    (tmp_path / "keyed_shop").mkdir()
    (tmp_path / "keyed_shop/__init__.py").write_text("")
    (tmp_path / "keyed_shop/steps.py").write_text(
        "import json\nimport numpy\nfrom . import prices\nfrom keyed_taxes import rate\ndef train(context): ...\n"
    )
    (tmp_path / "keyed_shop/prices.py").write_text("from .currency import EURO\n")
    (tmp_path / "keyed_shop/currency.py").write_text("EURO = 1\n")
    (tmp_path / "keyed_shop/unused.py").write_text("")
    (tmp_path / "keyed_taxes.py").write_text("import keyed_shop.steps\nrate = 5\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    yield tmp_path
    for name in [name for name in sys.modules if name.startswith("keyed_")]:
        del sys.modules[name]


def _key(project: Path, environment: str = "e", inputs: dict[str, Outputs] | None = None, **fields: Any) -> str:
    step = Step(name="train", **{"function": "keyed_shop.steps:train", **fields})
    return StepKeys([project], environment).key(step, "run_1", inputs or {})


def test_the_same_step_has_the_same_key(project: Path) -> None:
    assert _key(project, params={"a": 1, "b": 2}) == _key(project, params={"b": 2, "a": 1})


@pytest.mark.parametrize("file", ["steps.py", "prices.py", "currency.py", "__init__.py", "../keyed_taxes.py"])
def test_a_changed_module_that_is_used_at_any_remove_changes_the_key(project: Path, file: str) -> None:
    before = _key(project)
    path = project / "keyed_shop" / file
    path.write_text(path.read_text() + "# changed\n")
    assert _key(project) != before


def test_a_long_lived_worker_sees_the_change_too(project: Path) -> None:
    keys = StepKeys([project], "e")
    before = keys.code("keyed_shop.steps:train")
    path = project / "keyed_shop/currency.py"
    path.write_text("EURO = 1.17\n")
    assert keys.code("keyed_shop.steps:train") != before


def test_a_changed_module_that_is_not_used_leaves_the_key(project: Path) -> None:
    before = _key(project)
    (project / "keyed_shop/unused.py").write_text("# changed\n")
    assert _key(project) == before


def test_modules_outside_the_project_count_by_the_environment_only(project: Path) -> None:
    inside = _key(project)
    elsewhere = project / "keyed_shop"
    step = Step(name="train", function="keyed_shop.steps:train")
    narrow = StepKeys([elsewhere], "e")
    before = narrow.key(step, "run_1", {})
    (project / "keyed_taxes.py").write_text("rate = 6\n")
    assert narrow.key(step, "run_1", {}) == before
    assert _key(project) != inside


def test_function_params_inputs_and_environment_change_the_key(project: Path) -> None:
    given: dict[str, Outputs] = {"features": {"table": Output(blob="a" * 64)}}
    changed: dict[str, Outputs] = {"features": {"table": Output(blob="b" * 64)}}
    value: dict[str, Outputs] = {"features": {"table": Output(value=1)}}
    keys = [
        _key(project),
        _key(project, environment="f"),
        _key(project, params={"a": 1}),
        _key(project, params={"a": 1.5}),
        _key(project, function="keyed_shop.prices:train"),
        _key(project, inputs=given),
        _key(project, inputs=changed),
        _key(project, inputs=value),
    ]
    assert len(set(keys)) == len(keys)


def test_how_a_step_is_run_is_not_in_its_key(project: Path) -> None:
    assert _key(project) == _key(project, executor="child", timeout_s=5.0, retries=3)


def test_a_step_that_may_not_be_cached_has_a_key_of_its_run(project: Path) -> None:
    keys, step = StepKeys([project], "e"), Step(name="train", function="keyed_shop.steps:train", cache=False)
    assert keys.key(step, "run_1", {}) == keys.key(step, "run_1", {})
    assert keys.key(step, "run_1", {}) != keys.key(step, "run_2", {})


def test_a_loaded_module_counts_by_the_file_it_came_from(project: Path) -> None:
    from keyed_shop import steps  # type: ignore[import-not-found]

    assert steps.rate == 5
    before = _key(project)
    (project / "keyed_taxes.py").write_text("rate = 6\n")
    assert _key(project) != before


@pytest.mark.parametrize("name", ["statistics", "msgspec"])
def test_a_module_that_bears_the_name_of_another_counts_too(project: Path, name: str) -> None:
    """A step's process imports the project's own, whatever this one has loaded under that name."""
    importlib.import_module(name)
    steps = project / "keyed_shop/steps.py"
    steps.write_text(f"{steps.read_text()}import {name}\n")
    (project / f"{name}.py").write_text("HOLIDAYS = 2026\n")
    before = _key(project)
    (project / f"{name}.py").write_text("HOLIDAYS = 2027\n")
    assert _key(project) != before


@pytest.mark.parametrize("module", ["no_such_module", "no_such.module", "sys", "__main__", "keyed_shop.absent"])
def test_a_module_without_source_is_refused(project: Path, module: str) -> None:
    if module == "__main__":
        code = "from falaj.pipelines.keys import StepKeys; StepKeys([], '').code('__main__:f')"
        done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
        assert "cannot be found" in done.stderr
        return
    with pytest.raises(DefinitionError, match="cannot be found"):
        _key(project, function=f"{module}:f")


def test_a_module_with_a_syntax_error_is_named(project: Path) -> None:
    (project / "keyed_shop/prices.py").write_text("def (\n")
    with pytest.raises(DefinitionError, match=r"prices\.py"):
        _key(project)


def test_an_installed_distribution_changes_the_environment(tmp_path: Path) -> None:
    before = environment_digest([str(tmp_path)])
    (tmp_path / "lightgbm-4.6.0.dist-info").mkdir()
    assert environment_digest([str(tmp_path)]) != before
    assert environment_digest() == environment_digest()


def test_what_is_installed_while_a_worker_lives_changes_its_keys(project: Path, tmp_path: Path) -> None:
    installed = tmp_path / "installed"
    (installed / "shop-1.0.dist-info").mkdir(parents=True)
    keys, step = StepKeys([project], InstalledNow([str(installed)])), Step(name="a", function="keyed_shop.steps:train")
    before = keys.key(step, "run_1", {})
    assert keys.key(step, "run_1", {}) == before
    (installed / "shop-1.0.dist-info").rename(installed / "shop-1.1.dist-info")
    after = keys.key(step, "run_1", {})
    assert after != before
    (installed / "shop-1.1.dist-info").rename(installed / "shop-1.0.dist-info")
    assert keys.key(step, "run_1", {}) == before
