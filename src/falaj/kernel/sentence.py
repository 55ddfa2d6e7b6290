"""Sentences: what an error says to a person, on one line and of a length that can be read."""

import unicodedata

MOST_CHARACTERS = 1_000
_UNPRINTABLE = frozenset({"Cc", "Cf", "Cs", "Zl", "Zp"})


def one_sentence(text: str) -> str:
    """Return the text on one line, without characters that steer a terminal or a reader, and not longer than a page.

    Names and values that somebody sent stand in errors. A line break in one could forge a second line of a log, an
    escape sequence could rewrite the terminal, half a surrogate pair could not even be printed, and a name of a
    megabyte would bury the sentence.

    Example:
        >>> one_sentence("no model 'a\\x1b[2J'\\n  or such")
        "no model 'a\\\\x1b[2J'; or such"
        >>> len(one_sentence("x" * 100_000)) <= MOST_CHARACTERS
        True
    """
    line = "; ".join(part.strip() for part in text[: 100 * MOST_CHARACTERS].split("\n") if part.strip())
    line = "".join(c if c.isprintable() or not _is_unprintable(c) else _escaped(c) for c in line)
    if len(line) <= MOST_CHARACTERS:
        return line
    half = MOST_CHARACTERS // 2 - 10
    return f"{line[:half]} [...] {line[-half:]}"


def _is_unprintable(character: str) -> bool:
    return unicodedata.category(character) in _UNPRINTABLE


def _escaped(character: str) -> str:
    return character.encode("unicode_escape").decode()
