"""Count the experiments' prompts that the pretraining text of each run holds word for word.

    python scripts/pretraining_overlap.py --out docs/results/pretraining-overlap.json [--world 0]

The text is made twice: unchecked, and as the models are pretrained, where a story is drawn again if its question is
reserved. A prompt counts if its story is told to its end, also on pages that do not ask its question.
"""

import argparse
import json
from itertools import islice
from pathlib import Path

from pretrain_embedded import RUNS, Run
from pretraining_text import MIXTURES, Questions, questions_in, reserved_questions, windows

from burnish.tasks.sums_world import generate

TRAIN, TEST = 3000, 500  # as configs/embedded.yaml has them


def prompts_of(world: int) -> dict[str, Questions]:
    """Return the training and the test prompts of an experiment on a world."""
    questions = [problem.question for problem in generate(TRAIN + TEST, world)]
    return {"train": frozenset(questions[:TRAIN]), "test": frozenset(questions[TRAIN:])}


def told(run: Run, reserved: Questions) -> Questions:
    """Return the questions of all stories that the run's text tells."""
    stream = windows(MIXTURES[run.mixture], run.seed, run.window, reserved)
    return frozenset(question for words, _ in islice(stream, run.steps * run.batch) for question in questions_in(words))


def overlap(run: Run, world: int) -> dict[str, object]:
    """Count the world's prompts in the run's text, with and without the check."""
    texts = {"unchecked": told(run, frozenset()), "checked": told(run, reserved_questions())}
    return {
        "models": list(run.keep.values()),
        "seed": run.seed,
        "stories": {when: len(questions) for when, questions in texts.items()},
        "prompts": {
            part: {when: len(prompts & questions) for when, questions in texts.items()}
            for part, prompts in prompts_of(world).items()
        },
    }


def main() -> None:
    """Print a line for each run, and write all of them to a file."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--world", type=int, default=0)
    arguments = parser.parse_args()
    rows = [overlap(run, arguments.world) for run in RUNS]
    for row in rows:
        print(json.dumps(row), flush=True)
    arguments.out.write_text(
        json.dumps({"world": arguments.world, "train": TRAIN, "test": TEST, "runs": rows}, indent=2) + "\n"
    )


if __name__ == "__main__":
    main()
