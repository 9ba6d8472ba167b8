"""The stage in which an annotator judges comparisons: of a round of refinement or DPO, or of test answers."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from pydantic import JsonValue

from burnish.algorithms.comparisons import voted
from burnish.protocols import Annotator
from burnish.steps.artifacts import PREFERENCES, Rows, preference_row, read_comparisons, read_preferences
from burnish.steps.basic import Steps
from burnish.steps.data import Handling
from burnish.store.files import write_rows
from burnish.store.stages import Work
from burnish.types import Accept, Artifact, Example, Preference


@dataclass(frozen=True, slots=True, kw_only=True)
class AnnotatorPlan:
    """An annotator that can be asked once its inputs exist.

    `config` and `inputs` identify its judgements. `over` makes the annotator for {id: example}; the examples have
    references only if `reads_references` is true. `order_free` means that it is asked once, because the order of two
    answers does not matter. `shares` is {source: share of the cap} for mixed feedback. If there are `members`, the
    members judge, each in a stage of its own, and then they vote.

    `coarse` means that many judgements have the same confidence, as those of people have. Then a seeded hash ranks
    them, because ids may follow the order of the data. `outside` means that a server, people or a user's program are
    asked. Then at most one stage of a run asks at the same time.
    """

    kind: str
    config: Mapping[str, JsonValue]
    inputs: Mapping[str, Artifact]
    # A function and not an object: a dry run plans the stage without loading a model or calling a server.
    over: Callable[[Mapping[str, Example]], Annotator]
    reads_references: bool = False
    order_free: bool = False
    coarse: bool = False
    outside: bool = False
    shares: Mapping[str, float] | None = None
    members: tuple[AnnotatorPlan, ...] = ()

    def on(self, rows: Rows) -> Annotator:
        """Return the annotator for these rows. It sees the references only if it may read them."""
        return self.over(rows.examples() if self.reads_references else rows.prompts_only())


def nobody() -> AnnotatorPlan:
    """Return the annotator of a method that asks none. It must never be asked."""

    def over(examples: Mapping[str, Example]) -> Annotator:
        raise AssertionError("this method asks no annotator")

    return AnnotatorPlan(kind="none", config={"kind": "none"}, inputs={}, over=over)


def judge(
    steps: Steps,
    annotator: AnnotatorPlan,
    rows: Rows,
    compared: Artifact,
    label: str,
    accept: Accept = Accept.MEAN,
) -> Artifact:
    """Let the annotator judge every comparison of `compared`, and return its preferences.

    If the run is killed, finished units of the annotator's work are kept.
    """
    if annotator.members:
        # Each member has a stage of its own, so its judgements are reused if the members change.
        votes = [judge(steps, member, rows, compared, f"{label} by {member.kind}") for member in annotator.members]
        return _vote(steps, annotator, votes, compared, label, accept)

    def run(work: Work) -> None:
        comparisons = read_comparisons(compared)

        def batches(_: Path) -> Iterable[Sequence[Preference]]:
            done = read_preferences(work.path)
            # The id of a comparison is a hash of both sides, so it is not computed for nothing.
            finished = sum(comparison.id in done for comparison in comparisons) if done else 0
            work.expect(len(comparisons), finished)
            if finished == len(comparisons):
                # Do not even build the annotator: that may load a model or start a server.
                return ()
            return annotator.on(rows).judge(comparisons, done.keys())

        work.append_batches(PREFERENCES, batches, lambda batch: {"comparisons": len(batch)}, preference_row)

    inputs = {"comparisons": compared, **annotator.inputs}
    handling = Handling(resumable=True, outside=annotator.outside)
    return steps.stage("judge", annotator.config, inputs, run, label, handling)


def _vote(
    steps: Steps,
    annotator: AnnotatorPlan,
    votes: Sequence[Artifact],
    compared: Artifact,
    label: str,
    accept: Accept,
) -> Artifact:
    """Combine the judgements of several annotators on the same comparisons.

    `accept` says what the two orders of one voter mean together.
    """
    # Annotators without an order have nothing on which two orders could disagree.
    both = accept is Accept.BOTH_ORDERS and not annotator.order_free
    rule = Accept.BOTH_ORDERS if both else Accept.MEAN

    def run(work: Work) -> None:
        member_preferences = [read_preferences(Path(vote.path)) for vote in votes]
        combined_votes = (
            preference_row(voted([preferences[comparison.id] for preferences in member_preferences], rule))
            for comparison in read_comparisons(compared)
        )
        work.count(comparisons=write_rows(work.path / PREFERENCES, combined_votes))

    inputs = {"comparisons": compared, **{f"vote_{number}": vote for number, vote in enumerate(votes, 1)}}
    # The default is left out, so that votes by the mean keep their fingerprint.
    config: dict[str, JsonValue] = {"accept": str(accept)} if both else {}
    return steps.stage("votes", config, inputs, run, f"{label} together")
