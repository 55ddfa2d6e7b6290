"""What installed packages offer: listed without running anything of theirs, shown and added by name."""

import importlib
import sys
from pathlib import Path

import pytest

from falaj.kernel.errors import Conflict, InputError, NotFound
from falaj.lifecycle.hub import FILE, Offer, add, find, offers, show
from falaj.lifecycle.templates import TEMPLATES, show_own, write_template
from support.shared_package import install


@pytest.fixture
def site(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A place for packages, on Python's path for the test alone."""
    folder = tmp_path / "site"
    folder.mkdir()
    monkeypatch.syspath_prepend(str(folder))
    for name in [one for one in sys.modules if one.startswith(("acme_", "other_"))]:
        monkeypatch.delitem(sys.modules, name)
    importlib.invalidate_caches()
    return folder


def test_to_list_imports_nothing(site: Path) -> None:
    package = install(site, "acme-steps")
    found = offers([str(site)])
    assert [(one.kind, one.name) for one in found] == [
        ("step", "broken"), ("step", "clean"), ("template", "churn-acme_steps"), ("template", "gone-acme_steps"),
    ]  # fmt: skip
    assert found[1] == Offer("step", "clean", "acme-steps", "1.2", "Acme", "acme_steps.tidy:clean", "Tidy rows")
    shown = show(find(found, "churn-acme_steps"))
    assert shown.files == ("README.md", "churn.py") and shown.documentation.startswith("# Churn")
    assert not (package / "imported").exists() and "acme_steps" not in sys.modules
    assert {one.name for one in offers() if one.package == "acme-steps"} == {one.name for one in found}


def test_a_step_is_shown_by_its_code(site: Path) -> None:
    package = install(site, "acme-steps")
    shown = show(find(offers([str(site)]), "clean"))
    assert shown.parameters == ("rows: list[float]", "least: float = 0.5")
    assert shown.documentation.startswith("Drop what is too small.")
    assert (package / "imported").exists()


def test_a_step_is_added_as_a_line_that_says_whose_it_is(site: Path, tmp_path: Path) -> None:
    install(site, "acme-steps")
    install(site, "other-steps", author="")
    found = offers([str(site)])
    with pytest.raises(InputError, match="'clean' is offered 2 times") as told:
        find(found, "clean")
    assert told.value.hint == "say acme-steps:clean or other-steps:clean"
    (file,) = add(find(found, "acme-steps:clean"), tmp_path).written
    line = "from acme_steps.tidy import clean as clean  # step 'clean' of acme-steps 1.2, by Acme"
    assert file.read_text().splitlines()[-1] == line
    assert add(find(found, "acme-steps:clean"), tmp_path) == ([], [file])
    with pytest.raises(Conflict, match="imports another 'clean'"):
        add(find(found, "other-steps:clean"), tmp_path)
    assert file.read_text().splitlines()[-1] == line


def test_a_step_that_cannot_be_imported_is_not_added(site: Path, tmp_path: Path) -> None:
    package = install(site, "acme-steps")
    found = offers([str(site)])
    add(find(found, "clean"), tmp_path)
    before = (tmp_path / FILE).read_text()
    with pytest.raises(InputError, match="is no step"):
        add(find(found, "broken"), tmp_path)
    (package / "needy.py").write_text("import acme_of_another_world\n")
    with pytest.raises(InputError, match="cannot be imported: No module named 'acme_of_another_world'"):
        add(Offer("step", "needy", "acme-steps", "1.2", "", "acme_steps.needy:needy", ""), tmp_path)
    assert (tmp_path / FILE).read_text() == before


def test_a_line_that_is_added_is_one_line_of_python_whatever_a_package_calls_its_step(
    site: Path, tmp_path: Path
) -> None:
    install(site, "acme-steps")
    offer = Offer("step", "clean-rows.fast", "acme", "1.0", "Ann\nimport acme_spy", "acme_steps.tidy:clean", "")
    (file,) = add(offer, tmp_path).written
    line = (
        "from acme_steps.tidy import clean as clean_rows_fast"
        "  # step 'clean-rows.fast' of acme 1.0, by Ann import acme_spy"
    )
    assert file.read_text().splitlines()[-1] == line
    compile(file.read_text(), FILE, "exec")
    assert add(offer, tmp_path).written == []
    written = file.read_text()
    for name, value in (("class", "acme.steps:clean"), ("more", "acme.steps:Steps.clean"), ("1st", "acme.steps:clean")):
        with pytest.raises(InputError, match="cannot be imported as"):
            add(Offer("step", name, "acme", "1.0", "", value, ""), tmp_path)
    assert file.read_text() == written


def test_a_template_is_added_beside_what_is_there_and_over_nothing(site: Path, tmp_path: Path) -> None:
    install(site, "acme-steps")
    offer = find(offers([str(site)]), "churn-acme_steps")
    here = tmp_path / "project"
    assert [path.name for path in add(offer, here).written] == ["README.md", "churn.py"]
    assert add(offer, here) == ([], [here / "README.md", here / "churn.py"])
    (here / "churn.py").write_text("mine = 1\n")
    (here / "README.md").unlink()
    with pytest.raises(Conflict, match="is there already"):
        add(offer, here)
    assert [path.name for path in here.iterdir()] == ["churn.py"]


def test_init_writes_a_shared_template(site: Path, tmp_path: Path) -> None:
    package = install(site, "acme-steps")
    written = write_template("churn-acme_steps", tmp_path / "new")
    assert [path.name for path in written] == ["README.md", "churn.py", "falaj.toml"]
    assert 'files = ["churn.py"]' in (tmp_path / "new" / "falaj.toml").read_text()
    (package / "churn" / "churn.py").write_text("print('no definitions here')\n")
    with pytest.raises(InputError, match="it makes no project"):
        write_template("churn-acme_steps", tmp_path / "other")
    assert not (tmp_path / "other").exists()
    (package / "churn" / "falaj.toml").write_text("[project]\n")
    written = write_template("churn-acme_steps", tmp_path / "own")
    assert [path.name for path in written] == ["README.md", "churn.py", "falaj.toml"]
    with pytest.raises(Conflict, match="is not empty"):
        write_template("churn-acme_steps", tmp_path / "new")
    with pytest.raises(InputError, match="takes no data file"):
        write_template("churn-acme_steps", tmp_path / "other", tmp_path / "rows.csv")
    with pytest.raises(NotFound, match="template 'churn' does not exist"):
        write_template("churn", tmp_path / "other")


@pytest.mark.parametrize("name", TEMPLATES)
def test_templates_of_our_own_are_shown_as_they_are_written(tmp_path: Path, name: str) -> None:
    shown = show_own(name)
    assert shown is not None and shown == show_own(f"falaj:{name}")
    assert list(shown.files) == [path.name for path in write_template(name, tmp_path / "new")]
    assert shown.documentation.startswith((tmp_path / "new" / "README.md").read_text().strip())
    assert show_own("churn") is None and show_own(f"acme:{name}") is None


def test_what_is_not_there_is_told(site: Path) -> None:
    with pytest.raises(NotFound, match="no installed package offers 'clean'"):
        find(offers([str(site)]), "clean")
    install(site, "acme-steps")
    found = offers([str(site)])
    with pytest.raises(InputError, match="is no step"):
        show(find(found, "broken"))
    with pytest.raises(InputError, match="has no folder"):
        show(find(found, "gone-acme_steps"))
