"""Where a PostgreSQL database is, and whether it is one that Falaj can use."""

import os
import platform
from collections.abc import Mapping
from typing import Any, Self

import msgspec

from falaj.kernel.errors import ProjectError, Unsupported

_OLDEST = 140_000
_SCHEMES = ("postgresql://", "postgres://")


class PostgresAddress(msgspec.Struct, frozen=True):
    """An address with everything needed to connect.

    Attributes:
        name: For messages: host, port and database, and no password.
        parameters: Of libpq.
    """

    name: str
    parameters: dict[str, str]

    @classmethod
    def parse(cls, psycopg: Any, url: str, password: str) -> Self:
        """Read a URL.

        Args:
            psycopg: The client library.
            url: As in `postgresql://user@host:5432/database`.
            password: The user's; empty for the URL's own.

        Raises:
            ProjectError: It is none; the message does not repeat it, for it may hold a password.
        """
        refused = ProjectError(
            "storage.database is not an address of PostgreSQL",
            hint="write it like postgresql://user@host:5432/database; empty is SQLite in the state folder",
        )
        if not url.startswith(_SCHEMES):
            raise refused
        try:
            found = psycopg.conninfo.conninfo_to_dict(url)
        except psycopg.Error:
            raise refused from None
        parameters = {key: str(value) for key, value in found.items()}
        if not all(port.isdigit() for port in parameters.get("port", "5432").split(",")):
            raise refused
        if password:
            parameters["password"] = password
        parameters.setdefault("application_name", f"falaj {platform.node()} process {os.getpid()}"[:63])
        # Of several hosts the one that may be written: after a failover that is another one.
        parameters.setdefault("target_session_attrs", "read-write")
        place = f"{parameters.get('host', 'localhost')}:{parameters.get('port', '5432')}"
        return cls(f"postgresql://{place}/{parameters.get('dbname', '')}", parameters)

    def conninfo(self, session: Mapping[str, str]) -> str:
        """Return libpq's words for a connection with these settings of its session."""
        from psycopg.conninfo import make_conninfo

        options = " ".join(f"-c {name}={value}" for name, value in session.items())
        own = self.parameters.get("options", "")
        keepalive = {"keepalives_idle": "10", "keepalives_interval": "5", "keepalives_count": "3"}
        return make_conninfo("", **(keepalive | self.parameters | {"options": f"{options} {own}".strip()}))

    def check(self, connection: Any) -> None:
        """Return if the server is new enough, keeps every text, and has a schema to keep it in.

        Raises:
            Unsupported: It is not.
            ProjectError: There is no schema.
        """
        info = connection.info
        if info.server_version < _OLDEST:
            raise Unsupported(
                f"database {self.name} is PostgreSQL {info.server_version // 10_000}", hint="version 14 or later is"
                " needed",
            )  # fmt: skip
        encoding = info.parameter_status("server_encoding")
        if encoding != "UTF8":
            raise Unsupported(
                f"database {self.name} keeps text as {encoding}",
                hint="create it with ENCODING 'UTF8' TEMPLATE template0",
            )
        if connection.execute("SELECT current_schema()").fetchone()[0] is None:
            raise ProjectError(
                f"database {self.name} has no schema of this search path",
                hint="CREATE SCHEMA, or correct the search_path of the URL's options or of the user",
            )
