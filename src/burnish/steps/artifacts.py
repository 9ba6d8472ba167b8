"""What each kind of artifact holds and how it is read: one file name and one row type for each kind."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Any

import orjson

from burnish.algorithms.preferences import Pair
from burnish.protocols import Score, TrainingPoint
from burnish.store.files import iter_rows, read_rows
from burnish.store.json_rows import row_decoder
from burnish.store.keyed_rows import KeyedRows, first_checked, lines_of
from burnish.store.keys import Keys, distinct, packed
from burnish.store.line_index import stage_lines
from burnish.store.listings import listed
from burnish.types import (
    IDENTITY,
    Artifact,
    Comparison,
    Demonstration,
    Example,
    Message,
    Preference,
    Reason,
    Refinement,
    demonstration_id,
    short_hash,
)

# The names of files inside artifacts. Finished stages in a store have them too, so a changed name makes old results
# unreadable.
DEMONSTRATIONS = "demonstrations.jsonl"
COMPARISONS = "comparisons.jsonl"
PAIRS = "pairs.jsonl"
CHOSEN = "chosen.jsonl"
SCORES = "scores.jsonl"
CURVE = "curve.jsonl"
POLICY_CURVE = "policy_curve.jsonl"
SCREENED = "screened.jsonl"
DOUBTS = "doubts.jsonl"
PREFERENCES = "preferences.jsonl"
LEDGER = "ledger.jsonl"
GRADES = "grades.jsonl"
PARTS = "parts.json"
TRAINING = "training.json"
TEMPERATURE = "temperature.json"


class Split(StrEnum):
    """The two splits of a task's data."""

    TRAIN = "train"
    TEST = "test"


@dataclass(frozen=True, slots=True, kw_only=True)
class Screened:
    """The result of screening a proposal: the reason why it is not compared, or None where it is."""

    example_id: str
    reason: Reason | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Doubt:
    """How many edits of an example's proposal the annotator prefers to it, as a share of the `judged` ones.

    `share` is None if no edit could be made or judged.
    """

    example_id: str
    share: float | None
    judged: int


@dataclass(frozen=True, slots=True, kw_only=True)
class GradeRow:
    """Whether an example's answer is right, and the final answer that was extracted from it."""

    example_id: str
    correct: bool
    extracted: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class ChosenPair:
    """A preference to train on. `score` is its confidence |p_b - 0.5|."""

    example_id: str
    number: int
    chosen: Demonstration
    rejected: Demonstration
    score: float


@dataclass(frozen=True, slots=True)
class Rows:
    """Names a selection of examples: a split of the data, narrowed down to parts of it.

    It does not hold the examples themselves, so it can be built before the data are loaded.
    """

    data: Artifact
    split: Split
    parts: tuple[tuple[Artifact, tuple[str, ...]], ...] = ()

    def part(self, parts: Artifact, *names: str) -> Rows:
        """Narrow the selection down to the parts `names` of `parts`. `parts` must be a cut of these rows."""
        return Rows(self.data, self.split, (*self.parts, (parts, names)))

    @property
    def inputs(self) -> dict[str, Artifact]:
        """The artifacts that determine the rows. They are inputs of each stage that uses the rows."""
        return {"data": self.data, **{f"parts_{i}": parts for i, (parts, _) in enumerate(self.parts)}}

    @property
    def config(self) -> dict[str, Any]:
        """The rest of what determines the rows. It is part of the semantic config of each stage that uses them."""
        # Names are enough here: which ids a part holds follows from the fingerprint of its cut, which is an input.
        return {"split": str(self.split), "parts": [list(names) for _, names in self.parts]}

    def examples(self) -> KeyedRows[Example]:
        """Read the examples, in the order of their ids."""
        # KeyedRows reads a row when it is asked for and keeps only its place in memory.
        return KeyedRows(Path(self.data.path) / f"{self.split}.jsonl", Example, "id", self._ids())

    def prompts_only(self) -> KeyedRows[Example]:
        """Read the examples without their references.

        Everything except grading and the oracle must use this, so that no reference leaks.
        """
        return KeyedRows(Path(self.data.path) / f"{self.split}.jsonl", Example, "id", self._ids(), _prompt_only)

    def groups(self) -> Iterator[tuple[str, str]]:
        """Yield (example id, group), in the order of the file."""
        wanted = None if not self.parts else self.examples()
        # The other fields are not looked at: to make a whole Example takes three times as long.
        for _, row in stage_lines(Path(self.data.path) / f"{self.split}.jsonl"):
            if wanted is None or row["id"] in wanted:
                yield row["id"], row["group"]

    def _ids(self) -> Keys | None:
        """Return the sorted ids of the selected rows, or None where all rows of the split are selected."""
        if not self.parts:
            return None
        # Each cut was made of the rows of the cut before it. So the last cut alone names the rows.
        parts, names = self.parts[-1]
        return distinct(packed(id_.encode() for id_ in listed(Path(parts.path) / PARTS, frozenset(names))))


