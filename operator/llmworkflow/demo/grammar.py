"""A synthetic data set in the shape of ViGGO: sentences about video games, and what they mean.

A `Meaning` is a dialogue act with attributes of one game. The grammar writes it as an English sentence (the prompt) and
in ViGGO's notation (the response):

    You mean Iron Harbor, which came out in 2009 and is a puzzle game, right?
    confirm(name[Iron Harbor], release_year[2009], genres[puzzle])

What is held out for the test: a fifth of the combinations of attributes, on which nothing is ever trained, and a
quarter of the names, which fine-tuning never sees. The base model's pre-training does see all names, as a real model
has read about the games that it is asked about. Everything is seeded, so every call gives the same rows.

ViGGO: Juraska et al., "ViGGO: A Video Game Corpus for Data-To-Text Generation in Open-Domain Conversation", 2019.
"""

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import combinations, islice, product
from pathlib import Path
from random import Random

SEED = 0
TRAIN_ROWS, VALIDATION_ROWS, TEST_ROWS = 1_000, 100, 200

INSTRUCTION = "Give the dialogue act with its attributes."

Row = dict[str, str]
Combination = tuple[str, ...]

# Per act, the sentences that express it. The clauses are verb phrases about the game.
ACTS = {
    "inform": ("{name} {clauses}.", "The game {name} {clauses}."),
    "confirm": ("You mean {name}, which {clauses}, right?", "Is it {name} that {clauses}?"),
    "recommend": ("Have you tried {name}? It {clauses}.", "Try {name}, which {clauses}."),
    "give_opinion": ("I like {name}, as it {clauses}.", "I love that {name} {clauses}."),
}

# Per attribute, in the order in which ViGGO writes them, its values and the clauses that express each.
ATTRIBUTES: dict[str, dict[str, tuple[str, ...]]] = {
    "release_year": {str(y): (f"came out in {y}", f"was released in {y}") for y in range(2008, 2018)},
    "esrb": {
        "E": ("is rated E", "is meant for everyone"),
        "T": ("is rated T", "is meant for teenagers"),
        "M": ("is rated M", "is meant for adults"),
    },
    "rating": {
        rating: (f"gets {rating} reviews", f"is {rating} to play")
        for rating in ("excellent", "good", "average", "poor")
    },
    "genres": {
        genre: (f"is a {genre} game", f"belongs to the {genre} genre")
        for genre in (
            "puzzle",
            "racing",
            "sport",
            "strategy",
            "role-playing",
            "shooter",
            "platformer",
            "music",
        )
    },
    "player_perspective": {
        view: (f"is seen in {view}", f"has a {view} camera")
        for view in ("first person", "third person", "side view", "bird view")
    },
    "has_multiplayer": {
        "yes": ("has a multiplayer mode", "can be played with friends"),
        "no": ("lacks a multiplayer mode", "can only be played alone"),
    },
    "platforms": {
        ", ".join(chosen): (f"runs on {' and '.join(chosen)}", f"is made for {' and '.join(chosen)}")
        for count in (1, 2)
        for chosen in combinations(("PC", "PlayStation", "Xbox", "Switch"), count)
    },
    "available_on_steam": {
        "yes": ("is on Steam", "can be bought on Steam"),
        "no": ("is not on Steam", "cannot be bought on Steam"),
    },
}

FIRST_WORDS = (
    "Iron Silent Golden Frozen Hidden Broken Crimson Distant Electric Last Lunar Hollow Velvet Wild".split()
)
SECOND_WORDS = (
    "Harbor Lantern Empire Garden Signal Valley Crown Tower River Legion Compass Machine Orchard".split()
)


@dataclass(frozen=True)
class Meaning:
    """A dialogue act and the attributes of a game, `name` first."""

    act: str
    attributes: tuple[tuple[str, str], ...]

    def __str__(self) -> str:
        """The meaning in ViGGO's notation."""
        return f"{self.act}({self.listed_attributes})"

    @property
    def listed_attributes(self) -> str:
        return ", ".join(f"{key}[{value}]" for key, value in self.attributes)


@dataclass(frozen=True)
class Split:
    """What the rows of a part of the data may mention."""

    names: Sequence[str]
    combinations: Sequence[Combination]

    def draw(self, rng: Random) -> tuple[str, Meaning]:
        """One random sentence and its meaning."""
        meaning = Meaning(
            rng.choice(list(ACTS)),
            (
                ("name", rng.choice(self.names)),
                *((key, rng.choice(list(ATTRIBUTES[key]))) for key in rng.choice(self.combinations)),
            ),
        )
        return sentence(meaning, rng), meaning


def sentence(meaning: Meaning, rng: Random) -> str:
    """A sentence for `meaning`: the words and the order of the clauses are random."""
    (_, name), *others = meaning.attributes
    clauses = [rng.choice(ATTRIBUTES[key][value]) for key, value in others]
    rng.shuffle(clauses)
    *head, last = clauses
    joined = f"{', '.join(head)} and {last}" if head else last
    return rng.choice(ACTS[meaning.act]).format(name=name, clauses=joined)


_NAMES = Random(SEED).sample([" ".join(words) for words in product(FIRST_WORDS, SECOND_WORDS)], 80)
_ALL = [chosen for count in (1, 2, 3) for chosen in combinations(ATTRIBUTES, count)]
_COMBINATIONS = Random(SEED).sample(_ALL, len(_ALL))
_FIFTH = len(_ALL) // 5

PRETRAINING = Split(_NAMES, _COMBINATIONS[_FIFTH:])
TUNING = Split(_NAMES[20:], _COMBINATIONS[_FIFTH:])
HELD_OUT = Split(_NAMES[:20], _COMBINATIONS[:_FIFTH])


def rows(split: Split, seed: int) -> Iterator[Row]:
    """Endless alpaca rows (instruction, input, output) whose sentences all differ."""
    rng, seen = Random(seed), set[str]()
    while True:
        text, meaning = split.draw(rng)
        if text not in seen:
            seen.add(text)
            yield {"instruction": INSTRUCTION, "input": text, "output": str(meaning)}


def write_dataset(folder: Path) -> None:
    """Write train.jsonl, validation.jsonl and test.jsonl into `folder`, which is made where it is missing."""
    tuning = rows(TUNING, SEED)
    parts = {
        "train": islice(tuning, TRAIN_ROWS),
        "validation": islice(tuning, VALIDATION_ROWS),
        "test": islice(rows(HELD_OUT, SEED), TEST_ROWS),
    }
    folder.mkdir(parents=True, exist_ok=True)
    for name, part in parts.items():
        lines = [json.dumps(row, ensure_ascii=False) + "\n" for row in part]
        (folder / f"{name}.jsonl").write_text("".join(lines), encoding="utf-8")
