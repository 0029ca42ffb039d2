"""A few nouns in WordNet's files."""

from pathlib import Path

# offset: WordNet's file of it, its words, what it is a kind of
SYNSETS = {
    "00000001": ("03", ["entity"], None),
    "00000002": ("05", ["animal"], "00000001"),
    "00000003": ("05", ["canine"], "00000002"),
    "00000004": ("05", ["dog", "domestic_dog"], "00000003"),
    "00000005": ("05", ["fox"], "00000003"),
    "00000006": ("05", ["bird"], "00000002"),
    "00000007": ("06", ["vessel"], "00000001"),
    "00000008": ("06", ["mug"], "00000007"),
    "00000009": ("23", ["mug", "mugful"], "00000001"),
    "00000010": ("18", ["mug", "fool"], "00000001"),
    "00000011": ("06", ["teapot"], "00000007"),
    "00000012": ("09", ["idea"], "00000001"),
    "00000013": ("18", ["man"], "00000001"),
    "00000014": ("06", ["man", "piece"], "00000001"),
}
SENSES = {"mug": ["00000009", "00000010", "00000008"], "man": ["00000013", "00000014"]}


def write_wordnet(folder: Path) -> None:
    """Write `data.noun` and `index.noun` as WordNet 3.0 has them, license first."""
    license = "  1 This software and database is being provided to you\n"
    data, index = [license], [license]
    for offset, (file, words, above) in SYNSETS.items():
        named = " ".join(f"{word} 0" for word in words)
        pointers = f"002 @ {above} n 0000 ~ 00000099 n 0000" if above else "000"
        data.append(f"{offset} {file} n {len(words):02x} {named} {pointers} | what | it is  \n")
    for word in sorted({word for _, words, _ in SYNSETS.values() for word in words}):
        senses = SENSES.get(word) or [o for o, (_, words, _) in SYNSETS.items() if word in words]
        index.append(f"{word} n {len(senses)} 1 @ {len(senses)} 0 {' '.join(senses)}  \n")
    (folder / "data.noun").write_text("".join(data))
    (folder / "index.noun").write_text("".join(index))
