"""The glossary has one entry for each noun."""

import re
from pathlib import Path

import msgspec

import falaj
from falaj.definitions.project import KINDS

ROOT = Path(__file__).parents[2]
DEFINITIONS = ROOT / "src" / "falaj" / "definitions"


def entries() -> list[str]:
    """Return every word that the glossary explains, in its order."""
    text = (ROOT / "docs" / "glossary.md").read_text("utf-8")
    lines = [line for line in text.splitlines() if line.startswith("- **")]
    return [word.strip() for line in lines for word in line.split("**")[1].split(",")]


def known(noun: str) -> bool:
    """Whether some entry is about a noun of the code, such as `on_demand` or `FeatureView`."""
    words = re.sub(r"(?<=[a-z])(?=[A-Z])", " ", noun).replace("_", " ").lower()
    return any(entry.replace("-", " ").lower().startswith(words) for entry in entries())


def test_every_file_of_the_definitions_has_an_entry() -> None:
    nouns = [path.stem for path in DEFINITIONS.glob("*.py") if path.stem != "__init__"]
    assert [noun for noun in nouns if not known(noun)] == []


def test_every_kind_and_every_public_definition_has_an_entry() -> None:
    public = [name for name in falaj.__all__ if isinstance(getattr(falaj, name), type)]
    formats = {"Csv", "Parquet", "Push"}  # they say where a source's rows come from
    structs = [name for name in public if issubclass(getattr(falaj, name), msgspec.Struct) and name not in formats]
    assert [noun for noun in (*KINDS.values(), *structs) if not known(noun)] == []


def test_a_word_is_explained_once_and_found_by_its_letter() -> None:
    words = entries()
    assert sorted({word for word in words if words.count(word) > 1}) == []
    first = [line.split("**")[1].split(",")[0] for line in _lines()]
    assert first == sorted(first, key=str.lower)


def _lines() -> list[str]:
    text = (ROOT / "docs" / "glossary.md").read_text("utf-8")
    return [line for line in text.splitlines() if line.startswith("- **")]
