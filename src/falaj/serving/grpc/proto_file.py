"""Proto files: the part of the .proto language that ours use, read into descriptors when a gateway starts.

With this no generated code lies in the tree, none has to match the installed protobuf, and nothing enters the default
pool, where a client library of the same process would meet its own copy of the protocol.
"""

import re
from collections.abc import Iterator

from google.protobuf.descriptor_pb2 import DescriptorProto, EnumDescriptorProto, FieldDescriptorProto
from google.protobuf.descriptor_pb2 import FileDescriptorProto as FileProto

_TOKEN = re.compile(r"//[^\n]*|\s+|(?P<token>[\w.]+|\"[^\"]*\"|[{}=;<>,()])")
_SCALARS = {
    name: getattr(FieldDescriptorProto, f"TYPE_{name.upper()}")
    for name in ("bool", "int32", "int64", "uint32", "uint64", "float", "double", "string", "bytes")
}
_OPTIONAL, _REPEATED = FieldDescriptorProto.LABEL_OPTIONAL, FieldDescriptorProto.LABEL_REPEATED


def read_proto(name: str, text: str) -> FileProto:
    """Return the descriptor of a file.

    Args:
        name: The file's name.
        text: What stands in it: a package of messages, nested ones too, enums and services, without imports or options.

    Raises:
        ValueError: It uses more of the language, or a type that it does not declare.

    Example:
        >>> file = read_proto("a.proto", 'syntax = "proto3"; package a; message B { repeated B more = 1; }')
        >>> file.message_type[0].field[0].type_name
        '.a.B'
    """
    return _Reader(name, text).read()


class _Reader:
    def __init__(self, name: str, text: str) -> None:
        self._file = FileProto(name=name)
        self._tokens = _tokens(name, text)
        self._messages: set[str] = set()
        self._enums: set[str] = set()
        self._unresolved: list[tuple[str, FieldDescriptorProto]] = []

    def read(self) -> FileProto:
        for word in self._tokens:
            if word == "syntax":
                self._expect("=")
                self._file.syntax = next(self._tokens).strip('"')
                self._expect(";")
            elif word == "package":
                self._file.package = next(self._tokens)
                self._expect(";")
            elif word == "message":
                self._message(self._file.message_type.add(), f".{self._file.package}")
            elif word == "service":
                self._service()
            else:
                raise ValueError(f"{self._file.name}: {word!r} is not understood")
        for scope, field in self._unresolved:
            self._resolve(scope, field)
        return self._file

    def _message(self, message: DescriptorProto, scope: str) -> None:
        message.name = next(self._tokens)
        path = f"{scope}.{message.name}"
        self._messages.add(path)
        self._expect("{")
        for word in self._tokens:
            if word == "}":
                return
            if word == "message":
                self._message(message.nested_type.add(), path)
            elif word == "enum":
                self._enum(message.enum_type.add(), path)
            elif word == "oneof":
                self._oneof(message, path)
            elif word == "map":
                self._map(message, path)
            else:
                self._field(message, path, word)
        raise ValueError(f"{self._file.name}: {path} does not end")

    def _field(self, message: DescriptorProto, path: str, word: str) -> FieldDescriptorProto:
        field: FieldDescriptorProto = message.field.add(label=_OPTIONAL)
        if word == "repeated":
            field.label = _REPEATED
            word = next(self._tokens)
        self._set_type(field, path, word)
        self._named(field)
        return field

    def _oneof(self, message: DescriptorProto, path: str) -> None:
        index = len(message.oneof_decl)
        message.oneof_decl.add(name=next(self._tokens))
        self._expect("{")
        for word in self._tokens:
            if word == "}":
                return
            self._field(message, path, word).oneof_index = index

    def _map(self, message: DescriptorProto, path: str) -> None:
        self._expect("<")
        entry = message.nested_type.add()
        entry.options.map_entry = True
        key = entry.field.add(name="key", number=1, label=_OPTIONAL)
        value = entry.field.add(name="value", number=2, label=_OPTIONAL)
        self._set_type(key, path, next(self._tokens))
        self._expect(",")
        self._set_type(value, path, next(self._tokens))
        self._expect(">")
        field = message.field.add(label=_REPEATED, type=FieldDescriptorProto.TYPE_MESSAGE)
        self._named(field)
        entry.name = "".join(part.capitalize() for part in field.name.split("_")) + "Entry"
        field.type_name = f"{path}.{entry.name}"

    def _enum(self, enum: EnumDescriptorProto, scope: str) -> None:
        enum.name = next(self._tokens)
        self._enums.add(f"{scope}.{enum.name}")
        self._expect("{")
        for word in self._tokens:
            if word == "}":
                return
            self._expect("=")
            enum.value.add(name=word, number=int(next(self._tokens)))
            self._expect(";")

    def _service(self) -> None:
        service = self._file.service.add(name=next(self._tokens))
        self._expect("{")
        for word in self._tokens:
            if word == "}":
                return
            if word != "rpc":
                raise ValueError(f"{self._file.name}: {word!r} is no rpc")
            method = service.method.add(name=next(self._tokens))
            method.input_type, method.client_streaming = self._side()
            self._expect("returns")
            method.output_type, method.server_streaming = self._side()
            self._expect(";")

    def _side(self) -> tuple[str, bool]:
        self._expect("(")
        word = next(self._tokens)
        streams = word == "stream"
        message = next(self._tokens) if streams else word
        self._expect(")")
        return f".{self._file.package}.{message}", streams

    def _set_type(self, field: FieldDescriptorProto, path: str, word: str) -> None:
        if word in _SCALARS:
            field.type = _SCALARS[word]
        else:
            field.type_name = word
            self._unresolved.append((path, field))

    def _named(self, field: FieldDescriptorProto) -> None:
        field.name = next(self._tokens)
        self._expect("=")
        field.number = int(next(self._tokens))
        self._expect(";")

    def _resolve(self, scope: str, field: FieldDescriptorProto) -> None:
        while scope:
            full = f"{scope}.{field.type_name}"
            if full in self._messages or full in self._enums:
                field.type_name = full
                is_message = full in self._messages
                field.type = FieldDescriptorProto.TYPE_MESSAGE if is_message else FieldDescriptorProto.TYPE_ENUM
                return
            scope = scope.rpartition(".")[0]
        raise ValueError(f"{self._file.name}: there is no type {field.type_name!r}")

    def _expect(self, token: str) -> None:
        found = next(self._tokens)
        if found != token:
            raise ValueError(f"{self._file.name}: {found!r} stands where {token!r} belongs")


def _tokens(name: str, text: str) -> Iterator[str]:
    at = 0
    while at < len(text):
        found = _TOKEN.match(text, at)
        if found is None:
            raise ValueError(f"{name}: {text[at]!r} is not understood")
        at = found.end()
        if found["token"]:
            yield found["token"]
