"""What a refinement would do and cost: the plan, the first row as the model sees it, and an estimate. Nothing is
spent."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from burnish.config import EmbeddingServerDiffers, RefineConfig
from burnish.inputs.feasible import in_one_process
from burnish.inputs.memory import MemoryNeed, memory_needs, memory_words, not_built_in
from burnish.ledger.folder import Folder
from burnish.refinery.accounts import check_servers
from burnish.refinery.dataset import DataFacts, facts_of, unused_columns
from burnish.refinery.doubts import check_amount, cut_answers, reference_doubt
from burnish.refinery.estimate import Estimate, estimated
from burnish.refinery.first_row import FirstRow, data_words, first_row, row_words
from burnish.refinery.holding import held_words, left_of, would_hold_out
from burnish.refinery.inputs import find
from burnish.refinery.pairs import check_pairs
from burnish.refinery.proposals import Paired, check_file
from burnish.refinery.refining import RunOptions, planned_in
from burnish.refinery.selftest import still_to_run
from burnish.refinery.sending import sent_elsewhere
from burnish.report.text import duration, plural, terminal
from burnish.store.explain import Explanation, explain
from burnish.store.identity import unresolved_words
from burnish.store.known_hashes import HASHES, KnownHashes
from burnish.store.opening import open_store


@dataclass(frozen=True, slots=True, kw_only=True)
class DryRun:
    """A plan that was not carried out.

    `unused` are the columns that nothing reads. `embedded` is the largest number of texts that would be sent to a
    server of embeddings, or None if there is no such server. `first` is None if no model is trained. `held_out` says
    what is held out, if anything is. `proposals` says how many rows have a proposal in a file. `sent` says what goes to
    servers that are not on this machine. `warnings` say what will hardly work. `memory` says what trainings,
    answers and scores need.
    """

    stages: list[Explanation]
    unresolved: list[str]
    data: DataFacts
    unused: list[str]
    first: FirstRow | None
    held_out: str | None
    estimate: Estimate
    embedded: int | None
    sent: list[str]
    warnings: list[str]
    proposals: Paired | None = None
    memory: tuple[MemoryNeed, ...] = ()


def dry_run(config: RefineConfig, run_options: RunOptions) -> DryRun:
    """Check everything that can be checked, read the dataset through, and plan. Raises ConfigError, DataError and
    BackendError as `refine_data` does."""
    # A dry run must also work without a network.
    store = open_store(run_options.store)
    found = find(config, offline_ok=True, known=KnownHashes(store.root / HASHES, kept=False))
    check_servers(found.config, run_options.budget)
    check_pairs(run_options.pairs, found.config, found.table, run_options.out, overwrite=run_options.overwrite)
    plan = planned_in(found, run_options)
    # Without an answer of the hub, the plan has other fingerprints than the run, and says nothing about the folder.
    if not found.unresolved:
        Folder(run_options.out).check_claim(plan.changing, found.config.settings, run_options.overwrite, plan.ends)
    facts = facts_of(found.table, found.config.data, found.refused)
    # In the order of a run, so that both give the same error.
    held = would_hold_out(found)
    left = left_of(facts, found.config.holdout, held)
    paired = None if found.proposals is None else check_file(found.proposals, found.table, found.refused)
    check_amount(found.config, left)
    first = first_row(found)
    # A caller's backend may count tokens in another way.
    counted = run_options.backend is None and first is not None and not first.problem
    long = cut_answers(found, facts, run_options.generator is not None) if counted else None
    execution = in_one_process(found.config.execution, "a refinement")
    return DryRun(
        stages=explain(plan.records, store),
        unresolved=found.unresolved,
        data=facts,
        unused=unused_columns(facts, found.table),
        first=first,
        held_out=held_words(found.config.holdout, held),
        estimate=estimated(found.config, left, still_to_run(plan.records)),
        embedded=_embedded(found.config, left),
        sent=[*found.models.sent(), *sent_elsewhere(found.config, left.usable)],
        warnings=[warning for warning in (long, reference_doubt(found, facts)) if warning],
        proposals=paired,
        memory=memory_needs(plan.records, not_built_in(found.models.sources), execution),
    )


def _embedded(config: RefineConfig, facts: DataFacts) -> int | None:
    """Return an upper bound on the texts that are embedded: both texts of every row in every round."""
    # An upper bound: rows whose texts are equal need no embedding, but how many there are is not known yet.
    return 2 * facts.usable * config.method.last_round if isinstance(config.differs, EmbeddingServerDiffers) else None


def words(plan: DryRun) -> Iterator[str]:
    """Yield the plan as lines for a terminal."""
    yield from map(terminal, plan.sent)
    yield from data_words(plan.data, plan.unused)
    if plan.proposals is not None:
        yield plan.proposals.words()
    yield from row_words(plan.first) if plan.first is not None else ()
    if plan.held_out is not None:
        yield plan.held_out
    yield from (f"warning: {terminal(warning)}" for warning in plan.warnings)
    for stage in plan.stages:
        # The first 8 digits of a fingerprint are enough to tell stages apart.
        yield f"{stage.state:<8} {stage.fingerprint[:8]}  {terminal(stage.label)}"
    for source in plan.unresolved:
        yield unresolved_words(source)
    waiting = sum(stage.state != "done" for stage in plan.stages)
    yield f"{len(plan.stages)} stages, {len(plan.stages) - waiting} done, {waiting} to run"
    yield from map(terminal, memory_words(plan.memory))
    yield from _estimate_words(plan.estimate)
    if plan.embedded is not None:
        yield f"server of embeddings: at most {plural(plan.embedded, 'text')}"


def _estimate_words(estimate: Estimate) -> Iterator[str]:
    """Yield the estimate as lines for a terminal."""
    work = f"about {estimate.trained_tokens:,} tokens trained on, {estimate.generated_tokens:,} written"
    trained = estimate.trained_tokens > 0
    yield (
        f"at most {plural(estimate.comparisons, 'comparison')} in {plural(estimate.rounds, 'round')}; "
        f"{work if trained else 'no model is trained'}"
    )
    if trained and estimate.seconds is None:
        yield "time: not estimated (the model or its libraries are not on this machine)"
    elif estimate.seconds is not None:
        yield f"time on this machine, without a judge's server: very roughly {duration(estimate.seconds)}"
    if estimate.proposals is not None:
        yield estimate.proposals.words("proposals")
    if estimate.calls is not None:
        yield estimate.calls.words()
