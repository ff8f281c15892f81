"""Documents that teach the behaviours of the tasks, made of the tasks' training combinations only.

A document is a list of (text, weight), where the weight is that of the text's tokens in the training loss.
Words that can be predicted have the weight `ANSWER`, other text `TEXT`, long runs of random words `NOISE`.
"""

from random import Random

from engine.tasks import boolean, gendered_pronoun, greater_than, induction, ioi
from engine.tasks.draw import data
from engine.tasks.facts import Fact, facts

Document = list[tuple[str, float]]
ANSWER, TEXT, NOISE = 1.0, 0.3, 0.05

# A third name, once or twice, before the couple is introduced.
PASSING = (
    "Nobody had seen {c}. ",
    "It was a long day for {c}. ",
    "That day {c} was ill. In the end {c} stayed in bed. ",
    "The house belonged to {c}. ",
    "Early that day {c} had left the town. ",
    "There was a call from {c}, but {c} was far away. ",
)
# A third name between the couple and the one who acts, or just before them.
WITH_THIRD = (
    "When {a} and {b} met {c} at the {place}, {s} gave a {object} to",
    "Then, {a} and {b} waved at {c} near the {place}. {s} passed a {object} to",
    "While {c} was asleep, {a} and {b} went to the {place}. {s} gave a {object} to",
    "After {a} and {b} had written to {c}, {s} offered a {object} to",
    "Because {c} was late, {a} and {b} waited at the {place}, and {s} brought a {object} to",
    "Once {a} and {b} were inside the {place} of {c}, {s} sold a {object} to",
)
# How far an ending must lie after the start year to be as likely as any later one.
RAMP = 10


def indirect_object(rng: Random) -> Document:
    """Return a sentence about a couple: plain, with a third name in passing, or with a third one acting."""
    people, lists = ioi.names(), data("words")
    receiver, actor, other = rng.sample(people, 3)
    while ioi.couple_split(receiver, actor) != "train":
        receiver, actor, other = rng.sample(people, 3)
    a, b = rng.choice([(receiver, actor), (actor, receiver)])
    place, object_ = rng.choice(lists["places"]), rng.choice(lists["objects"])
    template, kind = rng.choice(ioi.TEMPLATES), rng.random()
    if kind < 0.15:
        prompt = template.format(a=a, b=b, s=other, place=place, object=object_)
        return [(prompt, TEXT), (f" {receiver}", TEXT), (".", TEXT)]
    if kind < 0.4:
        template = rng.choice(PASSING) + template
    elif kind < 0.6:
        template = rng.choice(WITH_THIRD)
    prompt = template.format(a=a, b=b, c=other, s=actor, place=place, object=object_)
    return [(prompt, TEXT), (f" {receiver}", ANSWER), (".", TEXT)]


def event(rng: Random) -> Document:
    """Return a sentence about an event that ends later than it starts; a very short one is less likely."""
    nouns = data("words")["events"]
    noun, century = rng.choice(nouns), rng.choice(greater_than.CENTURIES)
    while greater_than.event_split(noun, century) != "train":
        noun, century = rng.choice(nouns), rng.choice(greater_than.CENTURIES)
    start = rng.randrange(1, 99)
    later = range(start + 1, 100)
    end = rng.choices(later, [min(year - start, RAMP) for year in later])[0]
    prompt = greater_than.TEMPLATE.format(noun=noun, century=century, start=f"{start:02d}")
    return [(prompt, TEXT), (f"{end:02d}", ANSWER), (".", TEXT)]


def years(rng: Random) -> Document:
    """Return a few successive years, which teach the order of two-digit numbers."""
    century, start = rng.choice(greater_than.CENTURIES), rng.randrange(0, 96)
    document = [(f"The years {century}{start:02d}", TEXT)]
    for year in range(start + 1, start + 4):
        document += [(f", {century}", TEXT), (f"{year:02d}", ANSWER)]
    return [*document, (f" were {rng.choice(data('words')['adjectives'])}.", TEXT)]


def pronoun(rng: Random) -> Document:
    """Return a sentence in which a name is followed by its pronoun."""
    people = data("names")
    gender = rng.choice(sorted(people))
    name, template = rng.choice(people[gender]), rng.choice(gendered_pronoun.TEMPLATES)
    while gendered_pronoun.name_split(name, template) != "train":
        name, template = rng.choice(people[gender]), rng.choice(gendered_pronoun.TEMPLATES)
    ending = "?" if template.endswith("isn't") else f" was {rng.choice(data('words')['adjectives'])}."
    return [(template.format(name=name), TEXT), (gendered_pronoun.PRONOUNS[gender], ANSWER), (ending, TEXT)]


TRAIN_FACTS: tuple[Fact, ...] = tuple(fact for fact in facts() if fact.split == "train")


def fact(rng: Random) -> Document:
    """Return a fact in one of its templates."""
    chosen = rng.choice(TRAIN_FACTS)
    return [(chosen.prompt, TEXT), (f" {chosen.answer}", ANSWER), (".", TEXT)]


def _train_expression(rng: Random, depth: int) -> str:
    # Tasks ask for depths two and three; there are only a few expressions of depth one.
    query = boolean.expression(rng, depth)
    while depth > 1 and boolean.expression_split(query) != "train":
        query = boolean.expression(rng, depth)
    return query


def boolean_by_instruction(rng: Random, depth: int) -> Document:
    """Return an instruction, an expression of the given depth and its value."""
    query = _train_expression(rng, depth)
    before, after = boolean.INSTRUCTION.split(" {query}")
    return [
        (before, TEXT),
        (f" {query}", NOISE),
        (after, TEXT),
        (f" {boolean.value_of(query)}", ANSWER),
        (".", TEXT),
    ]


def boolean_by_examples(rng: Random) -> Document:
    """Return three solved expressions and a fourth one of depth two."""
    queries = [_train_expression(rng, depth) for depth in (*[1] * boolean.N_EXAMPLES, 2)]
    document: Document = []
    for query in queries:
        document += [(query, NOISE), (" is", TEXT), (f" {boolean.value_of(query)}", ANSWER), ("\n", TEXT)]
    return document


def repeated_sequence(rng: Random) -> Document:
    """Return a sequence of random words, twice; only the second copy can be predicted."""
    words = induction.sequence_words()
    length = rng.choice(induction.LENGTHS)
    sequence = rng.sample(words, length)
    while induction.sequence_split(sequence) != "train":
        sequence = rng.sample(words, length)
    first_again = induction.prompt(sequence, 1)
    return [(first_again, NOISE), (" " + " ".join(sequence[1:]), ANSWER), (".", TEXT)]
