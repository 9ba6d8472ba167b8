"""How a model answers prompts and scores answers. Both are done in batches, and can be done in parts."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from burnish.config import Decoding
from burnish.protocols import Generator, SamplingKey, Score, Scorer, row_key
from burnish.steps.artifacts import DEMONSTRATIONS, SCORES, Rows, read_demonstrations
from burnish.steps.engines import complete
from burnish.steps.lazy import prompts_of, training_rows
from burnish.steps.outputs import demonstration_of, rows_and_tokens
from burnish.steps.scores import finite, rows_that_fit
from burnish.steps.shards import part_of, share
from burnish.store.files import iter_rows
from burnish.store.keys import KeySet
from burnish.store.shards import Shard
from burnish.store.stages import Work
from burnish.types import Artifact, Completion, Demonstration, DemonstrationSource


@dataclass(frozen=True, slots=True, kw_only=True)
class Answering:
    """The work of a stage that answers the prompts of `rows`, each `samples` times."""

    generator: Callable[[], Generator]
    model: Artifact
    rows: Rows
    decode: Decoding
    key: SamplingKey
    source: DemonstrationSource
    samples: int

    def run(self, work: Work, part: Shard | None = None) -> None:
        """Write the answers that are missing, or those of one part."""
        examples = self.rows.prompts_only()
        prompts = prompts_of(examples, self.samples)
        # The ids are in memory, so no prompt is read for its key.
        keys = (row_key(id_, sample) for id_ in examples for sample in range(self.samples))

        def batches(answers: Path) -> Iterable[Sequence[Completion]]:
            # A killed run leaves whole batches. The generator is told which rows are done, so that it leaves those
            # batches out.
            done = KeySet(row_key(row.example_id, row.sample) for row in iter_rows(answers, Demonstration))
            generator = part_of(self.generator, part)
            # Parts that are put together leave nothing to do, and then no model is loaded.
            if generator is None or len(done) == len(prompts):
                return ()
            work.expect(share(len(prompts), part), len(done))
            found = generator().generate(self.model, prompts, self.decode, self.key, done)
            return complete(found, keys, done, partly=part is not None)

        work.append_batches(DEMONSTRATIONS, batches, rows_and_tokens, self._row)

    def _row(self, answer: Completion) -> Demonstration:
        return demonstration_of(answer, self.source, self.model, self.key.round)


@dataclass(frozen=True, slots=True, kw_only=True)
class Scoring:
    """The work of a stage that computes log-probabilities of finished answers. With `leave_long`, an answer that does
    not fit into the model is left out."""

    scorer: Callable[[], Scorer]
    model: Artifact
    rows: Rows
    answers: Artifact
    leave_long: bool

    def run(self, work: Work, part: Shard | None = None) -> None:
        """Write the scores that are missing, or those of one part."""
        examples, answer_rows = self.rows.prompts_only(), read_demonstrations(self.answers)
        place_N = answer_rows.places(examples.sorted_keys)
        finished_N = np.fromiter((row.finished for row in answer_rows.rows_at(place_N)), dtype=np.bool_)
        chosen_M = np.flatnonzero(finished_N)
        finished = training_rows(examples, answer_rows, chosen_M, place_N[chosen_M])

        def batches(scores: Path) -> Iterable[Sequence[Score]]:
            done = KeySet(row.id for row in iter_rows(scores, Score))
            opened = part_of(self.scorer, part)
            if opened is None or len(done) == len(finished):
                return ()
            scorer = opened()
            fits = rows_that_fit(scorer, self.model, finished) if self.leave_long else finished
            work.expect(share(len(fits), part), len(done))
            found = scorer.logprobs(self.model, fits, done)
            return (finite(batch, "the model gives the log-probability") for batch in found)

        work.append_batches(SCORES, batches, rows_and_tokens)
