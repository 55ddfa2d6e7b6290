"""The files of a project: Python and YAML side by side, each referring to the other."""

from pathlib import Path

import pytest

import falaj as fj
from falaj.definitions.project import Definitions
from falaj.kernel.errors import DefinitionError, FalajError, ProjectError
from falaj.kernel.settings import ProjectSettings, Settings
from falaj.lifecycle.project import begin_project, load_definitions

SOURCE = """\
falaj: 1
entities:
  - {name: card, key: card_id}
sources:
  - {name: tx, batch: {parquet: tx.parquet}, timestamp: at}
"""
VIEW = """\
falaj: 1
feature_views:
  - name: activity
    entity: card
    source: tx
    features:
      n_1h: {count: {window: 1h}}
"""
PYTHON_SOURCE = """\
import falaj as fj
card = fj.Entity("card", key="card_id")
tx = fj.Source("tx", batch=fj.Parquet("tx.parquet"), timestamp="at")
"""
PYTHON_VIEW = """\
import falaj as fj
activity = fj.FeatureView(
    "activity", entity=fj.ref.entity("card"), source=fj.ref.source("tx"), features={"n_1h": fj.count(window="1h")}
)
"""
CODE = """\
falaj: 1
on_demand_views:
  - name: doubled
    inputs: [request:amount]
    code: |
      import numpy as np
      FACTOR = 2.0

      def times(values, factor):
          return values * factor

      def doubled(amount):
          return np.abs(times(amount, FACTOR))
"""
PYTHON_CODE = """\
import numpy as np
FACTOR = 2.0

def times(values, factor):
    return values * factor

def doubled(amount):
    return np.abs(times(amount, FACTOR))
"""
NAMED = """\
falaj: 1
on_demand_views:
  - {name: doubled, inputs: [request:amount], function: code:doubled}
"""


def load(folder: Path, **files: str) -> Definitions:
    for name, text in files.items():
        stem, _, ending = name.rpartition("_")
        (folder / f"{stem}.{ending}").write_text(text, encoding="utf-8")
    return load_definitions(folder, Settings())


def refused(folder: Path, **files: str) -> FalajError:
    with pytest.raises(FalajError) as error:
        load(folder, **files)
    return error.value


def test_one_schema_in_python_and_in_yaml(tmp_path: Path) -> None:
    mixes = [
        {"a_yaml": SOURCE, "b_yml": VIEW},
        {"b_yaml": SOURCE, "a_yaml": VIEW},  # whatever the order
        {"a_py": PYTHON_SOURCE, "b_yaml": VIEW},
        {"a_py": PYTHON_VIEW, "b_yaml": SOURCE},
        {"a_yaml": f"{SOURCE}---\n{VIEW.partition(chr(10))[2]}---\n"},
    ]
    found = []
    for number, files in enumerate(mixes):
        folder = tmp_path / str(number)
        folder.mkdir()
        found.append(load(folder, **files))
    assert [one.feature_view("activity").source.name for one in found] == ["tx"] * len(mixes)
    assert all(one == found[0] for one in found)


def test_code_in_yaml_is_captured_as_that_in_python_is(tmp_path: Path) -> None:
    declared = "import falaj as fj\n" + PYTHON_CODE.replace(
        "def doubled", "@fj.on_demand(inputs=['request:amount'])\ndef doubled"
    )
    found = []
    for number, files in enumerate([{"a_yaml": CODE}, {"a_yaml": NAMED, "code_py": PYTHON_CODE}, {"a_py": declared}]):
        folder = tmp_path / str(number)
        folder.mkdir()
        found.append(load(folder, **files).on_demand_views["doubled"])
    assert found[0] == found[1] == found[2]
    assert "import numpy as np" in found[0].code


def test_files_of_others_stay_as_they_are(tmp_path: Path) -> None:
    (tmp_path / "compose.yaml").write_text("services: {a: !env x}\n")
    (tmp_path / "dbt.yml").write_text("version: 2\nsources: [{name: raw}]\nmodels: [{name: m}]\n")
    assert begin_project(tmp_path) is None
    assert load(tmp_path, a_yaml=SOURCE).source("tx")
    begun = begin_project(tmp_path)
    assert begun is not None
    assert 'files = ["a.yaml"]' in begun.read_text()