def without_references(examples: Mapping[str, Example]) -> Mapping[str, Example]:
    """Return the examples without their references and metadata."""
    if isinstance(examples, KeyedRows):
        return examples.made_by(_prompt_only)
    return {id_: Example(id=id_, group=example.group, prompt=example.prompt) for id_, example in examples.items()}


@dataclass(frozen=True, slots=True, kw_only=True)
class _Asked:
    """The fields of an example that are not its answer."""

    id: str
    group: str
    prompt: tuple[Message, ...]


def _prompt_only(line: bytes) -> Example:
    # A new field of Example does not leak here by itself, since no other field is decoded.
    asked = _ASKED(line)
    return Example(id=asked.id, group=asked.group, prompt=asked.prompt)


_ASKED = row_decoder(_Asked)
_DEMONSTRATION = row_decoder(Demonstration)
_COMPARISON = row_decoder(Comparison)
_SCREENED = row_decoder(Screened)
_PREFERENCE = row_decoder(Preference)
_PLAIN = ("comparison_id", "shown", "verdict", "p_b", "judge", "raw")
"""The fields of a preference that every line has, in the order of the file."""


def preference_row(preference: Preference) -> object:
    """Return a preference as it is written. A logit that is not known is left out."""
    # So judges without logits write the same bytes as before there were logits.
    if preference.logit is not None:
        return preference
    return {name: getattr(preference, name) for name in _PLAIN}


def read_json(artifact: Artifact, name: str) -> Any:
    """Read a JSON file of an artifact."""
    return orjson.loads((Path(artifact.path) / name).read_bytes())


def read_temperature(tested: Artifact) -> float | None:
    """Read the temperature that a self-test fitted, or None if it had too few pairs."""
    return read_json(tested, TEMPERATURE)["temperature"]


def read_demonstrations(artifact: Artifact) -> KeyedRows[Demonstration]:
    """Read demonstrations by example id, sorted by id.

    If a row is there twice, the last one counts: a batch that is computed again after a kill repeats its rows.
    """
    return demonstrations_in([artifact])


def demonstrations_in(artifacts: Sequence[Artifact]) -> KeyedRows[Demonstration]:
    """Read the demonstrations of several artifacts as one mapping, sorted by example id."""
    paths = [first_checked(Path(artifact.path) / DEMONSTRATIONS, Demonstration) for artifact in artifacts]
    return KeyedRows(paths, Demonstration, "example_id", decode=_DEMONSTRATION)


def read_samples(artifact: Artifact) -> dict[str, list[Demonstration]]:
    """Read {example id: its demonstrations in the order of their sample numbers}, sorted by id."""
    # A batch that is computed again after a kill repeats its rows; the dict keeps the last one.
    rows = {(row.example_id, row.sample): row for row in read_rows(Path(artifact.path) / DEMONSTRATIONS, Demonstration)}
    samples: dict[str, list[Demonstration]] = {}
    for (example_id, _), row in sorted(rows.items()):
        samples.setdefault(example_id, []).append(row)
    return samples


