"""What a round of iterative label refinement costs through the backend, and in the released recipe's way of working.

    python benchmarks/round_cost.py --model builtin:strong --judge builtin:comparer --epochs 3 --rows 1500 --threads 1 \
        --out docs/results/round-cost-embedded.json
    python benchmarks/round_cost.py --model path/to/SmolLM2-135M.gguf --rows 32 --batch-size 8 \
        --out docs/results/round-cost-smollm2.json

A round is Algorithm 1 with two halves: train a model on each half, let each answer the prompts of the other half by
beam search, compare proposals with labels in both orders with a two-way head, and train a model on all rows. The
released way takes one row at a time and reads the model for each step (released_way.py). Both ways have the same model,
rows, head and machine, and train the same tokens. They take turns, part by part. Both answer with the models that the
backend trained and judge the same pairs, so that they write and read the same tokens.

The ratio is released / backend: how many times cheaper the backend is. The last training is also left out of one ratio,
because it is the same work as the first part again.
"""

from __future__ import annotations

import argparse
import tempfile
from collections import defaultdict
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import released_way
import torch
from bench_models import as_artifact, backend_of, prepared, prompts_of, rows_of, settings_of
from bench_output import put
from bench_time import CLOCKS, Spent, middle, timed

from burnish.algorithms.comparisons import both_orders
from burnish.config import Decoding, ModelConfig, TrainSettings
from burnish.protocols import SamplingKey
from burnish.types import Artifact, Comparison, Demonstration, DemonstrationSource, PairRow, Prompt, TrainingRow

