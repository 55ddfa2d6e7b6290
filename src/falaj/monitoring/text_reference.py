"""TextReference: how long the texts of a reference sample are, and which words they are made of."""

import re
import zlib
from typing import Any

import msgspec
import numpy as np
import pyarrow as pa

from falaj.monitoring.categorical_reference import halves
from falaj.monitoring.histogram import Counts
from falaj.monitoring.numeric_reference import NumericReference

MAX_WORDS = 20_000
_BINS = 64
_WORD = re.compile(r"\w+")


class TextReference(msgspec.Struct, frozen=True, tag="text"):
    """Two histograms over texts: their length in characters, and the share of their words that are new.

    The share is one number per text, and texts are what is compared: the words of one text go together, and a test
    that took each for a row of its own would alarm on nothing. As with categories, one half of the sample says which
    words are known and the other is counted.

    Attributes:
        words: CRC-32 of each known word in lower case, little-endian, sorted and joined: some 80 KB at most, and one
            new word in 200,000 is taken for a known one.
        length: Cells of the number of characters.
        novelty: Cells of the share of a text's words that are not known; 0 for a text without any word.
        counts: The counts of `length`, then those of `novelty`, without their nulls; last the nulls.
    """

    words: bytes
    length: NumericReference
    novelty: NumericReference
    counts: tuple[int, ...]

    @classmethod
    def fit(cls, values: Any, *, max_words: int = MAX_WORDS, seed: int = 0) -> "TextReference":
        """Freeze the words and the cells on one half of a sample and count the other.

        Args:
            values: Texts, with None for null; a list, NumPy or Arrow.
            max_words: Most words to remember, the commonest.
            seed: Chooses the halves.

        Example:
            >>> reference = TextReference.fit(["paid by card", "paid in cash"] * 50)
            >>> int(reference.count(["paid by card", "bezahlt bar", None])[-1])
            1
        """
        chosen, counted = halves(values, seed)
        seen: dict[int, int] = {}
        for text in _texts(chosen)[0]:
            for word in _words(text):
                seen[word] = seen.get(word, 0) + 1
        kept = sorted(seen, key=lambda word: (-seen[word], word))[:max_words]
        words = np.sort(np.array(kept, dtype="<u4"))
        texts, nulls = _texts(counted)
        length = NumericReference.fit([len(text) for text in texts], max_bins=_BINS)
        novelty = NumericReference.fit(_novelty(texts, words), max_bins=_BINS)
        return cls(words.tobytes(), length, novelty, (*length.counts[:-1], *novelty.counts[:-1], nulls))

    def count(self, values: Any) -> Counts:
        """Return int64 counts per cell."""
        texts, nulls = _texts(values)
        length = self.length.count([len(text) for text in texts])
        novelty = self.novelty.count(_novelty(texts, np.frombuffer(self.words, dtype="<u4")))
        return np.concatenate([length[:-1], novelty[:-1], [nulls]]).astype(np.int64)

    @property
    def cells(self) -> tuple[str, ...]:
        """Names of the cells, in the order of the counts."""
        length = (f"length {cell}" for cell in self.length.cells[:-1])
        return (*length, *(f"new words {cell}" for cell in self.novelty.cells[:-1]), "null")

    def split(self, counts: Counts) -> tuple[Counts, Counts]:
        """Return the counts of the lengths and those of the shares of new words, without nulls and NaN."""
        cut = len(self.length.counts) - 1
        return counts[: cut - 1], counts[cut:-2]


def is_text(values: Any) -> bool:
    """Return whether a sample of strings is prose rather than categories: mostly distinct, and of several words.

    Args:
        values: Strings with None for null.
    """
    texts = _texts(values)[0][:1000]
    several = sum(" " in text.strip() for text in texts)
    return len(texts) >= 20 and len(set(texts)) > len(texts) // 2 and several > len(texts) // 2


def _texts(values: Any) -> tuple[list[str], int]:
    if isinstance(values, pa.Array | pa.ChunkedArray):
        every = values.to_pylist()
    else:
        every = np.asarray(values, dtype=object).ravel().tolist()
    texts = [str(value) for value in every if value is not None and value == value]
    return texts, len(every) - len(texts)


def _words(text: str) -> list[int]:
    return [zlib.crc32(word.encode("utf-8", "surrogatepass")) for word in _WORD.findall(text.lower())]


def _novelty(texts: list[str], known: Any) -> list[float]:
    words = frozenset(known.tolist())
    shares = []
    for text in texts:
        found = _words(text)
        shares.append(sum(word not in words for word in found) / len(found) if found else 0.0)
    return shares
