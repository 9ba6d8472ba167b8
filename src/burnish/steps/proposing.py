"""Proposals that come from elsewhere, and the stage in which a model on a server writes them. No model is trained."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass
from pathlib import Path

from pydantic import JsonValue

from burnish.protocols import Completion
from burnish.steps.artifacts import DEMONSTRATIONS, Rows
from burnish.steps.data import DataSteps, Handling
from burnish.store.files import iter_rows
from burnish.store.keys import KeySet
from burnish.store.stages import Work
from burnish.types import Artifact, Demonstration, DemonstrationSource, Example

ROUND = 1
"""The round of these proposals. There is only one: a second round would compare the same proposals again."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ProposerPlan:
    """A model on a server that can be asked for proposals.

    `config` identifies its answers, and `fingerprint` is recorded with each of them. `over` takes {id: example} and the
    ids that have an answer already, and yields the others' answers in batches.
    """

    config: Mapping[str, JsonValue]
    fingerprint: str
    over: Callable[[Mapping[str, Example], AbstractSet[str]], Iterator[Sequence[Completion]]]


def proposed(steps: DataSteps, rows: Rows, proposer: ProposerPlan) -> Artifact:
    """Ask a model on a server for one answer to each prompt. If the run is killed, finished answers are kept.

    A row whose call was given up gets an empty answer. The stage raises Paused and AnnotatorError as the server's
    client does.
    """

    def run(work: Work) -> None:
        # Without references: the server must not see the right answers.
        examples = rows.prompts_only()

        def batches(answers: Path) -> Iterable[Sequence[Completion]]:
            done = KeySet(row.example_id for row in iter_rows(answers, Demonstration))
            work.expect(len(examples), len(done))
            # With all answers there, not even the client is built.
            return proposer.over(examples, done) if len(done) < len(examples) else ()

        def row(answer: Completion) -> Demonstration:
            return proposal(answer.id, answer.text, proposer.fingerprint, finished=answer.finished)

        work.append_batches(DEMONSTRATIONS, batches, _counts, row)

    handling = Handling(resumable=True, outside=True)
    return steps.stage("propose", {**proposer.config, **rows.config}, rows.inputs, run, "proposals", handling)


def _counts(batch: Sequence[Completion]) -> dict[str, int]:
    return {"rows": len(batch), "tokens": sum(answer.tokens for answer in batch)}


def proposal(id_: str, text: str, producer: str, *, finished: bool = True) -> Demonstration:
    """Return an answer that came from elsewhere. `producer` is the fingerprint of its source."""
    return Demonstration(
        example_id=id_,
        completion=text,
        source=DemonstrationSource.PROPOSAL,
        producer=producer,
        round=ROUND,
        finished=finished,
    )
