"""Documents of plain story sentences, for language outside the tasks."""

from random import Random

from engine.demo.documents import TEXT, Document
from engine.tasks.draw import data
from engine.tasks.gendered_pronoun import PRONOUNS

BEGINNINGS = (
    "{name} was {adjective}.",
    "Once upon a time there was a {adjective} {thing}.",
    "{name} lived near the {place} with a {adjective} {thing}.",
    "One day {name} found a {adjective} {thing}.",
    "There was a {thing} near the {place}.",
    "The {place} was {adjective} and {adjective}.",
)
MIDDLES = (
    "It was very {adjective}.",
    "The {thing} was {adjective}.",
    "A {adjective} {thing} was in the {place}.",
    "Nobody knew where the {thing} was.",
    "The {adjective} {object} was lost at the {place}.",
    "Everyone at the {place} wanted to see the {thing}.",
)
ABOUT_A_PERSON = (
    "In the evening {pronoun} went to the {place}.",
    "There {pronoun} bought a {object} and a {object}.",
    "Then {pronoun} looked for a {thing}.",
    "Soon {pronoun} was {adjective} again.",
    "At night {pronoun} dreamed of a {adjective} {thing}.",
)
ENDINGS = ("That was the end of the day.", "And so the story ends.", "Then it was time to sleep.", "")


def story(rng: Random) -> Document:
    """Return three or four sentences about a person, a thing or a place."""
    lists = data("words")
    gender = rng.choice(sorted(PRONOUNS))
    beginning = rng.choice(BEGINNINGS)
    middles = MIDDLES + ABOUT_A_PERSON if "{name}" in beginning else MIDDLES
    text = " ".join([beginning, *rng.sample(middles, rng.choice((1, 2))), rng.choice(ENDINGS)]).strip()
    fields = {
        "{name}": data("names")[gender],
        "{pronoun}": [PRONOUNS[gender].strip()],
        "{adjective}": lists["adjectives"],
        "{thing}": lists["things"],
        "{place}": lists["places"],
        "{object}": lists["objects"],
    }
    for field, choices in fields.items():
        while field in text:
            text = text.replace(field, rng.choice(choices), 1)
    return [(text, TEXT)]
