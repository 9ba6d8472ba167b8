"""The pairs of a right and a wrong solution from which the built-in reward model learns (train_rewarder.py)."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from functools import cache
from random import Random

import torch
from pretrain_embedded import MAX_LENGTH, WORD_IDS
from pretraining_text import draw_allowed_story, reserved_questions, slip, sloppy_solution

from burnish.tasks.sums_world import EOS, MAX_NUMBER, NUMBERS, PAD, Story, solve

SEED = 6
"""The seed of the training."""
TESTED = 500
"""How many questions that no training uses are tested."""
TEST_SEED, WATCH_SEED = 106, 206
"""The seeds of the questions that are tested at the end, and of those that are watched during the training."""
KINDS_DRAWN = {"slip": 3, "number changed": 2, "sloppy": 2, "sign changed": 1, "of another question": 1}
"""How often each kind of wrong solution is trained on."""


def numbers_changed(random: Random, story: Story) -> str:
    """A right solution in which one number is another one, and nothing else follows from it."""
    words = solve(story.start, story.steps)[0].split(" ")
    place = random.choice([n for n, word in enumerate(words) if word.isdigit()])
    value, near = int(words[place]), random.random() < 0.5
    other = value + random.choice((-10, -2, -1, 1, 2, 10)) if near else random.randrange(len(NUMBERS))
    words[place] = str(other if 0 <= other < len(NUMBERS) and other != value else (value + 1) % (MAX_NUMBER + 1))
    return " ".join(words)


def sign_changed(random: Random, story: Story) -> str:
    """A right solution in which one sign is turned, and nothing else follows from it."""
    words = solve(story.start, story.steps)[0].split(" ")
    place = random.choice([n for n, word in enumerate(words) if word in ("+", "-")])
    words[place] = "-" if words[place] == "+" else "+"
    return " ".join(words)


def of_another(random: Random, story: Story) -> str:
    """The right solution of another question."""
    other = draw_allowed_story(random, frozenset())
    return solve(other.start, other.steps)[0]


WRONG: dict[str, Callable[[Random, Story], str]] = {
    "slip": lambda random, story: slip(random, story)[0],
    "sloppy": lambda random, story: sloppy_solution(random, story)[0],
    "number changed": numbers_changed,
    "sign changed": sign_changed,
    "of another question": of_another,
}
"""{name: how a wrong solution is made}. One of them may give the right solution; then another is drawn."""


def wrong_by(kind: str, random: Random, story: Story) -> str:
    """A solution of this kind that differs from the right one. Where a habit never leads to another one, it slips."""
    right = solve(story.start, story.steps)[0]
    for _ in range(20):
        found = WRONG[kind](random, story)
        if found != right:
            return found
    return slip(random, story)[0]


def words_of(story: Story, solution: str) -> list[str]:
    """The words that a reward model sees, as burnish renders a prompt and an answer for the built-in models."""
    return f"task : {story.question} answer : {solution} {EOS}".split(" ")


Row = tuple[list[int], list[float], list[float]]
"""The ids of a row, at each word whether the solution is right so far, and the weight of this word in the loss. A
weight of 0 means that the word is one of the question's."""


def graded(story: Story, solution: str) -> Row:
    """Return the row of a solution."""
    right = [*solve(story.start, story.steps)[0].split(" "), EOS]
    words, given = words_of(story, solution), [*solution.split(" "), EOS]
    same = True
    grades: list[float] = []
    for n, word in enumerate(given):
        same = same and n < len(right) and right[n] == word
        grades.append(float(same))
    before = len(words) - len(given)
    # The end is what the head is read for. It counts as much as all other words together.
    weights = [1 / len(given)] * (len(given) - 1) + [1.0]
    return [WORD_IDS[word] for word in words], [0.0] * before + grades, [0.0] * before + weights


@cache
def held_out(seed: int) -> tuple[Story, ...]:
    """The stories of a seed that are tested and never trained on."""
    random = Random(seed)
    return tuple(draw_allowed_story(random, reserved_questions()) for _ in range(TESTED))


def pairs(seed: int) -> Iterator[tuple[Row, Row]]:
    """Endless pairs of a right and a wrong solution of one question, to train on."""
    random, kinds, shares = Random(seed), list(KINDS_DRAWN), list(KINDS_DRAWN.values())
    tested = {story.question for seed in (TEST_SEED, WATCH_SEED) for story in held_out(seed)}
    reserved = reserved_questions() | tested
    while True:
        story = draw_allowed_story(random, reserved)
        (kind,) = random.choices(kinds, shares)
        right = graded(story, solve(story.start, story.steps)[0])
        wrong = graded(story, wrong_by(kind, random, story))
        if max(len(right[0]), len(wrong[0])) <= MAX_LENGTH:
            yield right, wrong


def padded(batch: Sequence[Row]) -> tuple[torch.Tensor, ...]:
    """Ids, grades and weights, each of the shape batch x longest row, and the mask of the words."""
    longest = max(len(ids) for ids, _, _ in batch)
    pad = WORD_IDS[PAD]
    ids = torch.tensor([[*one, *[pad] * (longest - len(one))] for one, _, _ in batch])
    grades, weights = (
        torch.tensor([[*row[part], *[0.0] * (longest - len(row[part]))] for row in batch]) for part in (1, 2)
    )
    return ids, grades, weights, ids != pad
