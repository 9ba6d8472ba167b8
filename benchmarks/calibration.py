"""Is a temperature that was fitted on planted pairs right for real proposals, too? Printed for the embedded judges.

    python benchmarks/calibration.py FOLDER

The data are 1,500 stories of the embedded world. In 40 % of the labels one step is computed wrongly. For each judge,
`burnish refine` does one round, with everything that the judge prefers accepted or over the cap. The column with right
answers then shows how often the judge was right on the pairs of which exactly one side is right, by how sure it was:
as it says, and after temperature scaling.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable
from pathlib import Path
from random import Random
from typing import Any

import burnish
from burnish.algorithms.calibration import binned, calibrated
from burnish.algorithms.ledger_lines import decisive_calls, p_b_of
from burnish.ledger.folder import Folder
from burnish.report.reliability import reliability_lines
from burnish.results import Reliability
from burnish.store.files import dump_line
from burnish.tasks.numbers import final_number
from burnish.tasks.sums_world import MAX_NUMBER, draw_story, solve

ROWS, NOISE, SEED = 1500, 0.4, 11
SETTINGS = (
    *("train.epochs=3", "train.learning_rate=1e-3", "train.batch_size=32", "train.lora=null"),
    *("decode.beams=1", "decode.max_new_tokens=32", "selftest.pairs=100"),
)
JUDGES: dict[str, dict[str, Any]] = {
    f"{name}, {'per token' if per_token else 'sums'}": {
        "kind": "likelihood",
        "model": {"source": f"builtin:{name}"},
        "per_token": per_token,
    }
    for name in ("judge-1", "judge-3", "judge-5")
    for per_token in (True, False)
}


def stories() -> list[dict[str, str]]:
    """Return rows with a label, of which some are wrong, and the right answer."""
    random, rows = Random(SEED), dict[str, dict[str, str]]()
    while len(rows) < ROWS:
        story = draw_story(random)
        gold, total = solve(story.start, story.steps)
        label = gold
        if random.random() < NOISE:
            wrong, off = random.randrange(len(story.steps)), random.choice((-2, -1, 1, 2, 10, -10))
            count = iter(range(len(story.steps)))
            label, other = solve(
                story.start,
                story.steps,
                lambda sofar, sign, amount, at=count, step=wrong, by=off: max(
                    0, min(MAX_NUMBER, sofar + sign * amount + by * (next(at) == step))
                ),
            )
            if other == total:
                continue
        rows.setdefault(story.question, {"prompt": story.question, "completion": label, "gold": gold})
    return list(rows.values())


def judged(folder: Path, name: str, judge: dict[str, Any]) -> None:
    """Refine one round with a judge, and print how often it was right."""
    data = folder / "stories.jsonl"
    found = burnish.refine(
        data,
        model="builtin:strong",
        annotator=judge,
        out=folder / name.replace(", ", "-").replace(" ", "-"),
        store=folder / "store",
        rounds=1,
        differs="number",
        reference="gold",
        go_on=True,
        overwrite=True,
        changes=SETTINGS,
    )
    tested = found.summary.selftest
    assert tested is not None
    assert tested.calibration is not None
    right = graded(found)
    calls = [
        (p_b, one)
        for line, one in decisive_calls(found.ledger, right)
        if (p_b := p_b_of(line)) is not None and p_b != 0.5
    ]
    temperature = tested.calibration.temperature
    print(f"\n{name}: {len(calls)} real pairs, {sum(one for _, one in calls) / len(calls):.1%} right")
    print(
        f"planted pairs: {tested.calibration.given.n}, accuracy {tested.accuracy.value:.3f}, temperature {temperature}"
    )
    for words, scale in (("as it says", None), ("after temperature scaling", temperature)):
        scaled = [(calibrated(p_b, scale), one) for p_b, one in calls]
        reliability = Reliability.of(binned((max(p, 1 - p), one) for p, one in scaled))
        assert reliability.error is not None
        print(f"real pairs, {words}: off by {100 * reliability.error:.1f} points")
        print("\n".join(f"  {line}" for line in reliability_lines(reliability)[1:]))


def graded(found: burnish.Refined) -> Callable[[str, str], bool]:
    """Return a function that says whether an answer (example id, answer id) is right."""
    folder = Folder(found.out)
    examples = {example.id: example for example in folder.examples()}
    answers = folder.answers({side for line in found.ledger for side in (line.kept, line.proposed)})

    def right(example_id: str, answer_id: str) -> bool:
        reference = examples[example_id].reference
        assert reference is not None
        return final_number(answers[answer_id].completion) == final_number(reference)

    return right


def main() -> None:
    """Print how sure each judge is, and how often it is right."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    folder: Path = parser.parse_args().folder
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "stories.jsonl").write_bytes(b"".join(map(dump_line, stories())))
    for name, judge in JUDGES.items():
        judged(folder, name, judge)


if __name__ == "__main__":
    main()
