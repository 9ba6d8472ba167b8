"""The stages that turn a policy's samples into answers to reward and into pairs to compare."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from itertools import combinations

from burnish.steps.artifacts import COMPARISONS, Rows, Split, read_samples
from burnish.steps.basic import Steps
from burnish.steps.perturbing import candidate_id
from burnish.store.files import write_rows
from burnish.store.stages import Work
from burnish.types import Artifact, Comparison, Demonstration, Example, short_hash


def distinct(samples: Sequence[Demonstration]) -> dict[str, int]:
    """Return {text: number} of the finished samples of one prompt. Equal texts have one number, counted from 1."""
    numbers: dict[str, int] = {}
    for one in samples:
        if one.finished:
            numbers.setdefault(one.completion, len(numbers) + 1)
    return numbers


def answers_to_reward(steps: Steps, rows: Rows, samples: Artifact) -> Rows:
    """Return the different finished samples of these rows' prompts as rows to reward.

    Their ids are those of `candidate_id`, with the numbers of `distinct`.
    """

    def run(work: Work) -> None:
        examples, drawn = rows.prompts_only(), read_samples(samples)
        work.count(rows=write_rows(work.path / f"{Split.TRAIN}.jsonl", _examples(examples, drawn)))

    made = steps.stage("answers_to_reward", rows.config, {"samples": samples, **rows.inputs}, run, "different samples")
    return Rows(made, Split.TRAIN)


def _examples(examples: Mapping[str, Example], drawn: Mapping[str, Sequence[Demonstration]]) -> Iterator[Example]:
    for example in examples.values():
        for text, number in distinct(drawn.get(example.id, [])).items():
            yield Example(
                id=candidate_id(example.id, number), group=example.group, prompt=example.prompt, reference=text
            )


def pairs_of_samples(steps: Steps, rows: Rows, samples: Artifact, most: int) -> Artifact:
    """Choose pairs of different finished samples of each prompt, at most `most`, for an annotator to compare.

    A seeded hash chooses them.
    """

    def run(work: Work) -> None:
        drawn = read_samples(samples)
        chosen: list[Comparison] = []
        for id_ in rows.prompts_only():
            first = {one.completion: one for one in reversed([one for one in drawn.get(id_, []) if one.finished])}
            sides = sorted(first.values(), key=lambda one: one.id)
            pairs = [Comparison(example_id=id_, a=a, b=b) for a, b in combinations(sides, 2)]
            chosen += sorted(pairs, key=lambda pair: short_hash("mismatch", str(steps.seed), pair.id))[:most]
        work.count(comparisons=write_rows(work.path / COMPARISONS, chosen))

    config = {"most": most, "seed": steps.seed, **rows.config}
    return steps.stage("pairs_of_samples", config, {"samples": samples, **rows.inputs}, run, "pairs of samples")
