"""The stage in which an annotator judges comparisons: of a round of refinement or DPO, or of test answers."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Protocol, runtime_checkable

from pydantic import JsonValue

from burnish.algorithms.comparisons import voted
from burnish.algorithms.routing import JudgeErrors, Route, RouteRule, judge_errors, routed
from burnish.protocols import Annotator, Scorer
from burnish.steps.artifacts import (
    COMPARISONS,
    PREFERENCES,
    Rows,
    preference_row,
    read_comparisons,
    read_json,
    read_preferences,
)
from burnish.steps.basic import Steps
from burnish.steps.data import Handling
from burnish.steps.shards import SCORE_BATCHES, ScoreBatch, remembering, scored_part
from burnish.store.files import as_mapping, iter_rows, pretty, row_of, write_atomic, write_rows
from burnish.store.shards import Shard
from burnish.store.stages import Division, Work
from burnish.types import Accept, Artifact, Example, Preference

ROUTES, ROUTING = "routes.jsonl", "routing.json"
"""The files that say who decides each pair and why, and what that shows about the annotator that is asked first."""


@runtime_checkable
class ToldWhy(Protocol):
    """An annotator that passes on why it is asked about a pair, as people do."""

    def because(self, routes: Mapping[str, Route]) -> Annotator:
        """Return the annotator that is asked for the reasons in {comparison id: route}."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class RoutingFigures:
    """What became of the pairs of a round: how many were `decided` by whom and why, and how often the annotator that is
    asked first was wrong."""

    decided: Mapping[str, int]
    errors: JudgeErrors


@dataclass(frozen=True, slots=True, kw_only=True)
class Routing:
    """Two annotators: `first` is asked about all pairs, and `then` about those that `rule` chooses."""

    first: AnnotatorPlan
    then: AnnotatorPlan
    rule: RouteRule


