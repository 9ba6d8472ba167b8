"""What each kind of artifact holds, and how it is read: one file name and one row type a kind."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Any

import orjson

from burnish.algorithms.preferences import Pair
from burnish.protocols import Score, TrainingPoint
from burnish.store.files import iter_rows, read_rows
from burnish.store.keyed_rows import Changed, KeyedRows
from burnish.types import Artifact, Comparison, Demonstration, Example, Preference, Reason, Refinement

DEMONSTRATIONS = "demonstrations.jsonl"
COMPARISONS = "comparisons.jsonl"
PAIRS = "pairs.jsonl"
CHOSEN = "chosen.jsonl"
SCORES = "scores.jsonl"
CURVE = "curve.jsonl"
SCREENED = "screened.jsonl"
PREFERENCES = "preferences.jsonl"
LEDGER = "ledger.jsonl"
GRADES = "grades.jsonl"
PARTS = "parts.json"
TRAINING = "training.json"


class Split(StrEnum):
    """The two splits of a task."""

    TRAIN = "train"
    TEST = "test"


@dataclass(frozen=True, slots=True, kw_only=True)
class Screened:
    """What became of a proposal before any comparison: a reason, or None where it is to be compared."""

    example_id: str
    reason: Reason | None


@dataclass(frozen=True, slots=True, kw_only=True)
class GradeRow:
    """Whether an example's answer is right."""

    example_id: str
    correct: bool
    extracted: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class ChosenPair:
    """A preference that is trained on, and the confidence with which it was given."""

    example_id: str
    number: int
    chosen: Demonstration
    rejected: Demonstration
    score: float


@dataclass(frozen=True, slots=True)
class Rows:
    """Which examples: a split of the data, narrowed down to parts of it. Never the examples themselves."""

    data: Artifact
    split: Split
    parts: tuple[tuple[Artifact, tuple[str, ...]], ...] = ()

    def part(self, parts: Artifact, *names: str) -> Rows:
        """Narrow down to the named ones of `parts`, which were cut of these rows."""
        return Rows(self.data, self.split, (*self.parts, (parts, names)))

    @property
    def inputs(self) -> dict[str, Artifact]:
        """The artifacts that say which rows: inputs of a stage."""
        return {"data": self.data, **{f"parts_{i}": parts for i, (parts, _) in enumerate(self.parts)}}

    @property
    def config(self) -> dict[str, Any]:
        """The rest of what says which rows: part of a stage's semantic config."""
        return {"split": str(self.split), "parts": [list(names) for _, names in self.parts]}

    def examples(self) -> Mapping[str, Example]:
        """Read the examples, in the order of their ids."""
        return KeyedRows(Path(self.data.path) / f"{self.split}.jsonl", Example, "id", self._ids())

    def prompts_only(self) -> Mapping[str, Example]:
        """Read the examples without their references: what everybody but grading and the oracle may see."""
        return without_references(self.examples())

    def groups(self) -> dict[str, str]:
        """Read {id: group}, in the order of the file."""
        wanted = self._ids()
        rows = iter_rows(Path(self.data.path) / f"{self.split}.jsonl", Example)
        return {row.id: row.group for row in rows if wanted is None or row.id in wanted}

    def _ids(self) -> set[str] | None:
        """Parts are cut of parts, so the last ones name the rows."""
        if not self.parts:
            return None
        parts, names = self.parts[-1]
        members = read_json(parts, PARTS)
        return {id_ for name in names for id_ in members[name]}


def without_references(examples: Mapping[str, Example]) -> Mapping[str, Example]:
    """Return the examples without their references and metadata."""
    return Changed(examples, lambda e: Example(id=e.id, group=e.group, prompt=e.prompt))


def read_json(artifact: Artifact, name: str) -> Any:
    """Read a JSON file of an artifact."""
    return orjson.loads((Path(artifact.path) / name).read_bytes())


def read_demonstrations(artifact: Artifact) -> KeyedRows[Demonstration]:
    """Read demonstrations by example, sorted by id. A batch redone after a kill repeats rows: the last one counts."""
    return KeyedRows(Path(artifact.path) / DEMONSTRATIONS, Demonstration, "example_id")


def read_samples(artifact: Artifact) -> dict[str, list[Demonstration]]:
    """Read several demonstrations of each example, in the order of their sample numbers, sorted by id."""
    rows = {(row.example_id, row.sample): row for row in read_rows(Path(artifact.path) / DEMONSTRATIONS, Demonstration)}
    samples: dict[str, list[Demonstration]] = {}
    for (example_id, _), row in sorted(rows.items()):
        samples.setdefault(example_id, []).append(row)
    return samples


def read_comparisons(artifact: Artifact) -> list[Comparison]:
    """Read the comparisons that are to be judged, in the order of their examples' ids."""
    return read_rows(Path(artifact.path) / COMPARISONS, Comparison)


def read_screened(artifact: Artifact) -> Iterator[Screened]:
    """Yield what became of every proposal before comparing, in the order of their examples' ids."""
    return iter_rows(Path(artifact.path) / SCREENED, Screened)


class JudgedExamples(Mapping[str, Preference]):
    """Preferences by example, of those that were compared."""

    def __init__(self, compared: Artifact, judged: Artifact) -> None:
        self.comparisons = KeyedRows(Path(compared.path) / COMPARISONS, Comparison, "example_id")
        self.preferences = read_preferences(Path(judged.path))

    def __len__(self) -> int:
        return len(self.comparisons)

    def __iter__(self) -> Iterator[str]:
        return iter(self.comparisons)

    def __contains__(self, key: object) -> bool:
        return key in self.comparisons

    def __getitem__(self, key: str) -> Preference:
        return self.preferences[self.comparisons[key].id]


def read_pairs(artifact: Artifact) -> list[Pair]:
    """Read the pairs of a round of preference optimisation, in the order of their examples' ids and numbers."""
    return read_rows(Path(artifact.path) / PAIRS, Pair)


def read_chosen(artifact: Artifact) -> list[ChosenPair]:
    """Read the preferences that are trained on."""
    return read_rows(Path(artifact.path) / CHOSEN, ChosenPair)


def read_curve(artifact: Artifact) -> list[TrainingPoint]:
    """Read how a preference training went; empty where the model was not trained on preferences."""
    path = Path(artifact.path) / CURVE
    return read_rows(path, TrainingPoint) if path.exists() else []


def read_scores(artifact: Artifact) -> dict[str, Score]:
    """Read scores by example id; the last one counts."""
    return {row.id: row for row in read_rows(Path(artifact.path) / SCORES, Score)}


def read_preferences(path: Path) -> KeyedRows[Preference]:
    """Read preferences by comparison id; the last one counts."""
    return KeyedRows(path / PREFERENCES, Preference, "comparison_id")


def iter_ledger(artifact: Artifact) -> Iterator[Refinement]:
    """Yield one round's ledger."""
    return iter_rows(Path(artifact.path) / LEDGER, Refinement)


def read_ledger(artifact: Artifact) -> list[Refinement]:
    """Read one round's ledger."""
    return read_rows(Path(artifact.path) / LEDGER, Refinement)


def read_grades(artifact: Artifact) -> dict[str, GradeRow]:
    """Read grades by example id."""
    return {row.example_id: row for row in read_rows(Path(artifact.path) / GRADES, GradeRow)}
