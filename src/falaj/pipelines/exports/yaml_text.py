"""YAML as other platforms' tools read it: keys in order, no anchors."""

from typing import Any

import yaml


class _Plain(yaml.SafeDumper):
    """Writes equal parts twice: an anchor is read by every tool, and by no person."""

    def ignore_aliases(self, data: Any) -> bool:
        """Write every part in full."""
        del data
        return True


def yaml_text(*documents: dict[str, Any]) -> str:
    """Return documents as YAML.

    Example:
        >>> print(yaml_text({"b": [1], "a": "x"}), end="")
        a: x
        b:
        - 1
    """
    return yaml.dump_all(documents, Dumper=_Plain, allow_unicode=True, width=110)
