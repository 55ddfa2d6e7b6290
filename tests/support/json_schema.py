"""What a JSON schema says of a value: the words of draft 2020-12 that ours uses, and no others."""

from collections.abc import Iterator
from typing import Any

TYPES: dict[str, Any] = {
    "object": dict, "array": list, "string": str, "null": type(None), "boolean": bool,
    "integer": int, "number": (int, float),
}  # fmt: skip
SAID = {"$schema", "$defs", "title", "description", "default"}


def faults(value: Any, schema: dict[str, Any], root: dict[str, Any], path: str = "$") -> Iterator[str]:
    """Yield what of a value the schema does not allow."""
    for word, rule in schema.items():
        if word == "$ref":
            yield from faults(value, root["$defs"][rule.removeprefix("#/$defs/")], root, path)
        elif word == "anyOf":
            if all(any(faults(value, way, root)) for way in rule):
                yield f"{path}: none of the ways"
        elif word == "type":
            if not isinstance(value, TYPES[rule]) or (rule in ("integer", "number") and isinstance(value, bool)):
                yield f"{path}: no {rule}"
        elif word in ("enum", "const"):
            if value not in (rule if word == "enum" else [rule]):
                yield f"{path}: {value!r} is not allowed"
        elif word == "items" and isinstance(value, list):
            for number, item in enumerate(value):
                yield from faults(item, rule, root, f"{path}[{number}]")
        elif word == "required" and isinstance(value, dict):
            yield from (f"{path}: no {name}" for name in rule if name not in value)
        elif word == "properties" and isinstance(value, dict):
            for name in value.keys() & rule.keys():
                yield from faults(value[name], rule[name], root, f"{path}.{name}")
        elif word == "additionalProperties" and isinstance(value, dict):
            for name in value.keys() - schema.get("properties", {}).keys():
                if "patternProperties" in schema and name.startswith("x-"):
                    continue
                if rule is False:
                    yield f"{path}: no field {name}"
                else:
                    yield from faults(value[name], rule, root, f"{path}.{name}")
        elif word not in SAID | {"items", "required", "properties", "additionalProperties", "patternProperties"}:
            raise AssertionError(f"this reader of schemas does not know {word!r}")
