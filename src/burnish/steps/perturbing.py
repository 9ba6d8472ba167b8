"""The stage in which a source finds worse answers to prompts. Its result is also data, so that models can score it."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from pydantic import JsonValue

from burnish.steps.artifacts import Rows, Split
from burnish.steps.basic import Steps
from burnish.steps.data import Handling
from burnish.store.files import read_rows, write_rows
from burnish.store.stages import Work
from burnish.types import Artifact, Example

WORSE = "worse.jsonl"
"""The file with the worse answers of each prompt."""


@dataclass(frozen=True, slots=True, kw_only=True)
class WorseAnswers:
    """The worse answers to one prompt.

    `left_out` is {why: number} of what the source found and did not take.
    """

    example_id: str
    texts: tuple[str, ...]
    left_out: Mapping[str, int] = field(default_factory=dict[str, int])


@dataclass(frozen=True, slots=True, kw_only=True)
class PerturbationPlan:
    """A source that can be asked once its inputs exist.

    `config` and `inputs` identify what it finds. `over` yields the worse answers of examples with their gold answers as
    references, in the order of the examples. `outside` means that a server is asked.
    """

    kind: str
    config: Mapping[str, JsonValue]
    # A function and not the answers: nothing is read or asked while stages are planned.
    over: Callable[[Mapping[str, Example]], Iterator[WorseAnswers]]
    inputs: Mapping[str, Artifact] = field(default_factory=dict[str, Artifact])
    outside: bool = False


def perturb(steps: Steps, source: PerturbationPlan, rows: Rows) -> Artifact:
    """Find worse answers to these rows' prompts.

    The stage writes `worse.jsonl`, and `train.jsonl` with an example for every answer to score: the gold answer of each
    prompt, and the worse answers. Their ids are those of `candidate_id`.
    """

    def run(work: Work) -> None:
        examples = rows.examples()
        found = list(source.over(examples))
        write_rows(work.path / WORSE, found)
        written = write_rows(work.path / f"{Split.TRAIN}.jsonl", _candidates(found, examples))
        work.count(rows=len(found), answers=written)

    inputs = {**rows.inputs, **source.inputs}
    handling = Handling(outside=source.outside)
    return steps.stage(
        "perturb", {**source.config, **rows.config}, inputs, run, f"worse answers ({source.kind})", handling
    )


def candidate_id(example_id: str, number: int) -> str:
    """Return the id of an answer to score. Number 0 is the gold answer; worse answers count from 1."""
    # The number comes first and has no colon, so that no two pairs give the same id.
    return f"{number}:{example_id}"


def _candidates(found: Sequence[WorseAnswers], examples: Mapping[str, Example]) -> Iterator[Example]:
    for one in found:
        example = examples[one.example_id]
        assert example.reference is not None, one.example_id
        for number, text in enumerate([example.reference, *one.texts]):
            yield Example(
                id=candidate_id(example.id, number), group=example.group, prompt=example.prompt, reference=text
            )


def candidates(perturbed: Artifact) -> Rows:
    """Return the answers that models score, as rows."""
    return Rows(perturbed, Split.TRAIN)


def read_worse(perturbed: Artifact) -> list[WorseAnswers]:
    """Read the worse answers of each prompt, in the order of the prompts."""
    return read_rows(Path(perturbed.path) / WORSE, WorseAnswers)