R = TypeVar("R")
KEY = SamplingKey(seed=0, stage="bench", round=1)
HALVES, ANSWER, COMPARE, ALL = "train halves", "answer", "compare", "train all"
PARTS = (HALVES, ANSWER, COMPARE, ALL)
COMPARED = 0.5
"""The share of proposals that are compared. In round 1 of docs/results/embedded, 49 % differ from their label."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Round:
    """What both ways get. `place` is a folder for the models that they train.

    `checkpointing` says whether the released way trains with gradient checkpointing.
    """

    backend: Any
    config: ModelConfig
    base: Artifact
    judge: Artifact
    rows: list[TrainingRow]
    settings: TrainSettings
    decode: Decoding
    place: Path
    checkpointing: bool

    @property
    def halves(self) -> tuple[list[TrainingRow], list[TrainingRow]]:
        """The rows of each half."""
        return self.rows[::2], self.rows[1::2]


class Sides:
    """Runs parts in both ways, the backend first, and notes their seconds."""

    def __init__(self) -> None:
        self.spent: dict[str, list[tuple[Spent, Spent]]] = defaultdict(list)

    def run(self, part: str, ours: Callable[[], R], released: Callable[[], R]) -> tuple[R, R]:
        """Run one part in both ways, and return both results."""
        our_result, our_seconds = timed(ours)
        their_result, their_seconds = timed(released)
        self.spent[part].append((our_seconds, their_seconds))
        return our_result, their_result


def one_round(given: Round, sides: Sides, number: int) -> dict[str, float]:
    """Run a round in both ways. Returns how far their answers and scores agree."""
    first, second = given.halves
    place = given.place / str(number)
    models, _ = sides.run(
        HALVES,
        lambda: [ours_train(given, half, place / f"ours-{name}") for name, half in (("1", first), ("2", second))],
        lambda: [theirs_train(given, half, place / f"theirs-{name}") for name, half in (("1", first), ("2", second))],
    )
    asked = [(model, prompts_of(half)) for model, half in zip(models, (second, first), strict=True)]
    answers, their_answers = sides.run(
        ANSWER,
        lambda: ours_answer(given, asked),
        lambda: {
            id_: text
            for model, prompts in asked
            for id_, text in released_way.answer(model, prompts, given.decode).items()
        },
    )
    pairs = pairs_of(given.rows, answers)
    scores, their_scores = sides.run(
        COMPARE,
        lambda: {s.id: s.value for batch in given.backend.classify(given.judge, pairs, set()) for s in batch},
        lambda: released_way.compare(given.judge, pairs),
    )
    sides.run(
        ALL,
        lambda: ours_train(given, given.rows, place / "ours-all"),
        lambda: theirs_train(given, given.rows, place / "theirs-all"),
    )
    assert scores.keys() == their_scores.keys(), (len(scores), len(their_scores))
    return {
        "share_of_equal_answers": sum(answers[id_] == text for id_, text in their_answers.items()) / len(answers),
        "largest_difference_of_a_score": max(abs(score - their_scores[id_]) for id_, score in scores.items()),
    }


def ours_train(given: Round, rows: list[TrainingRow], into: Path) -> Artifact:
    """Train through the backend."""
    into.mkdir(parents=True)
    given.backend.train(given.base, rows, given.settings, 0, into)
    return Artifact(path=str(into), kind="train", fingerprint=str(into))


def theirs_train(given: Round, rows: list[TrainingRow], into: Path) -> Artifact:
    """Train in the released way."""
    into.mkdir(parents=True)
    settings = given.settings.model_copy(update={"gradient_checkpointing": given.checkpointing})
    released_way.train(given.config, rows, settings, into)
    return Artifact(path=str(into), kind="train", fingerprint=str(into))


def ours_answer(given: Round, asked: list[tuple[Artifact, list[Prompt]]]) -> dict[str, str]:
    """Answer through the backend."""
    return {
        answer.id: answer.text
        for model, prompts in asked
        for batch in given.backend.generate(model, prompts, given.decode, KEY, set())
        for answer in batch
    }


def pairs_of(rows: list[TrainingRow], answers: dict[str, str]) -> list[PairRow]:
    """Return the first share `COMPARED` of all labels with their proposals, in both orders."""
    pairs: list[PairRow] = []
    for row in rows[: max(1, round(COMPARED * len(rows)))]:
        label, proposal = (
            Demonstration(example_id=row.id, completion=text, source=source)
            for text, source in (
                (row.completion, DemonstrationSource.WEAK),
                (answers[row.id], DemonstrationSource.PROPOSAL),
            )
        )
        pairs += both_orders(Comparison(example_id=row.id, a=label, b=proposal), row.prompt)
    return pairs


def head(backend: Any, base: Artifact, rows: list[TrainingRow], settings: TrainSettings, into: Path) -> Artifact:
    """Train a two-way head on a few pairs. It need not judge well, because only its speed counts here."""
    into.mkdir()
    wrong = {row.id: rows[number - 1].completion for number, row in enumerate(rows)}
    pairs = pairs_of(rows, wrong)
    labelled = [
        tuple(
            PairRow(id=p.id, prompt=p.prompt, first=p.first, second=p.second, second_better=better)
            for p, better in both
        )
        for both in (zip(pairs[at : at + 2], (False, True), strict=True) for at in range(0, len(pairs), 2))
    ]
    backend.train_classifier(base, labelled, settings, 0, into)
    return Artifact(path=str(into), kind="train_classifier", fingerprint=str(into))


def measure(options: argparse.Namespace) -> dict[str, Any]:
    """Run rounds in both ways, and report seconds and ratios."""
    with tempfile.TemporaryDirectory() as folder:
        place = Path(folder)
        config = prepared(options.model, place / "model")
        judge = config if options.judge is None else prepared(options.judge, place / "judge-model")
        backend, rows = backend_of(), rows_of(options.rows, options.data)
        settings = settings_of(config, options.batch_size, options.epochs)
        given = Round(
            backend=backend,
            config=config,
            base=as_artifact(config, place / "base"),
            judge=head(backend, as_artifact(judge, place / "judge-base"), rows[:8], settings, place / "head"),
            rows=rows,
            settings=settings,
            decode=Decoding(beams=options.beams, max_new_tokens=options.new_tokens),
            place=place / "rounds",
            checkpointing=options.checkpointing,
        )
        sides = Sides()
        agreement = [one_round(given, sides, number) for number in range(options.repeats)]
    return facts(options, config) | {"agreement": agreement} | {clock: ratios(sides, clock) for clock in CLOCKS}


def ratios(sides: Sides, clock: str) -> dict[str, Any]:
    """Return seconds of each part in both ways, and how many times cheaper the backend is."""
    seconds = {part: [(o.of(clock), t.of(clock)) for o, t in sides.spent[part]] for part in PARTS}
    shorter = [part for part in PARTS if part != ALL]
    for name, parts in (("round", PARTS), ("round without the last training", shorter)):
        repeats = zip(*(seconds[part] for part in parts), strict=True)
        seconds[name] = [(sum(o for o, _ in repeat), sum(t for _, t in repeat)) for repeat in repeats]
    return {
        name: {
            "backend_seconds": middle([ours for ours, _ in runs], 2),
            "released_seconds": middle([theirs for _, theirs in runs], 2),
            "times_cheaper": middle([theirs / ours for ours, theirs in runs], 2),
        }
        for name, runs in seconds.items()
    }


def facts(options: argparse.Namespace, config: ModelConfig) -> dict[str, Any]:
    """Return what was measured."""
    named = ("rows", "epochs", "batch_size", "beams", "new_tokens", "repeats", "checkpointing")
    return {
        "model": Path(options.model).name,
        "data": options.data.name if options.data else "generated word problems",
        **{name: getattr(options, name) for name in named},
        "threads": torch.get_num_threads(),
        "torch": torch.__version__,
        "dtype": str(config.dtype),
    }


def main() -> None:
    """Measure, print JSON."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", required=True, help="builtin:NAME, a folder or a GGUF file")
    parser.add_argument("--judge", help="the base model of the head that compares; else the model itself")
    parser.add_argument("--data", type=Path, help="JSONL (also .gz) with question and answer; else generated problems")
    parser.add_argument("--rows", type=int, default=600)
    parser.add_argument("--epochs", type=float, default=1)
    parser.add_argument("--batch-size", type=int, default=32)
    parser.add_argument("--beams", type=int, default=4)
    parser.add_argument("--new-tokens", type=int, default=32)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument(
        "--checkpointing",
        action="store_true",
        help="gradient checkpointing in the released way, which the original has and which costs it about a third more",
    )
    parser.add_argument("--threads", type=int, default=None)
    parser.add_argument("--out", type=Path)
    options = parser.parse_args()
    if options.rows < 8:
        parser.error("--rows must be at least 8: two halves, and pairs to train a head on")
    if options.threads:
        torch.set_num_threads(options.threads)
    put(measure(options), options.out)


if __name__ == "__main__":
    main()
