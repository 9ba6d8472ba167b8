"""The world of the embedded experiment: short stories about things people have, and how many they have at the end.

A story has a start and one to three steps. Every total is from 0 to 59. The gold solution has one equation for each
step:

    ann has 12 apples . then ann buys 7 more . then ann loses 5 . how many apples does ann have now ?
    12 + 7 = 19 ; 19 - 5 = 14 #### 14

A number is one word. If numbers were split into digits, models of this size would not learn two-digit sums from a few
million words.
"""

from collections.abc import Callable
from dataclasses import dataclass
from random import Random

MAX_NUMBER = 59
MAX_CHANGE = 20
MAX_STEPS = 3

PAD, BOS, EOS, UNKNOWN = "<pad>", "<bos>", "<eos>", "<unk>"
SPECIAL_WORDS = (PAD, BOS, EOS, UNKNOWN)
PEOPLE = ("ann", "ben", "carl", "dora", "emil", "fay", "gus", "hana")
THINGS = ("apples", "books", "coins", "pens", "shells", "stamps", "cards", "plums")
SYMBOLS = ("+", "-", "=", ";", "####", ".", ":", "?")
# `task` and `answer` mark the experiment's own prompts and never occur in the pretraining text.
MARKERS = ("task", "answer", "solution", "other", "right", "wrong", "is", "first", "second", "so")
STORY_WORDS = (
    *("has", "then", "more", "how", "many", "does", "have", "now"),
    *("buys", "finds", "wins", "gets", "loses", "sells", "lends", "gives", "to", "from"),
)
NUMBERS = tuple(str(number) for number in range(100))
WORDS = (*SPECIAL_WORDS, *NUMBERS, *SYMBOLS, *MARKERS, *STORY_WORDS, *PEOPLE, *THINGS)


@dataclass(frozen=True, slots=True)
class Problem:
    """The question of a story, with its gold solution and final number."""

    question: str
    solution: str
    answer: int


@dataclass(frozen=True, slots=True)
class Step:
    """One sentence of a story, and the change of the total: `sign` (+1 or -1) times `amount`."""

    sentence: str
    sign: int
    amount: int


@dataclass(frozen=True, slots=True)
class Story:
    """The parts of a story, from which its question is written."""

    person: str
    thing: str
    start: int
    steps: tuple[Step, ...]

    @property
    def opening(self) -> str:
        """The sentence that says what the person has at the start."""
        return f"{self.person} has {self.start} {self.thing} ."

    @property
    def closing(self) -> str:
        """The sentence that asks for the total."""
        return f"how many {self.thing} does {self.person} have now ?"

    @property
    def question(self) -> str:
        """The whole story with the question at its end."""
        return " ".join((self.opening, *(step.sentence for step in self.steps), self.closing))


# {p} is the story's person, {o} another person, {n} the amount. The verb alone says whether it is a gain or a loss.
# When that depended on who gives to whom, a model of two layers of width 64 still misread a sentence in every third
# story after training on 16M words.
GAINS = (
    "then {p} buys {n} more .",
    "then {p} finds {n} more .",
    "then {p} wins {n} .",
    "then {p} gets {n} from {o} .",
)
LOSSES = (
    "then {p} loses {n} .",
    "then {p} sells {n} .",
    "then {p} lends {n} .",
    "then {p} gives {n} to {o} .",
)

Arithmetic = Callable[[int, int, int], int]


def exact(total: int, sign: int, amount: int) -> int:
    """Return the right total after a step."""
    return total + sign * amount


def draw_story(random: Random) -> Story:
    """Return a random story. All its true totals are from 0 to `MAX_NUMBER`."""
    person, other = random.sample(PEOPLE, 2)
    start = total = random.randint(2, MAX_NUMBER)
    steps: list[Step] = []
    for _ in range(random.randint(1, MAX_STEPS)):
        step = draw_step(random, person, other, total)
        total = exact(total, step.sign, step.amount)
        steps.append(step)
    return Story(person, random.choice(THINGS), start, tuple(steps))


def draw_step(random: Random, person: str, other: str, total: int) -> Step:
    """Return a random gain or loss after which the total is still from 0 to `MAX_NUMBER`."""
    # A change is at least 1, so a total of 0 allows only a gain, and the largest total allows only a loss.
    gains = total < 1 or (total < MAX_NUMBER and random.random() < 0.5)
    room = MAX_NUMBER - total if gains else total
    amount = random.randint(1, min(room, MAX_CHANGE))
    sentence = random.choice(GAINS if gains else LOSSES).format(p=person, o=other, n=amount)
    return Step(sentence, 1 if gains else -1, amount)


def equation(total: int, sign: int, amount: int, result: int) -> str:
    """Return the equation of one step. It may be wrong, because `result` is written as it is given."""
    return f"{total} {'+' if sign > 0 else '-'} {amount} = {result}"


def solve(start: int, steps: tuple[Step, ...], arithmetic: Arithmetic = exact) -> tuple[str, int]:
    """Return the solution with its equations, and the final number. `arithmetic` computes the total after each step."""
    total = start
    equations: list[str] = []
    for step in steps:
        result = arithmetic(total, step.sign, step.amount)
        equations.append(equation(total, step.sign, step.amount, result))
        total = result
    return f"{' ; '.join(equations)} #### {total}", total


def generate(count: int, seed: int) -> list[Problem]:
    """Return `count` problems with different questions, so that training and test rows can never share a question."""
    # The order of all random draws is part of the world. With one more draw, every seed would give other rows.
    random = Random(seed)  # noqa: S311 (stories, not secrets)
    problems: dict[str, Problem] = {}
    while len(problems) < count:
        story = draw_story(random)
        solution, answer = solve(story.start, story.steps)
        problems.setdefault(story.question, Problem(story.question, solution, answer))
    return list(problems.values())
