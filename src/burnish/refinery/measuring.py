"""What a reference column says about a refinement: accuracies with intervals. Nothing here changes a label."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

from burnish.algorithms.ledger_lines import BINS, bin_of, right_calls
from burnish.ledger.folder import Folder
from burnish.ledger.summary import HarmSummary, RoundSummary
from burnish.methods import Round
from burnish.protocols import Grader
from burnish.results import Metric
from burnish.steps.artifacts import DEMONSTRATIONS, LEDGER, Rows, iter_ledger, read_demonstrations
from burnish.steps.auditing import read_harm
from burnish.steps.setting import Compared
from burnish.store.files import as_mapping, iter_rows
from burnish.store.line_index import stage_lines
from burnish.types import Artifact, Demonstration, Reason, Refinement


class Reference:
    """The right answers, for the rows that have one."""

    def __init__(self, rows: Rows, task: Grader) -> None:
        self.task = task
        # An empty reference counts as none, so the row is not measured.
        self.examples = {id_: example for id_, example in rows.examples().items() if example.reference}

    def right(self, example_id: str, answer: Demonstration) -> bool:
        """Say whether an answer is right. An answer without an end (cut at the token limit) is not."""
        return answer.finished and self.task.on(self.examples[example_id]).grade(answer.completion).correct

    def labels(self, demonstrations: Artifact) -> Metric:
        """Return the share of right labels among the rows with a reference."""
        return self._share(read_demonstrations(demonstrations).__getitem__)

    def standing(self, given: Artifact, folder: Folder) -> Metric:
        """Return the share of right labels as they are now, without the changes that the user took back. `given` are
        the labels that the dataset came with."""
        first, changes = read_demonstrations(given), folder.standing()
        answers = folder.answers(change.after for change in changes.values())
        return self._share(lambda id_: answers[changes[id_].after] if id_ in changes else first[id_])

    def _share(self, label_of: Callable[[str], Demonstration]) -> Metric:
        """Return the share of right labels, where `label_of` returns the label of a row."""
        return Metric.share(sum(self.right(id_, label_of(id_)) for id_ in self.examples), len(self.examples))

    def decisive(self, lines: Iterable[Refinement], answers: Mapping[str, Demonstration]) -> Metric:
        """Return the share of right verdicts among comparisons in which exactly one side is right.

        Ties and abstentions are left out.
        """
        known = (line for line in lines if line.example_id in self.examples)
        return Metric.share(*right_calls(known, lambda id_, side: self.right(id_, answers[side])))


def summarised(round_: Round, reference: Reference | None) -> RoundSummary:
    """Return what happened in a round. Accuracies are None without a reference."""
    assert round_.compared is not None, round_
    ledger = round_.compared.ledger
    counted = _counted(ledger)
    counts, compared = counted.reasons, sum(counted.judged)
    annotator_accuracy = accepted_accuracy = None
    if reference and compared:
        answers = {row.id: row for side in round_.compared.sides for row in read_demonstrations(side).values()}
        judged = [line for line in iter_ledger(ledger) if line.score is not None]
        annotator_accuracy = reference.decisive(judged, answers)
        accepted_accuracy = reference.decisive((line for line in judged if line.reason is Reason.ACCEPTED), answers)
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
        unfinished=_unfinished(round_.compared, counts[Reason.INVALID]),
        confidence=counted.judged,
        accepted_confidence=counted.accepted,
        harm=HarmSummary(**{k: v for k, v in as_mapping(harm).items() if k != "round"}) if harm else None,
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class _Counts:
    """What the lines of a ledger are: by reason, and by confidence those that were judged and those accepted."""

    reasons: Counter[str]
    judged: tuple[int, ...]
    accepted: tuple[int, ...]


def _counted(ledger: Artifact) -> _Counts:
    """Count the lines of a ledger. It is read once, since it has a line for every row."""
    reasons, judged, accepted = Counter[str](), [0] * BINS, [0] * BINS
    for _, line in stage_lines(Path(ledger.path) / LEDGER):
        reasons[line["reason"]] += 1
        if line["score"] is not None:
            judged[bin_of(line["score"])] += 1
            accepted[bin_of(line["score"])] += line["reason"] == Reason.ACCEPTED
    return _Counts(reasons=reasons, judged=tuple(judged), accepted=tuple(accepted))


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
