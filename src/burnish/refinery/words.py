"""What is printed when a refinement is finished: what changed, why the rest did not, what it cost, and what to do
next."""

from __future__ import annotations

import shlex
from collections.abc import Iterator, Mapping
from pathlib import Path

from burnish.algorithms.refinement import cap
from burnish.config import ServerProposals
from burnish.ledger.folder import REPORT, Folder, StandingChange
from burnish.ledger.history import WHY
from burnish.ledger.holdout import holdout_words
from burnish.ledger.notes import ended_words, losses, share, taken_back
from burnish.ledger.page import call_words
from burnish.ledger.routes import routing_words
from burnish.ledger.summary import RoundSummary, Summary, reference_doubt
from burnish.models.location import TRY_IT
from burnish.refinery.refining import FinishedRefinement
from burnish.report.text import duration, percent, plural, terminal
from burnish.types import Reason

FEW = 0.5
"""If a round changed less than this share of the labels that it may change, the end says why."""


def closing(finished: FinishedRefinement) -> Iterator[str]:
    """Yield lines that say what each round changed, what it cost, where everything is, and which commands come next."""
    summary, out = finished.summary, finished.out
    if summary.given_accuracy is not None:
        yield f"right labels before: {share(summary.given_accuracy)}"
    if doubt := reference_doubt(summary):
        yield f"warning: {doubt}"
    for round_ in summary.rounds:
        yield _round_words(round_)
        yield from routing_words(round_)
        yield from ended_words(summary, round_)
        yield from _why_few(summary, round_)
    if back := taken_back(summary):
        yield back
    if held := holdout_words(summary):
        yield held
    yield from (f"warning: {loss}" for loss in losses(summary))
    paid = [call_words(summary.calls), call_words(summary.proposal_calls)]
    if all(paid):
        paid = [f"judge: {paid[0]}", f"proposals: {paid[1]}"]
    cost = "; ".join(filter(None, paid)) or "no server was asked"
    yield f"cost: {cost}; all stages took {duration(finished.seconds)}"
    yield f"dataset: {out / summary.data.file}"
    yield from (f"also as: {out / name}" for name in summary.data.also)
    if finished.pairs is not None:
        yield f"pairs: {finished.pairs}"
    if summary.model is not None:
        place = out / summary.model.folder
        yield f"model: {place}"
        if (place / TRY_IT).is_file():
            yield f"try it: {shlex.join(['python', str(place / TRY_IT), 'your question'])}"
    elif summary.config.model is None:
        yield "model: none was trained, because no --model was given; finetune one on the dataset"
    yield f"report: {out / REPORT}"
    yield from _next_commands(out, Folder(out).standing())


def _round_words(round_: RoundSummary) -> str:
    """Return one line about a round."""
    edits = f" and {round_.edits:,} with edits" if round_.edits else ""
    asked = f"{plural(round_.compared, 'comparison')}{edits}"
    line = f"round {round_.round}: {asked}, {plural(_accepted(round_), 'label')} changed"
    if round_.label_accuracy is not None:
        line += f", right labels {share(round_.label_accuracy)}"
    if round_.harm is not None:
        line += f"; harmed at most {percent(round_.harm.bound)} of {plural(round_.harm.changes, 'change')}"
        line += "" if round_.harm.accepted else ", more than is allowed: nothing was accepted"
    return line


def _why_few(summary: Summary, round_: RoundSummary) -> Iterator[str]:
    """Say why a round changed few labels, in the words of the ledger, the most frequent reason first."""
    alpha = _setting(summary, "alpha")
    # A method from outside the package may have no limit.
    allowed = 0 if alpha is None else cap(alpha, sum(round_.counts.values()))
    if _accepted(round_) >= FEW * allowed:
        return
    yield f"  {plural(allowed, 'label')} could change in round {round_.round}. Why the others did not:"
    for name, count in sorted(round_.counts.items(), key=lambda pair: (-pair[1], pair[0])):
        reason = Reason(name)
        if reason is not Reason.ACCEPTED:
            yield f"  {count:,} {name}: {WHY[reason]}{_advice(summary, round_, reason)}"


def _advice(summary: Summary, round_: RoundSummary, reason: Reason) -> str:
    """Name the setting that caused a reason, with its value. Returns "" if no setting did."""
    config = summary.config
    match reason:
        case Reason.INVALID if round_.unfinished:
            server = config.proposals
            field, limit = "decode.max_new_tokens", config.decode.max_new_tokens
            if isinstance(server, ServerProposals):
                field, limit = "proposals.max_tokens", server.max_tokens
            return (
                f". {plural(round_.unfinished, 'proposal')} had no end after {plural(limit, 'token')}; raise the limit "
                f"with --set {field}={2 * limit}"
            )
        case Reason.BELOW_GATE if (gate := _setting(summary, "gate")) is not None:
            return f" (--gate {gate:g})"
        case Reason.NOT_COMPARED if config.comparisons is not None:
            return f" (--comparisons {config.comparisons})"
        case _:
            return ""


def _next_commands(out: Path, standing: Mapping[str, StandingChange]) -> Iterator[str]:
    """Yield the commands that come next, ready to paste. `standing` holds the changes that stand, by row."""
    folder = str(out)
    # A name that begins with a dash would be read as an option.
    if folder.startswith("-"):
        folder = f"./{folder}"
    commands = [["show", folder]]
    # An id that a terminal would not show as it is cannot be pasted.
    row = next((id_ for id_ in standing if terminal(id_) == id_), None)
    if row is not None:
        commands = [["diff", folder], ["show", folder, *(["--"] if row.startswith("-") else []), row]]
        # A round whose changes were all taken back has nothing left to take back.
        last = max(change.round for change in standing.values())
        commands.append(["revert", folder, "--round", str(last)])
    commands.append(["push", folder, "OWNER/NAME"])
    yield "what you can do next:"
    yield from (f"  {shlex.join(['burnish', *words])}" for words in commands)


def _setting(summary: Summary, name: str) -> float | None:
    """Return a number of the method's settings, or None if the method has no such setting."""
    value = getattr(summary.config.method, name, None)
    return None if value is None else float(value)


def _accepted(round_: RoundSummary) -> int:
    """Return how many labels a round changed."""
    return round_.counts.get(Reason.ACCEPTED, 0)