def read_comparisons(artifact: Artifact) -> Sequence[Comparison]:
    """Return the comparisons to judge, in the order of their example ids. Each is read when it is asked for."""
    return lines_of(first_checked(Path(artifact.path) / COMPARISONS, Comparison), Comparison, _COMPARISON)


def read_screened(artifact: Artifact) -> Sequence[Screened]:
    """Return the screening result of every proposal, in the order of their example ids."""
    return lines_of(first_checked(Path(artifact.path) / SCREENED, Screened), Screened, _SCREENED)


def read_doubts(artifact: Artifact) -> dict[str, float | None]:
    """Read {example id: share of edits of its proposal that the annotator prefers}."""
    return {row.example_id: row.share for row in iter_rows(Path(artifact.path) / DOUBTS, Doubt)}


class JudgedExamples:
    """The preferences of the compared examples.

    Rows are read from disk when they are asked for.
    """

    def __init__(self, compared: Artifact, judged: Artifact) -> None:
        self.preferences = read_preferences(Path(judged.path))
        # The id of a comparison is a hash of its sides, so each comparison must be read once. Only its id is kept.
        self.ids_C = packed(id_.encode() for id_ in _comparison_ids(compared))
        self.places_C = self.preferences.places(self.ids_C)

    def __len__(self) -> int:
        return len(self.ids_C)

    def __iter__(self) -> Iterator[Preference]:
        """Yield the preference of each comparison, in the order of the comparisons: that of their example ids."""
        return self.preferences.rows_at(self.places_C)


def _comparison_ids(compared: Artifact) -> Iterator[str]:
    """Yield the ids of comparisons. They are those of `Comparison.id`, which would take twice as long."""
    for _, line in stage_lines(Path(compared.path) / COMPARISONS):
        sides = (line[side] for side in ("a", "b"))
        yield short_hash(*(demonstration_id(*(side[name] for name in IDENTITY)) for side in sides))


def read_pairs(artifact: Artifact) -> list[Pair]:
    """Read the pairs of a round of preference optimisation, in the order of their example ids and numbers."""
    return read_rows(Path(artifact.path) / PAIRS, Pair)


def read_chosen(artifact: Artifact) -> list[ChosenPair]:
    """Read the preferences to train on."""
    return read_rows(Path(artifact.path) / CHOSEN, ChosenPair)


def read_curve(artifact: Artifact) -> list[TrainingPoint]:
    """Read the training curve of a preference training. It is empty for a model that had no such training."""
    path = Path(artifact.path) / CURVE
    # A policy without chosen preferences was copied and has no curve.
    return read_rows(path, TrainingPoint) if path.exists() else []


def read_scores(artifact: Artifact) -> dict[str, Score]:
    """Read scores by row id. If an id is there twice, the last one counts."""
    return {row.id: row for row in read_rows(Path(artifact.path) / SCORES, Score)}


def read_preferences(path: Path) -> KeyedRows[Preference]:
    """Read preferences by comparison id. If an id is there twice, the last one counts."""
    return KeyedRows(first_checked(path / PREFERENCES, Preference), Preference, "comparison_id", decode=_PREFERENCE)


def iter_ledger(artifact: Artifact) -> Iterator[Refinement]:
    """Yield the lines of one round's ledger, without holding all of them in memory."""
    return iter_rows(Path(artifact.path) / LEDGER, Refinement)


def read_ledger(artifact: Artifact) -> list[Refinement]:
    """Read one round's ledger as a list."""
    return read_rows(Path(artifact.path) / LEDGER, Refinement)


def read_grades(artifact: Artifact) -> dict[str, GradeRow]:
    """Read grades by example id."""
    return {row.example_id: row for row in read_rows(Path(artifact.path) / GRADES, GradeRow)}
