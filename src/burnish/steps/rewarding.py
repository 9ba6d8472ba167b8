"""The stages around reward models: pairs to learn from, the training, and the rewards of answers."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from collections.abc import Set as AbstractSet
from pathlib import Path
from typing import Protocol, runtime_checkable

from burnish.algorithms.refinement import drawn
from burnish.algorithms.rewards import RewardedPair, RewardPoint, RewardTrained
from burnish.config import TrainSettings
from burnish.errors import BackendError, DataError
from burnish.protocols import Score
from burnish.steps.artifacts import CURVE, SCORES, TRAINING, Rows, Split, read_demonstrations, read_json, read_scores
from burnish.steps.basic import Steps
from burnish.steps.data import RESUMABLE, SHARED
from burnish.steps.scores import finite
from burnish.store.files import iter_rows, pretty, read_rows, write_atomic, write_rows
from burnish.store.keys import KeySet
from burnish.store.stages import Work
from burnish.types import Artifact, Example, PreferenceRow, TrainingRow, prompt_group

TRAINED_ON, TESTED_ON, PAIR_SOURCES = "trained_on.jsonl", "tested_on.jsonl", "sources.json"
"""The files with the pairs of the two parts, and with the name of the source of each pair."""


@runtime_checkable
class TrainsRewards(Protocol):
    """A trainer that can also train reward models. It is an optional ability: other work needs none."""

    def train_rewards(
        self,
        model: Artifact,
        rows: Sequence[PreferenceRow],
        settings: TrainSettings,
        centring: float,
        seed: int,
        into: Path,
    ) -> RewardTrained:
        """Train a head on the base model `model`, and write the reward model into the folder `into`.

        `centring` is the weight of the square of the sum of both rewards of a pair. Raises DataError if no pair fits
        into the model.
        """
        ...


def cut_pairs(steps: Steps, pairs: Sequence[tuple[PreferenceRow, str]], given: Artifact, held_out: float) -> Artifact:
    """Cut pairs into a part to train on and a part to test on. Each pair comes with the name of its source.

    Pairs of one prompt stay together: a reward model that was trained on one of them knows the others. `given` names
    the pairs. A share of `held_out` of the prompts is tested on. With 0 all pairs are trained on, and with 1 all are
    tested on. The stage raises DataError if a part that is asked for would be empty.
    """

    def run(work: Work) -> None:
        group_of = {row.id: prompt_group(row.prompt) for row, _ in pairs}
        groups = set(group_of.values())
        count = round(held_out * len(groups))
        if 0 < held_out < 1 and not 0 < count < len(groups):
            raise DataError(
                f"held_out: {held_out} of {len(groups)} prompts leaves nothing to train on or nothing to test on; give "
                "more pairs, or another share"
            )
        tested = groups if held_out == 1 else drawn(groups, count, steps.seed, 0, "held out pairs")
        write_parts(work, pairs, frozenset(id_ for id_, group in group_of.items() if group in tested))

    config = {"held_out": held_out, "seed": steps.seed}
    return steps.stage("pairs_to_reward", config, {"pairs": given}, run, "pairs", SHARED)


def write_parts(work: Work, pairs: Sequence[tuple[PreferenceRow, str]], tested: AbstractSet[str]) -> None:
    """Write the pairs to train on, and those to test on: the ones whose ids are in `tested`."""
    parts = {
        TRAINED_ON: [row for row, _ in pairs if row.id not in tested],
        TESTED_ON: [row for row, _ in pairs if row.id in tested],
    }
    for name, rows in parts.items():
        write_rows(work.path / name, rows)
    write_rows(work.path / f"{Split.TEST}.jsonl", _sides(parts[TESTED_ON]))
    write_atomic(work.path / PAIR_SOURCES, pretty({row.id: source for row, source in pairs}))
    work.count(rows=len(pairs))


def _sides(rows: Sequence[PreferenceRow]) -> Iterator[Example]:
    """Yield both answers of each pair as an answer to score. Their ids end in `:a` (the better one) and `:b`."""
    for row in rows:
        for side, text in (("a", row.chosen), ("b", row.rejected)):
            yield Example(id=f"{row.id}:{side}", group=row.id, prompt=row.prompt, reference=text)


def train_rewards(
    steps: Steps, base: Artifact, cut: Artifact, settings: TrainSettings, centring: float, label: str = "reward model"
) -> Artifact:
    """Train a reward model on the pairs to train on.

    Raises BackendError if the backend cannot train reward models.
    """

    def run(work: Work) -> None:
        trainer = steps.engines.trainer()
        if not isinstance(trainer, TrainsRewards):
            raise BackendError(f"{type(trainer).__name__} has no method train_rewards; use another backend")
        rows = read_rows(Path(cut.path) / TRAINED_ON, PreferenceRow)
        done = trainer.train_rewards(base, rows, settings, centring, steps.seed, work.path)
        write_rows(work.path / CURVE, done.curve)
        write_atomic(work.path / TRAINING, pretty({"pairs": len(rows) - len(done.too_long), "too_long": done.too_long}))
        work.count(rows=len(rows), tokens=done.tokens)

    config = {"train": settings.semantic(), "centring": centring, "seed": steps.seed}
    return steps.stage("train_rewards", config, {"base": base, "pairs": cut}, run, label)


def read_reward_curve(model: Artifact) -> list[RewardPoint]:
    """Read the training curve of a reward model. It is empty for a model that burnish did not train."""
    path = Path(model.path) / CURVE
    return read_rows(path, RewardPoint) if path.exists() else []


def pairs_too_long(model: Artifact) -> int:
    """Return how many pairs a training left out, because an answer does not fit into the model."""
    return len(read_json(model, TRAINING)["too_long"])


def reward(steps: Steps, model: Artifact, rows: Rows, label: str) -> Artifact:
    """Let a reward model score the references of these rows as answers.

    An answer that does not fit into the model has no reward. If the run is killed, finished batches are kept. The stage
    raises DataError, which names the answer, if a reward is NaN or infinite.
    """
    answers = steps.gold(rows)

    def run(work: Work) -> None:
        examples, found = rows.prompts_only(), read_demonstrations(answers)
        asked = [
            TrainingRow(id=id_, prompt=example.prompt, completion=found[id_].completion)
            for id_, example in examples.items()
        ]

        def batches(scores: Path) -> Iterator[Sequence[Score]]:
            done = KeySet(row.id for row in iter_rows(scores, Score))
            work.expect(len(asked), len(done))
            found = steps.engines.scorer().rewards(model, asked, done)
            return (finite(batch, "the reward model gives") for batch in found)

        work.append_batches(SCORES, batches, lambda batch: {"rows": len(batch)})

    inputs = {"model": model, "answers": answers, **rows.inputs}
    return steps.stage("reward", rows.config, inputs, run, f"rewards {label}", RESUMABLE)


def tested_rows(cut: Artifact) -> Rows:
    """Return both answers of the pairs to test on, as rows to score."""
    return Rows(cut, Split.TEST)


def rewarded_pairs(cut: Artifact, scored: Artifact) -> tuple[list[RewardedPair], int]:
    """Return the tested pairs with their rewards, and how many have none because an answer does not fit."""
    scores, sources = read_scores(scored), read_json(cut, PAIR_SOURCES)
    found: list[RewardedPair] = []
    missing = 0
    for row in read_rows(Path(cut.path) / TESTED_ON, PreferenceRow):
        better, worse = scores.get(f"{row.id}:a"), scores.get(f"{row.id}:b")
        if better is None or worse is None:
            missing += 1
            continue
        found.append(
            RewardedPair(
                id=row.id,
                group=prompt_group(row.prompt),
                source=sources[row.id],
                better=better.value,
                worse=worse.value,
                longer=better.tokens - worse.tokens,
            )
        )
    return found, missing
