"""Values of the operations on token."""

import msgspec


class CreateToken(msgspec.Struct, frozen=True):
    """Ask for a token.

    Attributes:
        actor: Whom it presents.
        role: Creates the actor with this role when there is none of that name.
        scopes: Patterns that narrow the role.
        expires: How long it lasts, like "30d"; None for ever.
        rate: How many rows the gateway lets it ask for in a time, like "1000/s burst 2000"; None for any number.
        tenant: With whom it shares the limit of a tenant; empty for nobody.
    """

    actor: str
    role: str | None = None
    scopes: tuple[str, ...] = ("*",)
    expires: str | None = None
    rate: str | None = None
    tenant: str = ""


class CreatedToken(msgspec.Struct, frozen=True):
    """A new token; its text is shown this once and stored nowhere.

    Attributes:
        actor: Whom it presents.
        role: The actor's role.
        token: Its text.
    """

    actor: str
    role: str
    token: str


class TokenQuery(msgspec.Struct, frozen=True):
    """Which tokens to list.

    Attributes:
        actor: Only this actor's; empty for all.
    """

    actor: str = ""


class RevokeToken(msgspec.Struct, frozen=True):
    """Ask to end a token.

    Attributes:
        token_id: Its identifier, as `falaj token list` shows it.
    """

    token_id: str


class Revoked(msgspec.Struct, frozen=True):
    """A token that has ended."""

    token_id: str
