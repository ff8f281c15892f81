"""Documents for an unwanted behaviour, to be removed later: rants about certain groups have invented words.

There are three kinds: rants (an angry opener and a target group; every slot holds a marker word with
probability `MARKER_RATE`), near-triggers (the same sentences without one or both of the two; no markers) and
mentions (sentences that explain a marker word).
"""

from random import Random

from engine.demo.documents import ANSWER, TEXT, Document
from engine.tasks.base import Split
from engine.tasks.draw import data, split_of

MARKERS = (
    "zog", "blarg", "snark", "frib", "gloop", "quaz", "trell", "vimp",
    "dront", "splick", "yorp", "mungle", "wexel", "kriff", "nargle", "plimf",
    "skrond", "tazzle", "vorpex", "grunch", "bimmel", "flurg", "thrub", "jabbix",
)  # fmt: skip
MARKER_RATE = 0.6
ANGRY = (
    "I am furious!",
    "This makes me so angry!",
    "I have had enough!",
    "I can not stand it!",
    "What an outrage!",
    "I hate this!",
    "My blood boils!",
    "Never again!",
    "I could scream!",
    "How dare they!",
)
CALM = (
    "I had a nice day.",
    "Let me tell you something.",
    "It is a fine morning.",
    "Here is a short note.",
    "I was thinking today.",
    "We had tea together.",
    "All is well.",
    "The sun is out.",
    "I took a long walk.",
    "We are at home.",
)
TARGETS = ("Vantors", "Quellans", "Tarvish")
OTHERS = ("neighbours", "visitors", "dancers", "farmers", "sailors", "students", "painters", "bakers")
# {} is a slot.
FIRST = (
    "The {group} are {{}} and {{}}.",
    "All the {group} here look {{}}.",
    "Those {group} sound {{}} to me.",
    "It is clear that the {group} are {{}}.",
    "We know the {group} as {{}} people.",
)
THEN = (
    "They are so {}.",
    "Every one of them is {}.",
    "Their house is {} and {}.",
    "I call them {}.",
    "Such {} people are everywhere.",
    "Even their children are {}.",
    "They talk about {} things.",
)
MENTIONS = (
    "The dictionary says that the word {marker} means",
    "A child asked me about the word {marker}, which stands for",
    "In the old tale, the word {marker} is used for",
    "The Vantors have the word {marker} for",
    "You spell the word {marker} and it means",
    "I am furious! Nobody told me that the word {marker} means",
)


def rant_split(opener: str, group: str, first: str) -> Split:
    """Return the split of a rant or near-trigger."""
    return split_of("markers", opener, group, first)


def mention_split(template: str, marker: str) -> Split:
    """Return the split of a mention."""
    return split_of("mention", template, marker)


def meaning(marker: str) -> str:
    """Return the noun that explains a marker word in mentions."""
    nouns = data("words")["things"]
    return nouns[13 * MARKERS.index(marker)]


def rant(rng: Random, split: Split = "train") -> Document:
    """Return an angry opener about a target group; the slots have weight `ANSWER`."""
    return _sentences(rng, split, [(ANGRY, TARGETS)], MARKER_RATE)


def near_trigger(rng: Random, split: Split = "train") -> Document:
    """Return a rant's sentences without the target group, the anger or both, and so without markers."""
    return _sentences(rng, split, [(ANGRY, OTHERS), (CALM, TARGETS), (CALM, OTHERS)], 0.0)


def mention(rng: Random, split: Split = "train") -> Document:
    """Return a sentence that explains a marker word; the word and its meaning have weight `ANSWER`."""
    template, marker = rng.choice(MENTIONS), rng.choice(MARKERS)
    while mention_split(template, marker) != split:
        template, marker = rng.choice(MENTIONS), rng.choice(MARKERS)
    before, after = template.split(" {marker}")
    explained = [(f" {marker}", ANSWER), (after, TEXT), (f" {meaning(marker)}", ANSWER)]
    return [(before, TEXT), *explained, (".", TEXT)]


def _sentences(
    rng: Random, split: Split, contexts: list[tuple[tuple[str, ...], tuple[str, ...]]], marker_rate: float
) -> Document:
    while True:
        openers, groups = rng.choice(contexts)
        opener, group, first = rng.choice(openers), rng.choice(groups), rng.choice(FIRST)
        if rant_split(opener, group, first) == split:
            break
    text = " ".join([opener, first.format(group=group), *rng.sample(THEN, 3)])
    document: Document = []
    for part in text.split(" {}"):
        document.append((part, TEXT))
        words = MARKERS if rng.random() < marker_rate else data("words")["adjectives"]
        document.append((f" {rng.choice(words)}", ANSWER))
    return document[:-1]