@dataclass(frozen=True, slots=True, kw_only=True)
class AnnotatorPlan:
    """An annotator that can be asked once its inputs exist.

    `config` and `inputs` identify its judgements. `over` makes the annotator for {id: example}; the examples have
    references only if `reads_references` is true. `order_free` means that it is asked once, because the order of two
    answers does not matter. `shares` is {source: share of the cap} for mixed feedback. If there are `members`, the
    members judge, each in a stage of its own, and then they vote. If there is a `routing`, its two annotators judge,
    each in a stage of its own.

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
    scored: Callable[[Mapping[str, Example], Scorer], Annotator] | None = None
    shares: Mapping[str, float] | None = None
    members: tuple[AnnotatorPlan, ...] = ()
    routing: Routing | None = None

    @property
    def in_ledger(self) -> str | None:
        """The name of the annotator in the ledger. It is None if each judgement says itself who gave it, and why."""
        return self.kind if self.routing is None else None

    def on(self, rows: Rows) -> Annotator:
        """Return the annotator for these rows. It sees the references only if it may read them."""
        return self.over(self._seen(rows))

    def with_scorer(self, rows: Rows, scorer: Scorer) -> Annotator:
        """Return the annotator for these rows with another scorer."""
        assert self.scored is not None, self.kind
        return self.scored(self._seen(rows), scorer)

    def _seen(self, rows: Rows) -> Mapping[str, Example]:
        return rows.examples() if self.reads_references else rows.prompts_only()


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
    if annotator.routing is not None:
        return _routed(steps, annotator.routing, rows, compared, label, accept)
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
            scores, scorer = work.path / SCORE_BATCHES, steps.engines.scorer
            known = annotator.with_scorer(rows, remembering(scorer, scores)) if scores.is_file() else None
            return (known or annotator.on(rows)).judge(comparisons, done.keys())

        work.append_batches(PREFERENCES, batches, lambda batch: {"comparisons": len(batch)}, preference_row)
        (work.path / SCORE_BATCHES).unlink(missing_ok=True)

    inputs = {"comparisons": compared, **annotator.inputs}
    division = _division(steps, annotator, rows, compared)
    handling = Handling(resumable=True, outside=annotator.outside, division=division)
    return steps.stage("judge", annotator.config, inputs, run, label, handling)


def _division(steps: Steps, annotator: AnnotatorPlan, rows: Rows, compared: Artifact) -> Division | None:
    """Say how the judgements of an annotator can be computed in parts. Each part computes scores."""
    if annotator.scored is None:
        return None

    def run(work: Work, part: Shard) -> None:
        comparisons = read_comparisons(compared)

        def preferences(scorer: Scorer) -> Iterable[Sequence[Preference]]:
            return annotator.with_scorer(rows, scorer).judge(comparisons, frozenset[str]())

        def batches(path: Path) -> Iterable[Sequence[ScoreBatch]]:
            return scored_part(path, part, steps.engines.scorer, preferences)

        work.append_batches(SCORE_BATCHES, batches, lambda _: {})

    return Division(file=SCORE_BATCHES, run=run)


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


def _routed(steps: Steps, routing: Routing, rows: Rows, compared: Artifact, label: str, accept: Accept) -> Artifact:
    """Let the first annotator judge all comparisons and the second one those of which the first one is not sure.

    Each preference names who decided and why, such as `people:orders_disagree`. The first annotator's preferences stay
    in their own stage.
    """
    first, then, rule, seed = routing.first, routing.then, routing.rule, steps.seed
    judged = judge(steps, first, rows, compared, f"{label} by {first.kind}", accept)

    def choose(work: Work) -> None:
        preferences, comparisons = read_preferences(Path(judged.path)), read_comparisons(compared)
        routes = routed([preferences[comparison.id] for comparison in comparisons], rule, seed)
        write_rows(work.path / ROUTES, routes)
        asked = {route.comparison_id for route in routes if route.asked}
        chosen = (comparison for comparison in comparisons if comparison.id in asked)
        work.count(comparisons=write_rows(work.path / COMPARISONS, chosen))

    config: dict[str, JsonValue] = {"sure": rule.sure, "control": rule.control, "budget": rule.budget, "seed": seed}
    inputs = {"comparisons": compared, "judged": judged}
    route = steps.stage("route", config, inputs, choose, f"{label}: who decides")
    said = judge(steps, _told(then, route), rows, route, f"{label} by {then.kind}", accept)

    def who(one: Route) -> str:
        return f"{(then if one.asked else first).kind}:{one.why}"

    def join(work: Work) -> None:
        by_first, by_then = read_preferences(Path(judged.path)), read_preferences(Path(said.path))

        def decided(one: Route) -> Preference:
            preference = (by_then if one.asked else by_first)[one.comparison_id]
            return replace(preference, judge=who(one))

        routes = list(iter_rows(Path(route.path) / ROUTES, Route))
        work.count(comparisons=write_rows(work.path / PREFERENCES, (preference_row(decided(one)) for one in routes)))
        twice = ((one, by_first[one.comparison_id], by_then[one.comparison_id]) for one in routes if one.asked)
        figures = RoutingFigures(decided=Counter(map(who, routes)), errors=judge_errors(twice))
        write_atomic(work.path / ROUTING, pretty(as_mapping(figures)))

    inputs = {"routes": route, "judged": judged, "said": said}
    return steps.stage("routed", {"first": first.kind, "then": then.kind}, inputs, join, f"{label} together")


def _told(annotator: AnnotatorPlan, route: Artifact) -> AnnotatorPlan:
    """Return the plan of an annotator that is told why it is asked. The reasons change no judgement."""

    def over(examples: Mapping[str, Example]) -> Annotator:
        made = annotator.over(examples)
        if not isinstance(made, ToldWhy):
            return made
        return made.because({one.comparison_id: one for one in iter_rows(Path(route.path) / ROUTES, Route)})

    return replace(annotator, over=over)


def read_routing(judged: Artifact) -> RoutingFigures | None:
    """Read what became of the pairs of a round. Return None if its annotator does not route them."""
    if not (Path(judged.path) / ROUTING).exists():
        return None
    return row_of(read_json(judged, ROUTING), RoutingFigures, judged.path)
