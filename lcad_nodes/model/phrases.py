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
    return _from_first_to_last(phrase, "LMNS") or phrase.strip()


def spellings(phrase: str) -> list[str]:
    """List how the tokenizer may read a phrase where it stands in a text.

    Signs at its ends, such as those of Hindi and Arabic, are read together with the text's
    punctuation beside them, so none counts that is not between letters or digits. An apostrophe
    before it may be read together with its first letters.
    """
    inside = _from_first_to_last(phrase, "LN") or phrase
    quoted = f"'{inside}"
    return [inside, quoted] if CONTRACTION.match(quoted) else [inside]


def find_phrases(
    text: str,
    tokens: Sequence[Token],
    phrases: Sequence[str],
    phrase_ids: Sequence[Sequence[Hashable]],
) -> list[tuple[int, ...]]:
    """Find every phrase's tokens among the text's, as `find_spelled`, each spelled in one way."""
    return find_spelled(text, tokens, phrases, [[wanted] for wanted in phrase_ids])


def find_spelled(
    text: str,
    tokens: Sequence[Token],
    phrases: Sequence[str],
    spelled: Sequence[Sequence[Sequence[Hashable]]],
) -> list[tuple[int, ...]]:
    """Find every phrase's tokens among the text's, no token in two phrases.

    The phrase with the fewest places left chooses next, so that "a man" is not found inside "a man
    on a horse" where it also stands alone; of equal phrases the n-th gets the n-th occurrence.

    Args:
        text: the description, for the message.
        tokens: its tokens in order, without start, end and padding.
        phrases: the phrases, for the message.
        spelled: for every phrase the token ids of each of its spellings.

    Returns:
        For every phrase the indices of its tokens in the encoded prompt.

    Raises:
        PhraseError: if a phrase is not there, is named more often than it is there, or is none.
    """
    ids = [token.id for token in tokens]
    places = [_occurrences(ids, ways) for ways in spelled]
    left = dict(enumerate(places))
    found: dict[int, range] = {}
    while left:
        number = min(left, key=lambda i: len(left[i]))
        if not left[number]:
            raise _missing(text, phrases[number], any(spelled[number]), bool(places[number]))
        found[number] = left.pop(number)[0]
        taken = set(found[number])
        left = {i: [run for run in runs if taken.isdisjoint(run)] for i, runs in left.items()}
    return [tuple(tokens[i].index for i in found[number]) for number in range(len(phrases))]


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


def _from_first_to_last(phrase: str, classes: str) -> str:
    """Cut out what begins and ends with characters of the Unicode classes."""
    inside = [i for i, char in enumerate(phrase) if unicodedata.category(char)[0] in classes]
    return phrase[inside[0] : inside[-1] + 1] if inside else ""


def _occurrences(ids: list[Hashable], ways: Sequence[Sequence[Hashable]]) -> list[range]:
    """List where in a text one of a phrase's spellings stands, first to last."""
    runs = (
        range(start, start + len(way))
        for way in ways
        for start in range(len(ids))
        if way and ids[start : start + len(way)] == list(way)
    )
    return sorted(runs, key=min)


def _missing(text: str, phrase: str, has_tokens: bool, occurs: bool) -> PhraseError:
    if not has_tokens:
        return PhraseError(
            f"the phrase '{phrase}' holds nothing that the text encoder knows: it needs words, or "
            "an embedding that is in the embeddings folder"
        )
    if occurs:
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
