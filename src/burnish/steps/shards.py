"""Parts of stages that answer, score or judge: each part does some of the batches that the whole stage has.

The batches are those of the whole stage, because in another batch the last digits of a number can differ.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol, TypeVar, runtime_checkable

from burnish.protocols import RowKey, Score, Scorer
from burnish.store.files import iter_rows
from burnish.store.keys import KeySet
from burnish.store.shards import Shard
from burnish.types import Artifact, PairRow, TrainingRow

E = TypeVar("E")
SCORE_BATCHES = "score_batches.jsonl"
"""The file of the scores from which a judge's preferences are made, one batch a line."""
_END = "end"


@runtime_checkable
class Divisible(Protocol):
    """A generator or scorer that can do a part of its batches. It is an optional ability: with others, the first part
    does everything."""

    def part(self, part: Shard) -> object:
        """Return an object of the same kind that does one part of the batches."""
        ...


def part_of(engine: Callable[[], E], part: Shard | None) -> Callable[[], E] | None:
    """Return what opens the engine that does a part of the work, or all of it if there are no parts. None if there is
    nothing to do."""
    if part is None:
        return engine
    opened = engine()
    if isinstance(opened, Divisible):
        limited = opened.part(part)
        return lambda: limited  # pyright: ignore[reportReturnType] it is of the same kind
    return engine if part.number == 0 else None


def share(rows: int, part: Shard | None) -> int:
    """Return about how many rows a part has."""
    return rows if part is None else -(-rows // part.count)


@dataclass(frozen=True, slots=True, kw_only=True)
class ScoreBatch:
    """The scores of one batch. The last line of a part has the id `end`, the part's number and the number of parts."""

    id: str
    scores: tuple[Score, ...] = ()
    part: int = 0
    of: int = 0


_Missing = Callable[[AbstractSet[RowKey]], Iterator[Sequence[Score]]]
"""Yields batches of scores, except those that are done."""


class _Through:
    """A scorer all of whose scores go through `batches`, which gets the question and what is done."""

    def __init__(
        self,
        scorer: Callable[[], Scorer],
        batches: Callable[[_Missing, AbstractSet[RowKey]], Iterator[Sequence[Score]]],
    ) -> None:
        self._scorer, self._batches = scorer, batches

    def logprobs(
        self, model: Artifact, rows: Sequence[TrainingRow], done: AbstractSet[RowKey]
    ) -> Iterator[Sequence[Score]]:
        """Yield batches of log-probabilities."""

        def ask(known: AbstractSet[RowKey]) -> Iterator[Sequence[Score]]:
            return self._scorer().logprobs(model, rows, known)

        return self._batches(ask, done)

    def classify(
        self, model: Artifact, rows: Sequence[PairRow], done: AbstractSet[RowKey]
    ) -> Iterator[Sequence[Score]]:
        """Yield batches of P(the second answer is better)."""

        def ask(known: AbstractSet[RowKey]) -> Iterator[Sequence[Score]]:
            return self._scorer().classify(model, rows, known)

        return self._batches(ask, done)

    def rewards(
        self, model: Artifact, rows: Sequence[TrainingRow], done: AbstractSet[RowKey]
    ) -> Iterator[Sequence[Score]]:
        """Yield batches of rewards."""

        def ask(known: AbstractSet[RowKey]) -> Iterator[Sequence[Score]]:
            return self._scorer().rewards(model, rows, known)

        return self._batches(ask, done)


def _listened(scorer: Callable[[], Scorer], path: Path, hear: Callable[[ScoreBatch], None]) -> Scorer:
    """Return a scorer that lets each of its batches be heard. Batches that the file at `path` has are left out."""
    done = KeySet(score.id for batch in iter_rows(path, ScoreBatch) for score in batch.scores)

    def batches(ask: _Missing, _: AbstractSet[RowKey]) -> Iterator[Sequence[Score]]:
        for batch in ask(done):
            hear(ScoreBatch(id=batch[0].id, scores=tuple(batch)))
            yield batch

    return _Through(scorer, batches)


def scored_part(
    path: Path, part: Shard, scorer: Callable[[], Scorer], judge: Callable[[Scorer], Iterable[object]]
) -> Iterator[list[ScoreBatch]]:
    """Yield the batches of scores of one part, and at last its end. Those that the file at `path` has are left out.

    `judge` makes preferences with a scorer. What it makes is not used: a preference may need scores of other parts.
    """
    # Also if the end is there: a damaged line before it may have been removed.
    ended = any(batch.id == _END for batch in iter_rows(path, ScoreBatch))
    opened, waiting = part_of(scorer, part), list[ScoreBatch]()
    if opened is not None:
        for _ in judge(_listened(opened, path, waiting.append)):
            while waiting:
                yield [waiting.pop(0)]
    if not ended:
        yield [ScoreBatch(id=_END, part=part.number + 1, of=part.count)]


def remembering(scorer: Callable[[], Scorer], path: Path) -> Scorer:
    """Return a scorer that takes the scores in the file at `path`, in their order, and computes those that are missing.

    It is opened only if there are any.
    """
    known = KeySet(score.id for batch in iter_rows(path, ScoreBatch) for score in batch.scores)
    complete = any(batch.id == _END and batch.part == batch.of for batch in iter_rows(path, ScoreBatch))

    def batches(ask: _Missing, done: AbstractSet[RowKey]) -> Iterator[Sequence[Score]]:
        for batch in iter_rows(path, ScoreBatch):
            # As in a backend: if one row of a batch is missing, the whole batch is used again.
            if not all(score.id in done for score in batch.scores):
                yield batch.scores
        if not complete:
            yield from ask(_Either(known, done))

    return _Through(scorer, batches)


class _Either(AbstractSet[RowKey]):
    """What is in one of two sets."""

    def __init__(self, first: AbstractSet[RowKey], second: AbstractSet[RowKey]) -> None:
        self._sets = first, second

    def __contains__(self, key: object) -> bool:
        return any(key in one for one in self._sets)

    def __iter__(self) -> Iterator[RowKey]:
        first, second = self._sets
        yield from first
        yield from (key for key in second if key not in first)

    def __len__(self) -> int:
        return sum(1 for _ in self)
