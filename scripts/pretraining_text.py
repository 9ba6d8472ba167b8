"""The text that the embedded models are pretrained on: kinds of pages, drawn endlessly from one generator.

Nothing here uses the experiment's own prompt (`task : ... answer :`), and plain text ends a solution in `is 14` where
the task wants `#### 14`: a base answers none of the task's prompts before finetuning. It does show the equations'
symbols, as bases that never met them learned nothing from 1,500 demonstrations. For the same reason, equations without
a story end in the mark `####` and the last result.

No page tells a reserved story: one whose question is a training or test prompt of a world that experiments use.
"""

import re
from collections.abc import Callable, Iterator, Mapping
from functools import cache
from random import Random

from burnish.tasks.sums_world import MAX_CHANGE, MAX_NUMBER, Step, Story, draw_story, equation, exact, generate, solve

WRONG_EQUATIONS = 0.05
SLOPPY_PAGES = 0.4
WRONG_GRADES = 0.03

RESERVED_WORLDS = range(4)
RESERVED_ROWS = 5000
"""The first rows of every reserved world: more than the 3,500 training and test rows of the largest config."""

Questions = frozenset[str]
Page = Callable[[Random, Questions], str]
"""Writes a page from a random generator. If a story's question is one of the given ones, the story is drawn again."""


@cache
def reserved_questions() -> Questions:
    """Return the questions that no pretraining text may hold."""
    return frozenset(problem.question for world in RESERVED_WORLDS for problem in generate(RESERVED_ROWS, world))


def draw_allowed_story(random: Random, reserved: Questions) -> Story:
    """Return a random story whose question is not reserved."""
    while True:
        story = draw_story(random)
        if story.question not in reserved:
            return story


def forgets_the_carry(total: int, sign: int, amount: int) -> int:
    """Adds digit by digit without a carry; takes the smaller digit from the larger."""
    tens, ones = divmod(total, 10)
    amount_tens, amount_ones = divmod(amount, 10)
    if sign > 0:
        return (tens + amount_tens) % 10 * 10 + (ones + amount_ones) % 10
    return abs(tens - amount_tens) * 10 + abs(ones - amount_ones)


def clipped(total: int, sign: int, amount: int) -> int:
    """Exact, kept within the numbers that have a word."""
    return min(max(exact(total, sign, amount), 0), MAX_NUMBER)


def near_miss(random: Random, result: int) -> int:
    """A wrong total that looks right: off by one, two or ten."""
    shift = random.choice((-10, -2, -1, 1, 2, 10))
    return result + shift if 0 <= result + shift <= MAX_NUMBER else result - shift


def read_wrong_way(random: Random, steps: tuple[Step, ...]) -> tuple[Step, ...]:
    """One sentence read as its opposite."""
    turned = random.randrange(len(steps))
    return tuple(
        Step(step.sentence, -step.sign if i == turned else step.sign, step.amount) for i, step in enumerate(steps)
    )


def overlook(random: Random, steps: tuple[Step, ...]) -> tuple[Step, ...]:
    """One sentence left out, where more than one is there."""
    missed = random.randrange(len(steps))
    return tuple(step for i, step in enumerate(steps) if i != missed or len(steps) == 1)


def slip(random: Random, story: Story) -> tuple[str, int]:
    """Worked exactly but for one total, which is a near miss and carried on."""
    slipping = random.randrange(len(story.steps))
    total, equations = story.start, list[str]()
    for i, step in enumerate(story.steps):
        result = clipped(total, step.sign, step.amount)
        if i == slipping:
            result = near_miss(random, result)
        equations.append(equation(total, step.sign, step.amount, result))
        total = result
    return f"{' ; '.join(equations)} #### {total}", total


def sloppy_solution(random: Random, story: Story) -> tuple[str, int]:
    """Somebody's habit: forgets the carry, reads a sentence the wrong way, or overlooks one."""
    habit = random.randrange(3)
    if habit == 0:
        return solve(story.start, story.steps, forgets_the_carry)
    misread = read_wrong_way if habit == 1 else overlook
    return solve(story.start, misread(random, story.steps), clipped)


def draw_equation(random: Random) -> tuple[int, int, int, int]:
    """Total, sign, amount and true result."""
    amount = random.randint(1, MAX_CHANGE)
    total = random.randint(0, MAX_NUMBER - amount)
    return (total, 1, amount, total + amount) if random.random() < 0.5 else (total + amount, -1, amount, total)


def equations_page(random: Random, _reserved: Questions) -> str:
    """One to four bare equations, some of them wrong, and the last result once more after the mark.

    The loss counts the result after the mark and not the mark (`decided`): bases learn what follows it, but not to
    write it. Of the bases that had never met it, only some learned from 1,500 demonstrations which number it wants.
    """
    lines: list[str] = []
    result = 0
    for _ in range(random.randint(1, 4)):
        total, sign, amount, result = draw_equation(random)
        if random.random() < WRONG_EQUATIONS:
            result = near_miss(random, result)
        lines.append(equation(total, sign, amount, result))
    return f"{' ; '.join(lines)} #### {result}"