def test_only_the_files_that_the_settings_name_are_read(tmp_path: Path) -> None:
    (tmp_path / "b.yaml").write_text("falaj: 1\nnonsense: 1\n")
    (tmp_path / "a.yaml").write_text(SOURCE)
    settings = Settings(project=ProjectSettings(files=("a.yaml",)))
    assert [*load_definitions(tmp_path, settings).sources] == ["tx"]
    deeper = tmp_path / "definitions" / "cards"
    deeper.mkdir(parents=True)
    (deeper / "c.yaml").write_text("falaj: 1\nsources: [{name: no}]\n")
    settings = Settings(project=ProjectSettings(files=("a.yaml", "definitions/**/*.yaml")))
    with pytest.raises(DefinitionError, match=r"^definitions/cards/c\.yaml:2:11: source 'no' has neither"):
        load_definitions(tmp_path, settings)


BOTH = SOURCE + VIEW.removeprefix("falaj: 1\n")
REFUSED = {
    "unmarked": (VIEW.replace("falaj: 1\n", ""), "a.yaml does not say that it is Falaj's", "falaj: 1"),
    "version": (VIEW.replace("falaj: 1", "falaj: 2"), "a.yaml:1:8: falaj is '2', and this release knows 1", "falaj: 1"),
    "list": ("falaj: 1\nsource: []\n", "a.yaml:2:1: a file of definitions has no field 'source'", "'sources'"),
    "mapping": ("falaj: 1\nsources: {tx: {}}\n", "a.yaml:2:10: sources is a mapping", "- name"),
    "no_name": ("falaj: 1\nsources: [{id: x}]\n", "a.yaml:2:11: source has no name", "- name"),
    "neither": ("falaj: 1\nsources: [{name: no}]\n", "a.yaml:2:11: source 'no' has neither", "in Python's words: add"),
    "empty_name": ("falaj: 1\nsources: [{name: , stream: push}]\n", "source .name is empty", "a text"),
    "scalar": ("falaj: 1\n--- text\n", "a.yaml:2:5: 'text' stands where lists", ""),
    "twice": (SOURCE + "---\n" + SOURCE, "a.yaml:9:5: entity 'card' is defined twice, first in a.yaml:3:5", "rename"),
    "reference": (BOTH.replace("source: tx", "source: tz"), "a.yaml:9:13: source 'tz' does not exist", "known: tx"),
    "kind": (BOTH.replace("entity: card", "entity: tx"), "a.yaml:8:13: entity 'tx' does", "known: card"),
    "field": (BOTH.replace("source: tx", "suorce: tx"), "a.yaml:9:5: feature view activity has", "'source'"),
    "inner": (BOTH.replace("1h}", "1x}"), "a.yaml:11:30: count window = '1x' is not a duration", "'10m'"),
    "tag": ("falaj: 1\nx-a: !!python/name:os.system\n", "a.yaml:2:6: tag", "quote"),
    "code_twice": (CODE + "    function: a:doubled\n", "needs either function or code", "FILE:FUNCTION"),
    "no_code": (NAMED.replace(", function: code:doubled", ""), "a.yaml:3:5: on-demand view 'doubled' needs", "code: |"),
    "syntax": (CODE.replace("return np", "retrun np"), "on-demand view 'doubled', line 13: ", "correct"),
    "other_name": (CODE.replace("def doubled", "def dubled"), "its code defines no function of that name", "'dubled'"),
    "arguments": (CODE.replace("request:amount", "request:a, request:b"), "a.yaml:3:5: on-demand 'doubled' takes", ""),
    "uncarried": (CODE.replace("2.0", "object()"), "uses 'FACTOR', a object that cannot be carried", "literal"),
    "raises": (CODE.replace("2.0", "1 / 0"), "a.yaml:7: ZeroDivisionError", "correct the file"),
    "absent": (CODE.replace("numpy", "numqy"), "a.yaml:6: ModuleNotFoundError: No module named 'numqy'", "correct"),
    "no_file": (NAMED, "code.py does not exist", "beside"),
    "path": (NAMED.replace("code:", "os.path:"), "is not of that name", "FILE:doubled"),
    "installed": (NAMED.replace("code:", "os:"), "os.py does not exist", "beside"),
}  # fmt: skip


