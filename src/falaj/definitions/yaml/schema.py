"""Schema: what a YAML file of definitions may hold, as JSON Schema, for editors."""

from typing import Any

import msgspec

from falaj.definitions.on_demand import OnDemandView
from falaj.definitions.project import KINDS
from falaj.definitions.yaml.code import on_demand_constructor
from falaj.definitions.yaml.constructor import Constructor, Parameter, constructor
from falaj.definitions.yaml.files import LISTS, MARK, VERSION
from falaj.definitions.yaml.form import Form, form_of

_JSON_TYPES = {str: "string", int: "integer", float: "number", bool: "boolean"}


def json_schema() -> dict[str, Any]:
    """Return the JSON Schema (draft 2020-12) of a file of definitions.

    It is read from the constructors themselves, as the reading of such a file is.

    Example:
        >>> json_schema()["properties"]["sources"]["items"]
        {'$ref': '#/$defs/source'}
    """
    schema = _Schema()
    lists = {
        field: {
            "type": "array",
            "items": schema.definition(kind),
            "description": (kind.__doc__ or "").partition("\n")[0],
        }
        for field, kind in LISTS.items()
    }
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "Falaj definitions",
        "type": "object",
        "properties": {MARK: {"const": int(VERSION), "description": "The version of this form."}} | lists,
        "patternProperties": {"^x-": {}},
        "additionalProperties": False,
        "required": [MARK],
        "$defs": dict(sorted(schema.parts.items())),
    }


class _Schema:
    """Collects the parts that others refer to."""

    def __init__(self) -> None:
        self.parts: dict[str, Any] = {}

    def definition(self, kind: type) -> dict[str, Any]:
        """Return the schema of a definition of a class."""
        made = on_demand_constructor(lambda _: {}) if kind is OnDemandView else constructor(kind)
        return self._reference(KINDS[kind], made)

    def _part(self, made: Constructor) -> dict[str, Any]:
        # Two modules may name a function alike, as `column` or `latency`; Python tells them apart by the module too.
        return self._reference(f"{made.make.__module__.rpartition('.')[2]}.{made.name}", made)

    def _reference(self, name: str, made: Constructor) -> dict[str, Any]:
        if name not in self.parts:
            self.parts[name] = {}
            self.parts[name] |= self._fields(made)
        return {"$ref": f"#/$defs/{name}"}

    def _fields(self, made: Constructor) -> dict[str, Any]:
        schema: dict[str, Any] = {"type": "object"}
        if made.description:
            schema["description"] = made.description
        schema["properties"] = {name: self._parameter(parameter) for name, parameter in made.parameters.items()}
        schema["additionalProperties"] = False if made.more is None else self._type(made.more, "")
        required = [parameter.name for parameter in made.parameters.values() if parameter.required]
        return schema | ({"required": required} if required else {})

    def _parameter(self, parameter: Parameter) -> dict[str, Any]:
        schema = self._type(parameter.annotation, parameter.name)
        if parameter.description:
            schema["description"] = parameter.description
        if parameter.default is not None:
            schema["default"] = parameter.default
        return schema

    def _type(self, annotation: Any, field: str) -> dict[str, Any]:
        form = form_of(annotation)
        if form.anything:
            return {}
        ways = self._scalars(form) + self._parts(form, field)
        if form.item is not None:
            ways.append({"type": "array", "items": self._type(form.item, "")})
        if form.value is not None:
            ways.append({"type": "object", "additionalProperties": self._type(form.value, "")})
        if form.other is not None:
            ways.append(msgspec.json.schema(form.other))
        return ways[0] if len(ways) == 1 else {"anyOf": ways}

    def _scalars(self, form: Form) -> list[dict[str, Any]]:
        ways: list[dict[str, Any]] = [{"type": "null"}] if form.null else []
        if form.references:
            kinds = " or ".join(kind.replace("_", " ") for kind in form.references)
            ways.append({"type": "string", "description": f"The name of a {kinds}."})
        if form.choices:
            ways.append({"enum": list(form.choices)})
        return ways + [{"type": _JSON_TYPES[scalar]} for scalar in form.scalars]

    def _parts(self, form: Form, field: str) -> list[dict[str, Any]]:
        ways: list[dict[str, Any]] = []
        bare = [name for name, made in form.parts.items() if made.bare]
        if bare:
            ways.append({"enum": bare})
        said = form.said()
        if said is not None and said.short is not None:
            ways.append(self._type(said.short.annotation, ""))
        for name, made in form.parts.items():
            inner = [self._part(made)]
            if made.short is not None:
                inner.append(self._type(made.short.annotation, ""))
            if made.bare:
                inner.append({"type": "null"})
            ways.append({
                "type": "object",
                "properties": {name: inner[0] if len(inner) == 1 else {"anyOf": inner}},
                "required": [name],
                "additionalProperties": False,
            })  # fmt: skip
        direct = form.direct(field)
        return [*ways, self._part(direct)] if direct is not None else ways