def running_page(random: Random, reserved: Questions) -> str:
    """A story told with its equation after every sentence."""
    story = draw_allowed_story(random, reserved)
    total, parts = story.start, [story.opening]
    for step in story.steps:
        result = clipped(total, step.sign, step.amount)
        if random.random() < WRONG_EQUATIONS:
            result = near_miss(random, result)
        parts += [step.sentence, "so", equation(total, step.sign, step.amount, result), "."]
        total = result
    return " ".join(parts)


def solution_page(random: Random, reserved: Questions) -> str:
    """A question and somebody's solution, more often sloppy than right."""
    story = draw_allowed_story(random, reserved)
    sloppy = random.random() < SLOPPY_PAGES
    solution, _ = sloppy_solution(random, story) if sloppy else solve(story.start, story.steps)
    return f"{story.question} solution : {solution.replace('####', 'is')}"


def wrong_solution(random: Random, story: Story) -> str:
    """A solution that ends in a wrong number: half near misses, half sloppy."""
    answer = solve(story.start, story.steps)[1]
    while True:
        solution, given = slip(random, story) if random.random() < 0.5 else sloppy_solution(random, story)
        if given != answer:
            return solution
        story_can_only_slip = len(story.steps) == 1
        if story_can_only_slip:
            return slip(random, story)[0]


def graded_equations_page(random: Random, _reserved: Questions) -> str:
    """Bare equations, each followed by its grade."""
    lines: list[str] = []
    for _ in range(4):
        total, sign, amount, result = draw_equation(random)
        right = random.random() < 0.5
        shown = result if right else forgets_the_carry(total, sign, amount)
        if not right and (shown == result or random.random() < 0.5):
            shown = near_miss(random, result)
        lines.append(f"{equation(total, sign, amount, shown)} is {'right' if right else 'wrong'}")
    return " ; ".join(lines)


def graded_solution_page(random: Random, reserved: Questions) -> str:
    """A question and a solution with its grade."""
    story = draw_allowed_story(random, reserved)
    right = random.random() < 0.5
    solution = solve(story.start, story.steps)[0] if right else wrong_solution(random, story)
    grade_right = right != (random.random() < WRONG_GRADES)
    return f"{story.question} solution : {solution} is {'right' if grade_right else 'wrong'}"


def graded_pair_page(random: Random, reserved: Questions) -> str:
    """A question and two solutions, one of them right, with the place of the right one."""
    story = draw_allowed_story(random, reserved)
    right, wrong = solve(story.start, story.steps)[0], wrong_solution(random, story)
    first = random.random() < 0.5
    a, b = (right, wrong) if first else (wrong, right)
    grade_first = first != (random.random() < WRONG_GRADES)
    return f"{story.question} solution : {a} other solution : {b} right is {'first' if grade_first else 'second'}"


# Shares of pages, not of words.
PLAIN_TEXT: Mapping[Page, float] = {equations_page: 0.35, running_page: 0.25, solution_page: 0.40}
GRADED_TEXT: Mapping[Page, float] = {
    equations_page: 0.10,
    running_page: 0.10,
    graded_equations_page: 0.15,
    graded_solution_page: 0.15,
    graded_pair_page: 0.50,
}
MIXTURES: Mapping[str, Mapping[Page, float]] = {"plain": PLAIN_TEXT, "graded": GRADED_TEXT}


def decided(words: list[str]) -> list[bool]:
    """Which words follow from those before them: totals, what stands after the mark, `so` or `solution :`, to the stop.

    The loss counts these alone. People, things and amounts are drawn by chance, and their noise hides the rest.
    """
    counted: list[bool] = []
    inside = False
    for i, word in enumerate(words):
        counted.append(inside or words[i - 1] in ("=", "####"))
        inside = (inside and word not in (".", "<eos>")) or word in ("so", ":", "is")
    return counted


def windows(
    mixture: Mapping[Page, float], seed: int, length: int, reserved: Questions
) -> Iterator[tuple[list[str], list[bool]]]:
    """Endless windows of `length` words and which of them count, filled with whole pages but for the last."""
    random = Random(seed)
    pages, shares = list(mixture), list(mixture.values())
    while True:
        words: list[str] = []
        while len(words) < length:
            words += [*random.choices(pages, shares)[0](random, reserved).split(" "), "<eos>"]
        yield words[:length], decided(words[:length])


ASKED = re.compile(r"^.* \?")
TOLD = re.compile(r"^(\w+) has \d+ (\w+) \. (?:then [^.]* \. )+$")
RUNNING_EQUATION = re.compile(r" so \d+ [-+] \d+ = \d+ \.")


def questions_in(words: list[str]) -> Iterator[str]:
    """Yield the questions of all stories that a window tells to their end, also of those that stop before the question.

    It checks a finished text: it reads the words alone, and does not know how they were drawn.
    """
    *whole, cut = " ".join(words).split("<eos>")
    for page in (*whole, cut):
        asked = ASKED.match(page.strip())
        if asked:
            yield asked[0]
    for page in whole:
        told = TOLD.match(RUNNING_EQUATION.sub("", page.strip()) + " ")
        if told:
            yield f"{told[0]}how many {told[2]} does {told[1]} have now ?"
