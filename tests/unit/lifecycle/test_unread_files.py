"""Files that declare something and that nobody reads: they are told of, and scripts are not."""

from pathlib import Path

import pytest

from falaj.kernel.settings import ProjectSettings
from falaj.lifecycle.unread_files import unread_files

ENTITY = 'import falaj as fj\ncard = fj.Entity("card", key="card_id")\n'


@pytest.mark.parametrize(
    ("content", "told"),
    [
        (ENTITY, True),
        ('from falaj import Entity as E\ncard: object = E("card", key="card_id")\n', True),
        ("import falaj\n\n\n@falaj.pipeline\ndef nightly(): ...\n", True),
        ('import falaj as fj\n\n\n@fj.pipeline(schedule="0 2 * * *")\ndef nightly(): ...\n', True),
        ("import falaj as fj\n\n\n@fj.step\ndef total(): ...\n", False),  # which no pipeline has called
        ('import falaj as fj\n\nproject = fj.open(".")\nprint(project.status())\n', False),
        ('import falaj as fj\n\n\ndef later():\n    return fj.Entity("card", key="card_id")\n', False),
        ("import other as fj\ncard = fj.Entity(1)\n", False),
        ("import falaj as fj\nthis is no Python\n", False),
        ("import falaj\n\0", False),
    ],
)
def test_a_file_that_declares_and_is_not_named_is_told_of(content: str, told: bool, tmp_path: Path) -> None:
    (tmp_path / "first.py").write_text("import falaj as fj\n")
    (tmp_path / "later.py").write_text(content)
    assert unread_files(tmp_path, ProjectSettings(files=("first.py",))) == (["later.py"] if told else [])
    assert unread_files(tmp_path, ProjectSettings()) == []


def test_what_a_file_that_is_read_imports_is_read_too(tmp_path: Path) -> None:
    (tmp_path / "first.py").write_text("import falaj as fj\nfrom second import *\n")
    (tmp_path / "second.py").write_text(f"import third.part\n{ENTITY}")
    (tmp_path / "third.py").write_text(ENTITY)
    (tmp_path / "fourth.py").write_text(f"import first\n{ENTITY}")
    assert unread_files(tmp_path, ProjectSettings(files=("first.py",))) == ["fourth.py"]


def test_yaml_that_is_marked_is_told_of(tmp_path: Path) -> None:
    (tmp_path / "first.py").write_text(ENTITY)
    (tmp_path / "views.yaml").write_text("falaj: 1\nentities: []\n")
    (tmp_path / "compose.yml").write_text("services: {}\n")
    assert unread_files(tmp_path, ProjectSettings(files=("*.py",))) == ["views.yaml"]
