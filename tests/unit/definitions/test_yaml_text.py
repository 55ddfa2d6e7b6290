"""YAML as text: bounds, refusals, and places."""

from typing import Any

import pytest
import yaml

from falaj.definitions.yaml.node import Field, Fields, Items, Place, Scalar
from falaj.definitions.yaml.scalar import core_value
from falaj.definitions.yaml.text import DEEPEST, MOST_BYTES, MOST_NODES, read_nodes
from falaj.kernel.errors import DefinitionError, FalajError, ProjectError

LOADERS = [yaml.SafeLoader, yaml.CSafeLoader]


def read(text: str, loader: Any = yaml.SafeLoader) -> Any:
    return read_nodes(text.encode(), "a.yaml", loader=loader)[0]


@pytest.mark.parametrize("loader", LOADERS)
def test_every_node_knows_its_place(loader: Any) -> None:
    assert read("a: no\nb:\n  - 'x'\n  - |\n    y\n", loader) == Fields(
        Place("a.yaml", 1, 1),
        {
            "a": Field(Place("a.yaml", 1, 1), Scalar(Place("a.yaml", 1, 4), "no", plain=True)),
            "b": Field(
                Place("a.yaml", 2, 1),
                Items(
                    Place("a.yaml", 3, 3),
                    (
                        Scalar(Place("a.yaml", 3, 5), "x", plain=False),
                        Scalar(Place("a.yaml", 4, 5), "y\n", plain=False, block=True),
                    ),
                    3,
                ),
            ),
        },
        5,
    )


REFUSED = {
    "duplicate": ("a: 1\nb: 2\na: 3\n", "a.yaml:3:1: 'a' stands twice, first in line 1"),
    "duplicate_quoted": ("a: 1\n'a': 3\n", "a.yaml:2:1: 'a' stands twice"),
    "tag": ("a: !!python/object/apply:os.system [id]\n", "a.yaml:1:4: tag tag:yaml.org,2002:python/object"),
    "str_tag": ("a: !!str 1\n", "a.yaml:1:4: tag"),
    "own_tag": ("a: !env HOME\n", "a.yaml:1:4: tag !env"),
    "tag_of_a_name": ("!!str a: 1\n", "a name must be a plain text"),
    "tag_of_a_list": ("a: !!set {x, y}\n", "a.yaml:1:4: tag"),
    "merge": ("a: &x {b: 1}\nc: {<<: *x}\n", "a.yaml:2:5: merge keys"),
    "list_as_name": ("? [a, b]\n: 1\n", "a name must be a plain text"),
    "alias_as_name": ("a: &x b\n*x : 1\n", "a name must be a plain text"),
    "unknown_alias": ("a: *b\n", "a.yaml:1:4: *b has no anchor &b"),
    "alias_of_itself": ("a: &a [*a]\n", "a.yaml:1:8: *a has no anchor &a"),
    "tab": ("a:\n\tb: 1\n", "a.yaml:2:1: not YAML"),
    "open_bracket": ("a: [1, 2\nb: 3\n", "a.yaml:2:"),
    "control_character": ("a: \x01\n", "a.yaml"),
    "two_colons": ("a: b: c\n", "a.yaml:1:5: not YAML"),
    "deep": ("[" * (DEEPEST + 1) + "]" * (DEEPEST + 1), f"nested deeper than {DEEPEST}"),
    "very_deep": ("[" * 100_000, "nested deeper"),
}


@pytest.mark.parametrize("loader", LOADERS)
@pytest.mark.parametrize("name", REFUSED)
def test_what_is_refused_is_named_with_its_place(name: str, loader: Any) -> None:
    text, message = REFUSED[name]
    with pytest.raises((ProjectError, DefinitionError)) as refused:
        read(text, loader)
    assert message in refused.value.message
    assert refused.value.hint


@pytest.mark.parametrize("loader", LOADERS)
def test_aliases_cannot_grow_beyond_bounds(loader: Any) -> None:
    lines = ["a0: &a0 [x, x, x, x, x, x, x, x, x, x]"]
    lines += [f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 10)}]" for n in range(1, 12)]
    with pytest.raises(ProjectError, match=f"more than {MOST_NODES:,} values"):
        read("\n".join(lines), loader)


def test_a_repeated_value_is_the_one_that_was_named() -> None:
    node = read("a: &x [1, 2]\nb: *x\n")
    assert node.fields["a"].value is node.fields["b"].value


def test_a_file_has_a_greatest_size() -> None:
    read_nodes(b"a: " + b"x" * (MOST_BYTES - 3), "a.yaml")
    with pytest.raises(ProjectError, match="more than"):
        read_nodes(b"a: " + b"x" * (MOST_BYTES - 2), "a.yaml")


def test_it_must_be_utf_8() -> None:
    assert read_nodes(b"\xef\xbb\xbfa: 1", "a.yaml") == read_nodes(b"a: 1", "a.yaml")
    with pytest.raises(ProjectError, match="not UTF-8: byte 3 is 0xff"):
        read_nodes(b"a: \xff", "a.yaml")


CORE: dict[str, object] = {
    "": None, "~": None, "null": None, "Null": None, "NULL": None,
    "true": True, "True": True, "false": False, "FALSE": False,
    "yes": "yes", "no": "no", "on": "on", "off": "off", "y": "y", "N": "N", "NO": "NO",
    "12": 12, "-12": -12, "+12": 12, "0": 0, "0o14": 12, "0xC": 12,
    "1_000": "1_000", "1:30": "1:30", "0b11": "0b11",
    "1.5": 1.5, ".5": 0.5, "1.": 1.0, "1e3": 1000.0, "-1.5E-2": -0.015, ".inf": float("inf"), "-.INF": float("-inf"),
    "1e": "1e", ".": ".", "-": "-", "1.2.3": "1.2.3", "nan": "nan", "inf": "inf", "e3": "e3", "0.1.": "0.1.",
    "2025-01-01": "2025-01-01", "2025-01-01T00:00:00Z": "2025-01-01T00:00:00Z", "=": "=", "<<": "<<",
}  # fmt: skip


@pytest.mark.parametrize("text", CORE)
def test_texts_without_quotes_mean_what_yaml_1_2_says(text: str) -> None:
    value = core_value(Scalar(Place("a.yaml", 1, 1), text, plain=True))
    assert (type(value), value) == (type(CORE[text]), CORE[text])
    assert core_value(Scalar(Place("a.yaml", 1, 1), text, plain=False)) == text


def test_not_a_number_is_one() -> None:
    value = core_value(Scalar(Place("a.yaml", 1, 1), ".nan", plain=True))
    assert value != value


@pytest.mark.parametrize("text", ["012", "-09", "00", str(1 << 63), "9" * 100_000, "0x" + "f" * 100_000])
def test_numbers_that_are_read_differently_are_refused(text: str) -> None:
    with pytest.raises(FalajError) as refused:
        core_value(Scalar(Place("a.yaml", 1, 1), text, plain=True))
    assert refused.value.message.startswith("a.yaml:1:1: ")
    assert len(refused.value.message) < 120
