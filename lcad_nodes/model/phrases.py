"""Phrases of a description, and where their tokens lie in the encoded prompt."""

import re
import unicodedata
from collections.abc import Hashable, Sequence
from dataclasses import dataclass
from difflib import SequenceMatcher

COMMAS = re.compile("[,\u060c\u3001\uff0c]")
"""The Latin, Arabic, ideographic and full-width comma."""


class PhraseError(ValueError):
    """A phrase cannot be found in the description; the message shows both."""


@dataclass(frozen=True)
class Token:
    """One token of a text.

    Attributes:
        id: what identifies it: equal tokens have equal ids.
        index: its position in the encoded prompt, start, end and padding tokens counted.
    """

    id: Hashable
    index: int


def split_phrases(phrases: str, text: str) -> list[str]:
    """List the phrases: one a line, or where there are none the text's comma-separated parts.

    Raises:
        PhraseError: if neither holds a phrase.
    """
    parts = phrases.splitlines() if phrases.strip() else COMMAS.split(text)
    found = [part for part in map(trim, parts) if part]
    if not found:
        raise PhraseError("there is no phrase: both the list of phrases and the text are empty")
    return found


def trim(phrase: str) -> str:
    """Take white space and punctuation off both ends; what is nothing else is left alone."""
    inside = [i for i, char in enumerate(phrase) if unicodedata.category(char)[0] not in "PZC"]
    return phrase[inside[0] : inside[-1] + 1] if inside else phrase.strip()


def find_phrases(
    text: str,
    tokens: Sequence[Token],
    phrases: Sequence[str],
    phrase_ids: Sequence[Sequence[Hashable]],
) -> list[tuple[int, ...]]:
    """Find every phrase's tokens among the text's, no token in two phrases.

    Longer phrases choose first, so that "a man" is not found inside "a man on a horse" where it
    also stands alone; of equal phrases the n-th gets the n-th occurrence.

    Args:
        text: the description, for the message.
        tokens: its tokens in order, without start, end and padding.
        phrases: the phrases, for the message.
        phrase_ids: every phrase's token ids.

    Returns:
        For every phrase the indices of its tokens in the encoded prompt.

    Raises:
        PhraseError: if a phrase is not there, or is named more often than it is there.
    """
    ids = [token.id for token in tokens]
    free = [True] * len(tokens)
    found: dict[int, tuple[int, ...]] = {}
    for number in sorted(range(len(phrases)), key=lambda i: -len(phrase_ids[i])):
        wanted = list(phrase_ids[number])
        starts = [i for i in range(len(ids)) if wanted and ids[i : i + len(wanted)] == wanted]
        open_starts = [i for i in starts if all(free[i : i + len(wanted)])]
        if not open_starts:
            raise _missing(text, phrases[number], len(starts))
        span = slice(open_starts[0], open_starts[0] + len(wanted))
        free[span] = [False] * len(wanted)
        found[number] = tuple(token.index for token in tokens[span])
    return [found[number] for number in range(len(phrases))]


def _missing(text: str, phrase: str, occurrences: int) -> PhraseError:
    if occurrences:
        return PhraseError(
            f"the phrase '{phrase}' is named more often than it stands in the text by itself "
            f"({occurrences} times): '{text}'"
        )
    return PhraseError(
        f"the phrase '{phrase}' is not in the text '{text}'; the nearest there is "
        f"'{nearest(phrase, text)}'"
    )


def nearest(phrase: str, text: str) -> str:
    """Return the run of words in `text` that looks most like `phrase`."""
    words = text.split()
    length = len(phrase.split())
    runs = {
        " ".join(words[start : start + size])
        for size in (length - 1, length, length + 1)
        if size > 0
        for start in range(max(1, len(words) - size + 1))
    }
    return max(
        sorted(runs),
        key=lambda run: SequenceMatcher(None, run.lower(), phrase.lower()).ratio(),
        default="",
    )
