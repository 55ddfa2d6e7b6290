"""Entity: what features describe (a card, a user, a turbine)."""

import msgspec

from falaj.definitions.declared import Declared
from falaj.definitions.dtype import check_dtype
from falaj.kernel.errors import DefinitionError
from falaj.kernel.names import check_name


class Entity(msgspec.Struct, metaclass=Declared, frozen=True):
    """Something that features describe, known by one or more key columns.

    Args:
        name: The entity's name.
        key: The key column, or a tuple of them for a composite key.
        dtype: The key's type (string or int64), or one per key column.

    Raises:
        DefinitionError: A name or type cannot be used, or their numbers differ.

    Example:
        >>> Entity("card", key="card_id", dtype="string").keys
        (('card_id', 'string'),)
    """

    name: str
    key: str | tuple[str, ...]
    dtype: str | tuple[str, ...] = "string"

    def __post_init__(self) -> None:
        check_name("entity", self.name)
        columns = (self.key,) if isinstance(self.key, str) else tuple(self.key)
        dtypes = (self.dtype,) * len(columns) if isinstance(self.dtype, str) else tuple(self.dtype)
        if not columns or len(columns) != len(dtypes) or len(set(columns)) != len(columns):
            raise DefinitionError(
                f"entity {self.name!r}: {len(columns)} key columns and {len(dtypes)} dtypes",
                hint="give one distinct key column per dtype",
            )
        for column, dtype in zip(columns, dtypes, strict=True):
            check_name(f"entity {self.name!r} key", column)
            check_dtype(f"entity {self.name!r} key {column!r}", dtype)
            if dtype not in ("string", "int64"):
                raise DefinitionError(
                    f"entity {self.name!r}: key {column!r} cannot be {dtype}", hint="keys are string or int64"
                )

    @property
    def keys(self) -> tuple[tuple[str, str], ...]:
        """The key columns and their types, in declared order."""
        columns = (self.key,) if isinstance(self.key, str) else tuple(self.key)
        dtypes = (self.dtype,) * len(columns) if isinstance(self.dtype, str) else tuple(self.dtype)
        return tuple(zip(columns, dtypes, strict=True))
