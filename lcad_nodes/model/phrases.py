"""Phrases of a description, and where their tokens lie in the encoded prompt."""

import re
import unicodedata
from collections.abc import Hashable, Sequence
from dataclasses import dataclass
from difflib import SequenceMatcher

COMMAS = re.compile("[,\u060c\u3001\uff0c]")
"""The Latin, Arabic, ideographic and full-width comma."""
WORD = re.compile(r"[^\W\d_]+|\d|[^\w\s]|_")
"""A word, digit or mark, as CLIP's tokenizer takes text apart."""
CONTRACTION = re.compile("'(s|t|re|ve|m|ll|d)", re.IGNORECASE)
"""What CLIP's tokenizer takes together: the quoted 'the car' begins with the token "'t"."""


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


def as_quoted(phrase: str, text: str) -> str:
    """Put back an apostrophe before a phrase that the tokenizer takes together with it.

    Args:
        phrase: a phrase as `trim` leaves it.
        text: the description; where it quotes the phrase, the apostrophe is part of the phrase.
    """
    quoted = f"'{phrase}"
    opening = re.compile(rf"(?<!\w){re.escape(quoted)}", re.IGNORECASE)
    return quoted if CONTRACTION.match(quoted) and opening.search(text) else phrase


def find_phrases(
    text: str,
    tokens: Sequence[Token],
    phrases: Sequence[str],
    phrase_ids: Sequence[Sequence[Hashable]],
) -> list[tuple[int, ...]]:
    """Find every phrase's tokens among the text's, no token in two phrases.

    Phrases with the fewest occurrences choose first, so that "a man" is not found inside "a man on
    a horse" where it also stands alone; of equal phrases the n-th gets the n-th occurrence.

    Args:
        text: the description, for the message.
        tokens: its tokens in order, without start, end and padding.
        phrases: the phrases, for the message.
        phrase_ids: every phrase's token ids.

    Returns:
        For every phrase the indices of its tokens in the encoded prompt.

    Raises:
        PhraseError: if a phrase is not there, is named more often than it is there, or is none.
    """
    ids = [token.id for token in tokens]
    starts = [_occurrences(ids, list(wanted)) for wanted in phrase_ids]
    free = [True] * len(tokens)
    found: dict[int, tuple[int, ...]] = {}
    for number in sorted(range(len(phrases)), key=lambda i: len(starts[i])):
        length = len(phrase_ids[number])
        open_starts = [i for i in starts[number] if all(free[i : i + length])]
        if not open_starts:
            raise _missing(text, phrases[number], length, len(starts[number]))
        span = slice(open_starts[0], open_starts[0] + length)
        free[span] = [False] * length
        found[number] = tuple(token.index for token in tokens[span])
    return [found[number] for number in range(len(phrases))]


def locate(text: str, phrases: Sequence[str]) -> list[tuple[int, int]]:
    """Find where in a text its phrases stand, by the rule of `find_phrases`.

    Returns:
        For every phrase the index of its first character, and of the one after its last.

    Raises:
        PhraseError: as `find_phrases`, where words are compared as they are written.
    """
    words = list(WORD.finditer(text))
    tokens = [Token(word.group().casefold(), index) for index, word in enumerate(words)]
    wanted = [[word.casefold() for word in WORD.findall(phrase)] for phrase in phrases]
    found = find_phrases(text, tokens, phrases, wanted)
    return [(words[span[0]].start(), words[span[-1]].end()) for span in found]


def _occurrences(ids: list[Hashable], wanted: list[Hashable]) -> list[int]:
    length = len(wanted)
    return [i for i in range(len(ids)) if length and ids[i : i + length] == wanted]


def _missing(text: str, phrase: str, length: int, occurrences: int) -> PhraseError:
    if not length:
        return PhraseError(
            f"the phrase '{phrase}' holds nothing that the text encoder knows: it needs words, or "
            "an embedding that is in the embeddings folder"
        )
    if occurrences:
        return PhraseError(
            f"the phrase '{phrase}' is named more often than it stands in the text by itself, "
            f"outside of the other phrases: '{text}'"
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
