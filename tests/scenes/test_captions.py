"""Descriptions."""

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from lcad_nodes.scenes.captions import Mention, article, describe

mentions = st.lists(
    st.builds(
        Mention,
        st.sampled_from(["cup", "dump truck", "owl"]),
        st.sampled_from([None, "red", "orange"]),
    ),
    max_size=3,
)
seeds = st.integers(0, 2**32)


@settings(deadline=None)
@given(mentions, st.sampled_from([None, "gray"]), seeds)
def test_each_phrase_stands_in_the_text_in_its_order(
    said: list[Mention], background: str | None, seed: int
) -> None:
    text, phrases = describe(said, background, np.random.default_rng(seed))
    assert len(phrases) == len(said) + bool(said and background)
    position = 0
    for mention, phrase in zip(said, phrases, strict=False):
        position = text.index(phrase, position) + len(phrase)
        assert mention.name in phrase.lower()
        assert mention.color is None or mention.color in phrase.lower()
    assert (text == "") == (not said)
    if said and background:
        assert phrases[-1].lower() in {
            "gray background",
            "a gray background",
            "the background is gray",
        }
        assert phrases[-1] in text[position:]


@settings(deadline=None)
@given(seeds)
def test_things_of_one_kind_are_told_apart_by_their_places(seed: int) -> None:
    said = [Mention("cup", "blue", "left"), Mention("cup", "red", "right")]
    _, phrases = describe(said, None, np.random.default_rng(seed))
    for mention, phrase in zip(said, phrases, strict=True):
        assert str(mention.place) in phrase.lower()
        assert str(mention.color) in phrase.lower()


def test_many_ways_of_saying_it() -> None:
    said = [Mention("cup", "blue"), Mention("owl", "red")]
    texts = {describe(said, None, np.random.default_rng(seed))[0] for seed in range(200)}
    assert {
        "a blue cup and a red owl",
        "blue cup, red owl",
        "the cup is blue, the owl is red",
        "A blue cup, a red owl",
    } <= texts
    assert len(texts) > 15


def test_articles_follow_the_sound() -> None:
    assert article("orange cup") == "an orange cup"
    assert article("european bear") == "a european bear"
    assert article("red owl") == "a red owl"
    assert article("red mantis") == "a red mantis"
    assert article("red scissors") == "red scissors"


@settings(deadline=None)
@given(seeds)
def test_many_are_and_one_is(seed: int) -> None:
    said = [Mention("grapes", "blue", "left"), Mention("grapes", "red", "right")]
    text, _ = describe(said, None, np.random.default_rng(seed))
    words = text.lower().replace(".", "").split()
    assert "is" not in words
    assert "one" not in words


def test_one_of_four_is_found_by_its_place_in_the_row() -> None:
    said = [
        Mention("cup", "red", "far left"),
        Mention("cup", "blue", "second from the left"),
        Mention("cup", "green", "second from the right"),
        Mention("cup", "pink", "far right"),
    ]
    texts = {describe(said, None, np.random.default_rng(seed))[0] for seed in range(200)}
    assert (
        "the leftmost cup is red, the second cup from the left is blue, "
        "the second cup from the right is green, the rightmost cup is pink"
    ) in texts
    assert any("the blue cup second from the left" in text for text in texts)


def test_what_somebody_wears_is_told_of_them() -> None:
    told = set()
    for seed in range(200):
        rng = np.random.default_rng(seed)
        worn = Mention("dress", "red", wearer="woman"), Mention("jeans", "blue", wearer="man")
        text, phrases = describe(worn, None, rng)
        assert all(phrase in text for phrase in phrases)
        told.add(text.lower().removesuffix("."))
        placed = [Mention("hair", "gray", "left", "boy"), Mention("jeans", "blue", "right", "man")]
        told.update(phrase.lower() for phrase in describe(placed, None, rng)[1])
        skin = Mention("skin", "fair", wearer="girl")
        told.update(phrase.lower() for phrase in describe([skin], None, rng)[1])
    assert told >= {
        "a woman in a red dress and a man in blue jeans",
        "woman in red dress, man in blue jeans",
        "the woman's dress is red, the man's jeans are blue",
        "the boy on the left with gray hair",
        "the left boy's hair is gray",
        "man on the right in blue jeans",
        "the right man's jeans are blue",
        "a girl with fair skin",
        "the girl's skin is fair",
    }