@pytest.mark.parametrize("name", REFUSED)
def test_what_cannot_be_read_is_named(tmp_path: Path, name: str) -> None:
    text, message, hint = REFUSED[name]
    error = refused(tmp_path, a_yaml=text)
    assert message in error.message
    assert hint in error.hint


def test_a_function_that_yaml_names_must_be_there(tmp_path: Path) -> None:
    error = refused(tmp_path, a_yaml=NAMED, code_py=PYTHON_CODE.replace("doubled", "dubled"))
    assert "code.py has no function 'doubled'" in error.message
    assert error.hint == "did you mean 'dubled'?"
    error = refused(tmp_path, code_py="import numpy as np\n\n1 / 0\n")
    assert isinstance(error, ProjectError)
    assert error.message.startswith("code.py:3: ZeroDivisionError")


def test_python_and_yaml_may_not_define_one_name_differently(tmp_path: Path) -> None:
    same = load(tmp_path, a_yaml=SOURCE, b_py=PYTHON_SOURCE)
    assert [*same.sources] == ["tx"]
    error = refused(tmp_path, b_py=PYTHON_SOURCE.replace("tx.parquet", "other.parquet"))
    assert error.message == "source 'tx' is defined twice, in b.py: tx and in a.yaml:5:5"


def test_a_name_of_two_kinds_is_said_with_its_kind(tmp_path: Path) -> None:
    both = f"{BOTH}{CODE[9:].replace('doubled', 'activity')}"
    service = "feature_services: [{name: s, features: [KINDactivity, {request: amount}]}]\n"
    error = refused(tmp_path, a_yaml=both + service.replace("KIND", ""))
    assert "'activity' could be feature_view or on_demand_view" in error.message
    assert error.hint == "write feature_view:activity or on_demand_view:activity"
    found = load(tmp_path, a_yaml=both + service.replace("KIND", "feature_view:"))
    assert found.feature_service("s").views


def test_references_of_python_say_what_is_missing(tmp_path: Path) -> None:
    error = refused(tmp_path, a_yaml=SOURCE, b_py=PYTHON_VIEW.replace('source("tx")', 'source("tz")'))
    assert error.message == "b.py:3: no YAML file defines source 'tz'"
    assert error.hint == "known: tx"
    (tmp_path / "b.py").unlink()
    error = refused(tmp_path, a_yaml=VIEW, c_py=PYTHON_SOURCE + "view = fj.ref.feature_view('activity')\n")
    assert error.message.startswith("c.py:4: a.yaml:4:13: entity 'card' does not exist")
    assert "must stand in YAML" in error.hint
    with pytest.raises(DefinitionError, match="only while a project's definitions are read"):
        fj.ref.source("tx")


def test_every_kind_that_something_refers_to_can_be_referred_to(tmp_path: Path) -> None:
    whole = (
        f"{BOTH}{CODE[9:]}"
        "feature_services: [{name: s, features: [activity, doubled, {request: amount}]}]\n"
        "models: [{name: m, features: s, label: {source: tx, column: y}, trainer: lightgbm}]\n"
    )
    python = (
        "import falaj as fj\n"
        "listed = [fj.ref.feature_view('activity'), fj.ref.on_demand_view('doubled'), fj.request('amount')]\n"
        "s = fj.FeatureService('t', listed)\n"
        "n = fj.Model('n', fj.ref.feature_service('s'), fj.Label(fj.ref.source('tx'), 'y'), fj.xgboost())\n"
        "e = fj.Endpoint('e', fj.ref.model('m'))\n"
    )
    found = load(tmp_path, a_yaml=whole, b_py=python)
    assert found.endpoint("e").model is found.model("m")
    assert found.model("n").features is found.feature_service("s")
    assert found.feature_service("t").views == found.feature_service("s").views


def test_a_circle_through_code_is_broken(tmp_path: Path) -> None:
    python = "import falaj as fj\nview = fj.ref.on_demand_view('doubled')\n" + PYTHON_CODE
    error = refused(tmp_path, a_yaml=NAMED, code_py=python)
    assert "on demand view 'doubled' needs itself" in error.message
