"""Where the embeddings of nouns start: near those of things of the same kind.

A text encoder that starts from nothing knows the nouns that it was trained on and no others. With
its embeddings placed by WordNet's kinds of things (a dog is a canine, a carnivore, a mammal, an
animal), what it learns of a fox holds for a dog that it was never shown.
"""

import math
import zlib
from collections import Counter, defaultdict
from collections.abc import Callable, Collection, Iterator, Mapping, Set
from pathlib import Path

import torch
from torch import Tensor

NORM = 0.5
"""Of a noun's embedding: what nouns grow to in training."""
WORD_END = "</w>"
"""How CLIP's vocabulary marks a token that ends a word."""
OBJECTS = {"05", "06", "13", "17", "20"}
"""WordNet's files of animals, artifacts, food, natural objects and plants."""
THINGS = OBJECTS | {"08", "18"}
"""With body parts and people."""


class WordNetError(ValueError):
    """A folder does not hold WordNet's nouns."""


class Kinds:
    """What kinds of things nouns stand for, from WordNet's `index.noun` and `data.noun`.

    Args:
        folder: holds both files (format: wndb(5WN)).

    Raises:
        WordNetError: a file is missing or is none of WordNet's.
    """

    def __init__(self, folder: Path) -> None:
        self._files: dict[str, str] = {}
        self._above: dict[str, list[str]] = {}
        self._senses: dict[str, list[str]] = {}
        try:
            for offset, file, *rest in _entries(folder / "data.noun"):
                self._files[offset] = file
                self._above[offset] = _hypernyms(rest)
            for lemma, _, count, *rest in _entries(folder / "index.noun"):
                self._senses[lemma] = rest[-int(count) :]
        except (OSError, ValueError, IndexError) as error:
            raise WordNetError(f"{folder}: expected WordNet's index.noun and data.noun") from error

    def of(self, word: str) -> set[str]:
        """All kinds above what a word stands for, that with them.

        It is taken in its first sense; if that is no thing, in the first that is one, and a mug is
        rather a vessel than a fool.

        Args:
            word: lower case, singular or plural with an s.

        Returns:
            WordNet's numbers of them; empty if the word stands for no thing.
        """
        senses = self._senses.get(word) or self._senses.get(word.removesuffix("s"), [])
        found: set[str] = set()
        rest = self._thing(senses)
        while rest:
            kind = rest.pop()
            found.add(kind)
            rest.extend(self._above[kind])
        return found

    def nouns(self) -> list[str]:
        """All nouns of one word that WordNet has, of things or not."""
        return [lemma for lemma in self._senses if lemma.isalpha()]

    def _thing(self, senses: list[str]) -> list[str]:
        """Return the one sense that a word is taken in, or none."""
        tries = [
            sense for files in (OBJECTS, THINGS) for sense in senses if self._files[sense] in files
        ]
        return [s for s in senses[:1] if self._files[s] in THINGS] or tries[:1]


def place_nouns(
    table: Tensor,
    vocabulary: Mapping[str, int],
    tokenize: Callable[[str], list[str]],
    kinds: Kinds,
    kept: Collection[str],
) -> int:
    """Put the embeddings of all nouns, and of the tokens that others consist of, by their kinds.

    A noun's embedding is the sum of a direction for each of its kinds, as long as the root of the
    kind's information content, -log of the share of nouns that are of it (Resnik 1995): the cosine
    of two nouns is about the share of information that they have in common. A token that is no
    noun, but a part of some, gets their mean, which is short where they have little in common.

    Args:
        table: tokens x width; changed in place.
        vocabulary: CLIP's, from token to row.
        tokenize: a word into tokens of the vocabulary.
        kinds: of nouns.
        kept: words whose embeddings stay as they are.

    Returns:
        How many embeddings were placed.
    """
    fixed = {vocabulary[word + WORD_END] for word in kept if word + WORD_END in vocabulary}
    whole = {
        row: above
        for token, row in vocabulary.items()
        if len(word := token.removesuffix(WORD_END)) > 1
        and word != token
        and row not in fixed
        and (above := kinds.of(word))
    }
    common = Counter(kind for above in whole.values() for kind in above)
    directions = {
        kind: _direction(kind, table.shape[1]) * math.log(len(whole) / count) ** 0.5
        for kind, count in common.items()
        if count < len(whole)  # what all are of tells nothing
    }
    shares: dict[int, list[Tensor]] = defaultdict(list)
    for row, above in whole.items():
        shares[row].extend(_placed(above, directions))
    for noun in kinds.nouns():
        for row in {vocabulary[token] for token in tokenize(noun)} - whole.keys() - fixed:
            shares[row].extend(_placed(kinds.of(noun), directions))
    placed = {row: torch.stack(vectors).mean(dim=0) for row, vectors in shares.items() if vectors}
    for row, vector in placed.items():
        table[row] = vector
    return len(placed)


def _placed(above: Set[str], directions: Mapping[str, Tensor]) -> list[Tensor]:
    """The embedding of a noun that is of these kinds; none where they tell nothing."""
    known = sorted(above & directions.keys())
    together = sum((directions[kind] for kind in known), torch.zeros(()))
    return [together * (NORM / together.norm())] if known else []


def _direction(kind: str, width: int) -> Tensor:
    """A random unit vector, the same for a kind every time."""
    generator = torch.Generator().manual_seed(zlib.crc32(kind.encode()))
    direction = torch.randn(width, generator=generator)
    return direction / direction.norm()


def _entries(path: Path) -> Iterator[list[str]]:
    """The fields of every line but the license's, which are indented."""
    with path.open(encoding="utf-8") as lines:
        for line in lines:
            if not line.startswith(" "):
                yield line.split(" | ")[0].split()


def _hypernyms(fields: list[str]) -> list[str]:
    """The synsets above one, from a data line's fields after its file's number."""
    words = int(fields[1], 16)
    pointers = fields[3 + 2 * words :]
    return [
        pointers[i + 1]
        for i in range(0, 4 * int(fields[2 + 2 * words]), 4)
        if pointers[i] in ("@", "@i")
    ]
