"""Boolean expressions (as in BIG-Bench Hard), asked by an instruction or after three solved examples."""

from abc import abstractmethod
from collections import defaultdict
from random import Random

from engine.tasks.base import Pair, Split, Task, Words, tasks
from engine.tasks.draw import draw_pairs, require, split_of

INSTRUCTION = "Say whether the expression is true or false. {query} is"
EXAMPLE = "{expression} is {value}\n"
N_EXAMPLES = 3
# Expressions to draw before choosing pairs of equal length and other values: always, and per pair asked for.
# Only a fifth of them is in the test split, and the short ones come up again and again.
POOL, POOL_PER_PAIR = 400, 12


def literal(rng: Random) -> str:
    """Return True or False, negated in one case of three."""
    value = rng.choice(("True", "False"))
    return f"not {value}" if rng.random() < 1 / 3 else value


def expression(rng: Random, depth: int) -> str:
    """Return a random expression whose brackets are nested `depth` levels deep, the outermost left out.

    At depth 1 it is two literals and an operator; at greater depths one operand is an expression in
    brackets that is one level less deep, the other a literal or, at depth two, a bracket of its own.
    Literals may be negated, brackets are not.
    """
    if depth == 1:
        return f"{literal(rng)} {rng.choice(('and', 'or'))} {literal(rng)}"
    operands = [f"({expression(rng, depth - 1)})", literal(rng)]
    if depth == 2 and rng.random() < 0.4:
        operands[1] = f"({expression(rng, 1)})"
    rng.shuffle(operands)
    return f"{operands[0]} {rng.choice(('and', 'or'))} {operands[1]}"


def value_of(text: str) -> bool:
    """Return the value of an expression of this module."""
    return bool(eval(text, {"__builtins__": {}}))


def depth_of(text: str) -> int:
    """Return the depth of an expression, counting the outermost level."""
    level = deepest = 0
    for character in text:
        level += (character == "(") - (character == ")")
        deepest = max(deepest, level)
    return deepest + 1


def expression_split(text: str) -> Split:
    """Return the split of an expression, the same for both tasks."""
    return split_of("boolean", text)


def example_lines(rng: Random) -> str:
    """Return three solved expressions of depth one, a depth that is never asked."""
    examples = [expression(rng, 1) for _ in range(N_EXAMPLES)]
    return "".join(EXAMPLE.format(expression=e, value=value_of(e)) for e in examples)


class BooleanExpressions(Task):
    """The corrupt prompt asks an expression of equal length with the other value; all else is the same."""

    name: str
    depths: tuple[int, ...]

    @abstractmethod
    def frame(self, rng: Random) -> str:
        """Return the text around an expression, with {query} where it goes."""

    def pairs(self, words: Words, split: Split, n: int, seed: int) -> list[Pair]:
        """A prompt's split is that of the expression it asks for."""
        single_tokens = sum(words.token_id(f" {value}") is not None for value in (True, False))
        require(self.name, 2, single_tokens, 2, "truth values that are one token")
        rng = Random(f"{self.name}-{split}-{seed}")
        pool: dict[tuple[int, int, bool], list[str]] = defaultdict(list)
        for _ in range(POOL + POOL_PER_PAIR * n):
            depth = rng.choice(self.depths)
            query = expression(rng, depth)
            if expression_split(query) == split:
                pool[depth, len(words.encode(f" {query}")), value_of(query)].append(query)
        choices = [(key, query) for key, queries in pool.items() for query in queries]

        def draw(rng: Random) -> Pair | None:
            (depth, length, value), query = rng.choice(choices)
            others = pool.get((depth, length, not value))
            if not others:
                return None
            frame = self.frame(rng)
            return Pair(
                clean=frame.format(query=query),
                corrupt=frame.format(query=rng.choice(others)),
                answers=(f" {value}",),
                wrong_answers=(f" {not value}",),
                template=f"depth {depth}",
            )

        return draw_pairs(draw, words, n, f"{self.name}-{split}-{seed}-pairs")


@tasks.register("boolean-instruction")
class BooleanByInstruction(BooleanExpressions):
    """Depths two and three, after one sentence that says what to do."""

    name = "boolean-instruction"
    depths = (2, 3)
    title = "Boolean expressions, by instruction"
    description = "'Say whether the expression is true or false. (True and not False) or False is' → ' True'."

    def frame(self, rng: Random) -> str:
        """Return the instruction."""
        return INSTRUCTION


@tasks.register("boolean-few-shot")
class BooleanByExamples(BooleanExpressions):
    """Depth two, after three solved examples that differ from prompt to prompt."""

    name = "boolean-few-shot"
    depths = (2,)
    title = "Boolean expressions, by examples"
    description = (
        "Three lines like 'not True or False is False' first: '(True or False) and False is' → ' False'."
    )

    def frame(self, rng: Random) -> str:
        """Return three solved examples and the line of the query."""
        return example_lines(rng) + "{query} is"
