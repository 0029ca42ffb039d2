"""Descriptions of scenes, in the many ways people put them."""

import re
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

WHERE = {
    "left": "on the left",
    "middle": "in the middle",
    "right": "on the right",
    "top": "at the top",
    "bottom": "at the bottom",
    "far left": "on the far left",
    "second from the left": "second from the left",
    "second from the right": "second from the right",
    "far right": "on the far right",
}
PARTS = ("hair", "skin")
"""What people have, and do not wear."""
_BEFORE_GROUND = re.compile("^(?:, | on )", re.IGNORECASE)
BEFORE = {"far left": "leftmost", "far right": "rightmost"}
"""Places that are put differently before a noun."""
GRAMMAR = frozenset(
    " ".join(
        ["a photo of an the one is are and background", *WHERE, *WHERE.values(), *BEFORE.values()]
    ).split()
)
"""All words of descriptions but names and colors."""


@dataclass(frozen=True)
class Mention:
    """What a description says of one object.

    Attributes:
        name: what it is ("dump truck").
        color: the color named, or None.
        place: where it is (one of `WHERE`), or None where that is not said.
        wearer: who wears it ("woman"), or None where that is not said.
    """

    name: str
    color: str | None
    place: str | None = None
    wearer: str | None = None


def describe(
    mentions: Sequence[Mention], background: str | None, rng: np.random.Generator
) -> tuple[str, tuple[str, ...]]:
    """A sentence and its phrases: each exactly as it stands in the sentence.

    There is a phrase for each mention, and a last one for the background if it is named.

    Args:
        mentions: what to say, in this order; none gives an empty sentence.
        background: the color of the background, if it is to be named.
    """
    if not mentions:
        return "", ()
    places = all(mention.place for mention in mentions)
    style = rng.choice(["article", "bare", "clause"], p=[0.4, 0.25, 0.35])
    one_kind = len({mention.name for mention in mentions}) == 1 and rng.random() < 0.5
    phrases = [
        _phrase(mention, style, places, again=one_kind and index > 0)
        for index, mention in enumerate(mentions)
    ]
    before = "a photo of " if style == "article" and rng.random() < 0.12 else ""
    return _assemble(phrases, before, _ending(background, style, rng), style, rng)


def article(words: str) -> str:
    """`words` with "a" or "an" before, unless they are plural, hair or skin."""
    if _plural(words) or words.endswith(PARTS):
        return words
    vowel = words[0] in "aeiou" and not words.startswith(("uni", "eu", "uk "))
    return f"{'an' if vowel else 'a'} {words}"


def _plural(name: str) -> bool:
    return name.endswith("s") and not name.endswith(("ss", "is", "us"))


def _phrase(mention: Mention, style: str, places: bool, *, again: bool) -> str:
    colored = f"{mention.color} {mention.name}" if mention.color else mention.name
    if mention.wearer:
        return _worn(mention, colored, style)
    verb = "are" if _plural(mention.name) else "is"
    if places and style == "clause" and mention.color:
        noun = "one" if again and verb == "is" else mention.name
        return f"the {_with_place(noun, str(mention.place))} {verb} {mention.color}"
    if places:
        noun = colored if style == "bare" else f"the {colored}"
        return f"{noun} {WHERE[str(mention.place)]}"
    if style == "clause" and mention.color:
        return f"the {mention.name} {verb} {mention.color}"
    return colored if style == "bare" else article(colored)


def _worn(mention: Mention, colored: str, style: str) -> str:
    """ "a woman in a red dress", "the left woman's dress is red"."""
    who = str(mention.wearer)
    if style == "clause" and mention.color:
        owner = _with_place(who, mention.place) if mention.place else who
        verb = "are" if _plural(mention.name) else "is"
        return f"the {owner}'s {mention.name} {verb} {mention.color}"
    joint = "with" if mention.name in PARTS else "in"
    if style == "bare":
        return f"{_somewhere(who, mention.place)} {joint} {colored}"
    one = f"the {who}" if mention.place else article(who)
    return f"{_somewhere(one, mention.place)} {joint} {article(colored)}"


def _somewhere(noun: str, place: str | None) -> str:
    return f"{noun} {WHERE[place]}" if place else noun


def _with_place(noun: str, place: str) -> str:
    """ "left cup", "leftmost cup", "second cup from the left"."""
    ordinal, _, side = place.partition(" from ")
    return f"{ordinal} {noun} from {side}" if side else f"{BEFORE.get(place, place)} {noun}"


def _ending(background: str | None, style: str, rng: np.random.Generator) -> str:
    if background is None:
        return ""
    if style == "clause":
        return f", the background is {background}"
    return str(rng.choice([f" on {article(background)} background", f", {background} background"]))


def _assemble(
    phrases: list[str], before: str, after: str, style: str, rng: np.random.Generator
) -> tuple[str, tuple[str, ...]]:
    joint = ", " if style == "bare" or rng.random() < 0.55 else " and "
    last = " and " if joint == ", " and style != "bare" and rng.random() < 0.3 else joint
    stop = "." if rng.random() < 0.15 else ""
    letters = rng.choice(["lower", "sentence", "upper"], p=[0.75, 0.2, 0.05])
    if letters == "upper":
        phrases, before, after = [p.upper() for p in phrases], before.upper(), after.upper()
        joint, last = joint.upper(), last.upper()
    elif letters == "sentence" and before:
        before = before.capitalize()
    elif letters == "sentence":
        phrases = [phrases[0].capitalize(), *phrases[1:]]
    head = joint.join(phrases[:-1]) + last if len(phrases) > 1 else ""
    text = f"{before}{head}{phrases[-1]}{after}{stop}"
    return text, (*phrases, *_BEFORE_GROUND.split(after)[1:])
