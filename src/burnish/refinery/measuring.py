"""What a reference column says about a refinement: accuracies with intervals. Nothing here changes a label."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from burnish.algorithms.ledger_lines import BINS, bin_of, effects, right_calls
from burnish.algorithms.stopping import Preferred, kind_of
from burnish.ledger.folder import Folder
from burnish.ledger.summary import HarmSummary, RoundSummary, RoutingSummary
from burnish.methods import Round
from burnish.protocols import Grader
from burnish.results import Metric
from burnish.steps.artifacts import DEMONSTRATIONS, LEDGER, Rows, iter_ledger, read_comparisons, read_demonstrations
from burnish.steps.auditing import read_harm
from burnish.steps.judging import read_routing
from burnish.steps.setting import Compared
from burnish.store.files import as_mapping, iter_rows
from burnish.store.line_index import stage_lines
from burnish.tasks.answers import graded
from burnish.types import Artifact, Demonstration, Effect, Example, Reason, Refinement


class Reference:
    """The right answers, for the rows that have one. They are read when they are asked for."""

    def __init__(self, rows: Rows, task: Grader) -> None:
        self.task = task
        every = rows.examples()
        # An empty reference counts as none, so the row is not measured.
        named = (bool(reference) for (reference,) in every.fields_at(None, "reference"))
        self.examples = every.only(np.fromiter(named, dtype=np.bool_))

    def right(self, example: Example, answer: Demonstration) -> bool:
        """Say whether an answer is right. An answer without an end (cut at the token limit) is not."""
        return graded(self.task.on(example), answer).correct

    def labels(self, demonstrations: Artifact) -> Metric:
        """Return the share of right labels among the rows with a reference."""
        return self._share(read_demonstrations(demonstrations).along(self.examples.sorted_keys))

    def standing(self, given: Artifact, folder: Folder) -> Metric:
        """Return the share of right labels as they are now, without the changes that the user took back. `given` are
        the labels that the dataset came with."""
        changes = folder.standing()
        answers = folder.answers(change.after for change in changes.values())
        first = read_demonstrations(given).along(self.examples.sorted_keys)
        return self._share(
            answers[changes[row.example_id].after] if row.example_id in changes else row for row in first
        )

    def _share(self, labels: Iterable[Demonstration]) -> Metric:
        """Return the share of right labels. They are those of the rows with a reference, in the order of the rows."""
        right = sum(map(self.right, self.examples.values(), labels))
        return Metric.share(right, len(self.examples))

    def decisive(self, ledger: Artifact, sides: Sequence[Artifact], reasons: AbstractSet[Reason]) -> Metric:
        """Return the share of right verdicts among comparisons in which exactly one side is right.

        Only lines with these reasons count. Ties and abstentions are left out. `sides` hold the answers of the ledger.
        """
        lines = (line for line in iter_ledger(ledger) if line.score is not None and line.reason in reasons)
        return Metric.share(*right_calls(self._known(lines), self._right_in(sides)))

    def effects(self, ledger: Artifact, sides: Sequence[Artifact]) -> dict[Effect, int]:
        """Return how many changes of labels did what, among the rows with a reference."""
        return effects(self._known(iter_ledger(ledger)), self._right_in(sides))

    def _known(self, lines: Iterable[Refinement]) -> Iterator[Refinement]:
        """Yield the lines of rows with a reference."""
        return (line for line in lines if line.example_id in self.examples)

    def _right_in(self, sides: Sequence[Artifact]) -> Callable[[str, str], bool]:
        """Return a function that takes an example id and an answer id and says whether the answer is right."""
        known = [read_demonstrations(side) for side in sides]

        def right(example_id: str, answer_id: str) -> bool:
            rows = (side[example_id] for side in known if example_id in side)
            return self.right(self.examples[example_id], next(row for row in rows if row.id == answer_id))

        return right


def summarised(round_: Round, reference: Reference | None) -> RoundSummary:
    """Return what happened in a round. Accuracies are None without a reference."""
    assert round_.compared is not None, round_
    ledger = round_.compared.ledger
    counted = _counted(ledger)
    counts, compared = counted.reasons, sum(counted.judged)
    annotator_accuracy = accepted_accuracy = did = None
    if reference:
        did = reference.effects(ledger, round_.compared.sides)
    if reference and compared:
        sides = round_.compared.sides
        annotator_accuracy = reference.decisive(ledger, sides, frozenset(Reason))
        accepted_accuracy = reference.decisive(ledger, sides, frozenset({Reason.ACCEPTED}))
    harm = read_harm(round_.demonstrations)
    return RoundSummary(
        round=round_.number,
        fingerprint=round_.demonstrations.fingerprint,
        counts={str(reason): n for reason, n in sorted(counts.items())},
        compared=compared,
        replaced=Metric.share(counts[Reason.ACCEPTED], counts.total()),
        label_accuracy=reference.labels(round_.demonstrations) if reference else None,
        annotator_accuracy=annotator_accuracy,
        accepted_accuracy=accepted_accuracy,
        preferred=counted.kinds[Preferred.HELD] + counted.kinds[Preferred.TURNED_DOWN],
        held=counted.kinds[Preferred.HELD],
        effects=did,
        unfinished=_unfinished(round_.compared, counts[Reason.INVALID]),
        confidence=counted.judged,
        accepted_confidence=counted.accepted,
        routing=_routing(round_.compared.judged),
        edits=sum(len(read_comparisons(stage)) for stage in round_.compared.before) or None,
        harm=HarmSummary(**{k: v for k, v in as_mapping(harm).items() if k != "round"}) if harm else None,
    )


def _routing(judged: Artifact | None) -> RoutingSummary | None:
    """Return who decided the pairs, or None if the annotator is no route."""
    figures = None if judged is None else read_routing(judged)
    if figures is None:
        return None
    errors = figures.errors
    return RoutingSummary(
        decided=dict(sorted(figures.decided.items())),
        wrong_when_sure=None if errors.sure is None else Metric.of(errors.sure),
        wrong=None if errors.every is None else Metric.of(errors.every),
        undecided=errors.undecided,
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class _Counts:
    """What the lines of a ledger are: by reason, by what became of preferred proposals, and by confidence those that
    were judged and those accepted."""

    reasons: Counter[str]
    kinds: Counter[Preferred | None]
    judged: tuple[int, ...]
    accepted: tuple[int, ...]


def _counted(ledger: Artifact) -> _Counts:
    """Count the lines of a ledger. It is read once, since it has a line for every row."""
    reasons, kinds, judged, accepted = Counter[str](), Counter[Preferred | None](), [0] * BINS, [0] * BINS
    for _, line in stage_lines(Path(ledger.path) / LEDGER):
        reasons[line["reason"]] += 1
        if line["score"] is not None:
            judged[bin_of(line["score"])] += 1
            accepted[bin_of(line["score"])] += line["reason"] == Reason.ACCEPTED
            kinds[kind_of(line["reason"], line["score"], line["p_b_ab"], line["p_b_ba"])] += 1
    return _Counts(reasons=reasons, kinds=kinds, judged=tuple(judged), accepted=tuple(accepted))


def _unfinished(compared: Compared, invalid: int) -> int:
    """Count the proposals that were not compared because they have no end. `invalid` of all rows were not compared."""
    if not invalid:
        return 0
    # Only the ids of answers without an end are kept in memory.
    proposals = (iter_rows(Path(side.path) / DEMONSTRATIONS, Demonstration) for side in compared.sides[1:])
    cut = {answer.id for side in proposals for answer in side if not answer.finished}
    return sum(line.reason is Reason.INVALID and line.proposed in cut for line in iter_ledger(compared.ledger))


def exists(artifact: Artifact) -> bool:
    """Say whether the artifact of a planned stage has been computed."""
    # A stage writes its manifest last, so an artifact with a manifest is complete.
    return (Path(artifact.path) / "manifest.json").is_file()
