"""An upper bound on the harm of a round's changes, from a sample that is judged again (Clopper & Pearson, 1934).

The sample is drawn before anybody judges it. R rounds share the allowed error: each bound has the level 1 - 0.05 / R,
so that all bounds hold together with 95 %.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from burnish.algorithms.refinement import drawn, over_risk
from burnish.stats import LEVEL, harm_bound
from burnish.steps.artifacts import (
    COMPARISONS,
    DEMONSTRATIONS,
    LEDGER,
    iter_ledger,
    read_comparisons,
    read_demonstrations,
    read_json,
    read_preferences,
)
from burnish.steps.judging import judge
from burnish.steps.refining import Parts, merged, numbered
from burnish.steps.setting import Audit, Setting
from burnish.store.files import as_mapping, pretty, write_atomic, write_rows
from burnish.store.stages import Work
from burnish.types import Artifact, Comparison, Preference, Reason, Verdict

HARM = "harm.json"
"""The file with the result of an audit."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Harm:
    """The result of an audit of one round.

    Of `changes` accepted changes, `sampled` were judged. `harmed` were worse than the label before. `undecided` got no
    verdict; they count as harm. `bound` is the upper bound on the share of harmed changes.
    """

    round: int
    changes: int
    sampled: int
    harmed: int
    undecided: int
    bound: float
    level: float
    max_harm: float | None
    accepted: bool


def audited(setting: Setting, current: Artifact, proposals: Parts, refined: Artifact, number: int) -> Artifact:
    """Audit a round and return its labels.

    Without an audit the labels are returned as they are. If the bound on harm is above `max_harm`, the labels from
    before the round are returned: all of its changes are taken back.
    """
    audit = setting.audit
    if audit is None:
        return refined
    sample = _sample(setting, audit, current, proposals, refined, number)
    judged = judge(setting.steps, audit.auditor, setting.rows, sample, f"round {number} audit")

    def run(work: Work) -> None:
        # The ledger is read twice and streamed, so that it never lies in memory as a whole.
        changes = sum(line.reason is Reason.ACCEPTED for line in iter_ledger(refined))
        verdicts = read_preferences(Path(judged.path))
        harm = _harm(audit, changes, [verdicts[comparison.id] for comparison in read_comparisons(sample)], number)
        write_atomic(work.path / HARM, pretty(as_mapping(harm)))
        lines = iter_ledger(refined)
        write_rows(work.path / LEDGER, lines if harm.accepted else over_risk(lines))
        # A bound above the limit takes back all changes of the round: nobody knows which of the changes are harmful.
        kept = read_demonstrations(refined if harm.accepted else current)
        work.count(rows=write_rows(work.path / DEMONSTRATIONS, kept.values()))

    config = {"max_harm": audit.max_harm, "rounds": audit.rounds, "round": number}
    inputs = {"current": current, "refined": refined, "sample": sample, "judged": judged}
    return setting.steps.stage("bound", config, inputs, run, f"round {number} bound on harm")


def _sample(
    setting: Setting, audit: Audit, current: Artifact, proposals: Parts, refined: Artifact, number: int
) -> Artifact:
    """Draw the accepted changes to judge again."""
    seed = setting.steps.seed

    def run(work: Work) -> None:
        labels, proposed = read_demonstrations(current), merged(proposals)
        changed = [line.example_id for line in iter_ledger(refined) if line.reason is Reason.ACCEPTED]
        # Drawn by hash from all accepted changes: the bound needs a random sample that nobody chose.
        chosen = sorted(drawn(changed, audit.size, seed, number, "audit"))
        pairs = (Comparison(example_id=id_, a=labels[id_], b=proposed[id_]) for id_ in chosen)
        work.count(comparisons=write_rows(work.path / COMPARISONS, pairs))

    config = {"size": audit.size, "seed": seed, "round": number}
    inputs = {"current": current, "refined": refined, **numbered("proposals", proposals)}
    return setting.steps.stage("audit_sample", config, inputs, run, f"round {number} audit sample")


def _harm(audit: Audit, changes: int, judged: Iterable[Preference], number: int) -> Harm:
    """Compute the bound from the verdicts. In an audit side a is the label before, so verdict A means harm."""
    verdicts = [preference.verdict for preference in judged]
    harmed, undecided = verdicts.count(Verdict.A), verdicts.count(Verdict.ABSTAIN)
    # Bonferroni: R bounds at 1 - 0.05 / R hold together with at least 95 %.
    level = 1 - (1 - LEVEL) / audit.rounds
    # An abstention counts as harm, so that the bound is on the safe side.
    bound = harm_bound(harmed + undecided, len(verdicts), changes, level)
    return Harm(
        round=number,
        changes=changes,
        sampled=len(verdicts),
        harmed=harmed,
        undecided=undecided,
        bound=bound,
        level=level,
        max_harm=audit.max_harm,
        # Without a limit the audit only reports.
        accepted=audit.max_harm is None or bound <= audit.max_harm,
    )


def read_harm(artifact: Artifact) -> Harm | None:
    """Read the result of an audit. Return None where the round was not audited."""
    return Harm(**read_json(artifact, HARM)) if (Path(artifact.path) / HARM).exists() else None
