"""What a reference column says about a refinement: accuracies with intervals. Nothing here changes a label."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path

from burnish.algorithms.ledger_lines import confidence_counts, effects, right_calls
from burnish.ledger.folder import Folder
from burnish.ledger.summary import HarmSummary, RoundSummary
from burnish.methods import Round
from burnish.protocols import Grader
from burnish.results import Metric
from burnish.steps.artifacts import DEMONSTRATIONS, Rows, iter_ledger, read_demonstrations
from burnish.steps.auditing import read_harm
from burnish.steps.setting import Compared
from burnish.store.files import as_mapping, iter_rows
from burnish.tasks.answers import graded
from burnish.types import Artifact, Demonstration, Effect, Reason, Refinement


class Reference:
    """The right answers, for the rows that have one."""

    def __init__(self, rows: Rows, task: Grader) -> None:
        self.task = task
        # An empty reference counts as none, so the row is not measured.
        self.examples = {id_: example for id_, example in rows.examples().items() if example.reference}

    def right(self, example_id: str, answer: Demonstration) -> bool:
        """Say whether an answer is right. An answer without an end (cut at the token limit) is not."""
        return graded(self.task.on(self.examples[example_id]), answer).correct

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

    def effects(self, lines: Iterable[Refinement], answers: Mapping[str, Demonstration]) -> dict[Effect, int]:
        """Return how many changes of labels did what, among the rows with a reference."""
        known = (line for line in lines if line.example_id in self.examples)
        return effects(known, lambda id_, side: self.right(id_, answers[side]))


def summarised(round_: Round, reference: Reference | None) -> RoundSummary:
    """Return what happened in a round. Accuracies are None without a reference."""
    assert round_.compared is not None, round_
    ledger = round_.compared.ledger
    # The ledger is read once per count and not kept: it has a line for every row.
    counts = Counter(line.reason for line in iter_ledger(ledger))
    compared = sum(line.score is not None for line in iter_ledger(ledger))
    annotator_accuracy = accepted_accuracy = did = None
    if reference:
        answers = {row.id: row for side in round_.compared.sides for row in read_demonstrations(side).values()}
        did = reference.effects(iter_ledger(ledger), answers)
        judged = [line for line in iter_ledger(ledger) if line.score is not None]
        if judged:
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
        effects=did,
        unfinished=_unfinished(round_.compared),
        confidence=confidence_counts(iter_ledger(ledger)),
        accepted_confidence=confidence_counts(line for line in iter_ledger(ledger) if line.reason is Reason.ACCEPTED),
        harm=HarmSummary(**{k: v for k, v in as_mapping(harm).items() if k != "round"}) if harm else None,
    )


def _unfinished(compared: Compared) -> int:
    """Count the proposals that were not compared because they have no end."""
    # Only the ids of answers without an end are kept in memory.
    proposals = (iter_rows(Path(side.path) / DEMONSTRATIONS, Demonstration) for side in compared.sides[1:])
    cut = {answer.id for side in proposals for answer in side if not answer.finished}
    return sum(line.reason is Reason.INVALID and line.proposed in cut for line in iter_ledger(compared.ledger))


def exists(artifact: Artifact) -> bool:
    """Say whether the artifact of a planned stage has been computed."""
    # A stage writes its manifest last, so an artifact with a manifest is complete.
    return (Path(artifact.path) / "manifest.json").is_file()
