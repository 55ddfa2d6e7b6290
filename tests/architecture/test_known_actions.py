"""Whatever the code asks to be allowed is an action that a token's scope can name."""

import ast
from collections.abc import Iterator
from pathlib import Path

import falaj
from falaj.app.known_actions import known_actions
from falaj.governance.access import ALLOWED

SOURCE = Path(falaj.__file__).parent
ASKED_BY = {"authorise": 1, "is_allowed": 1, "authorise_somewhere": 1, "admit": 1}
"""Function to the place of its action among the arguments."""


def asked() -> Iterator[tuple[str, str]]:
    """Give file and action of every literal action that is asked for."""
    for path in SOURCE.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_bytes())):
            if not isinstance(node, ast.Call):
                continue
            name = node.func.attr if isinstance(node.func, ast.Attribute) else getattr(node.func, "id", "")
            place = ASKED_BY.get(name)
            given = [k.value for k in node.keywords if k.arg == "action"]
            if place is not None and len(node.args) > place:
                given.append(node.args[place])
            for value in given:
                if isinstance(value, ast.Constant) and isinstance(value.value, str) and value.value:
                    yield path.name, value.value


def test_every_action_that_is_asked_for_is_known() -> None:
    found = set(asked())
    assert len(found) > 20
    assert sorted(one for one in found if one[1] not in known_actions()) == []


def test_every_action_that_a_role_names_is_known() -> None:
    named = {action for actions in ALLOWED.values() for action in actions if "*" not in action}
    assert sorted(named - known_actions()) == []
