"""A user's program as an annotator: of pairs, or of single answers (a checker)."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from collections.abc import Set as AbstractSet
from typing import Any

from burnish.algorithms.comparisons import SECOND_BETTER, both_orders, combined, request_text
from burnish.annotators.resources import Resources
from burnish.config import CommandConfig
from burnish.errors import AnnotatorError, brief
from burnish.services.program import Program, converse, gathered, identified
from burnish.steps.judging import AnnotatorPlan
from burnish.types import Comparison, Example, Order, PairRow, Preference, short_hash


class ProgramAnnotator:
    """Writes both orders of every pair to a program and reads its verdicts; a pair left out is an abstention."""

    order_free = False

    def __init__(self, program: Program, examples: Mapping[str, Example]) -> None:
        self.program, self.examples = program, examples
        self.fingerprint = short_hash("program", *program.command)

    def judge(self, comparisons: Sequence[Comparison], done: AbstractSet[str]) -> Iterator[Sequence[Preference]]:
        """Yield preferences as both orders of them are answered; abstentions come last."""
        yield from gathered(self._judged(comparisons, done))

    def _judged(self, comparisons: Sequence[Comparison], done: AbstractSet[str]) -> Iterator[Preference]:
        waiting = {comparison.id: comparison for comparison in comparisons if comparison.id not in done}
        rows = [order for one in waiting.values() for order in both_orders(one, self.examples[one.example_id].prompt)]
        found: dict[str, float | None] = {}
        for order_id, p in converse(self.program, map(_question, rows), lambda one: p_second(one, self.program.field)):
            found[order_id] = p
            id_ = order_id.rpartition(":")[0]
            if all(f"{id_}:{order}" in found for order in Order):
                del waiting[id_]
                yield self._combined(id_, found)
        yield from (self._combined(id_, found) for id_ in waiting)

    def _combined(self, id_: str, found: Mapping[str, float | None]) -> Preference:
        return combined(id_, tuple(Order), [found.get(f"{id_}:{order}") for order in Order], "command")


def _question(row: PairRow) -> dict[str, Any]:
    return {"id": row.id, "prompt": request_text(row.prompt), "first": row.first, "second": row.second}


def p_second(answer: Mapping[str, Any], field: str) -> float | None:
    """Return P(the second one shown is better) of a program's answer; raises AnnotatorError for anything else."""
    if "p_second" in answer:
        value = answer["p_second"]
        if isinstance(value, int | float) and not isinstance(value, bool) and 0 <= value <= 1:
            return float(value)
        raise AnnotatorError(
            f"{field}: p_second {brief(value)} found for {answer['id'][:80]}; write a number from 0 to 1"
        )
    verdict = answer.get("verdict")
    if isinstance(verdict, str) and verdict in SECOND_BETTER:
        return SECOND_BETTER[verdict]
    raise AnnotatorError(
        f"{field}: verdict {brief(verdict)} found for {answer['id'][:80]}; write {', '.join(SECOND_BETTER)}, or "
        "p_second from 0 to 1"
    )


class CheckerAnnotator:
    """Asks a program of each answer alone whether it passes: preferred is what passes where the other does not."""

    order_free = True

    def __init__(self, program: Program, examples: Mapping[str, Example]) -> None:
        self.program, self.examples = program, examples
        self.fingerprint = short_hash("checker", *program.command)

    def judge(self, comparisons: Sequence[Comparison], done: AbstractSet[str]) -> Iterator[Sequence[Preference]]:
        """Yield preferences as both answers are checked; an answer left out is an abstention."""
        yield from gathered(self._judged(comparisons, done))

    def _judged(self, comparisons: Sequence[Comparison], done: AbstractSet[str]) -> Iterator[Preference]:
        waiting = {comparison.id: comparison for comparison in comparisons if comparison.id not in done}
        questions = [
            {"id": f"{one.id}:{side}", "prompt": request_text(self.examples[one.example_id].prompt), "answer": text}
            for one in waiting.values()
            for side, text in (("a", one.a.completion), ("b", one.b.completion))
        ]
        passed: dict[str, bool] = {}
        field = self.program.field
        for side_id, passes in converse(self.program, questions, lambda one: said(one, "passed", field)):
            passed[side_id] = passes
            id_ = side_id.rpartition(":")[0]
            if f"{id_}:a" in passed and f"{id_}:b" in passed:
                del waiting[id_]
                p_b = 0.5 + (passed[f"{id_}:b"] - passed[f"{id_}:a"]) / 2
                yield combined(id_, (Order.AB,), (p_b,), "checker")
        yield from (combined(id_, (Order.AB,), (None,), "checker") for id_ in waiting)


def said(answer: Mapping[str, Any], name: str, field: str) -> bool:
    """Return a yes or no of a program's answer; raises AnnotatorError for anything else."""
    value = answer.get(name)
    if isinstance(value, bool):
        return value
    raise AnnotatorError(f"{field}: {name} {brief(value)} found for {answer['id'][:80]}; write true or false")


def build(config: CommandConfig, resources: Resources) -> AnnotatorPlan:
    """A program judges; its words and the content of its files identify it."""
    described, inputs = identified(config.command)
    field = f"{resources.field}.command"
    program = Program(command=config.command, field=field, timeout=config.timeout, say=resources.say)
    return AnnotatorPlan(
        kind=config.kind,
        config=described,
        inputs=inputs,
        over=lambda examples: ProgramAnnotator(program, examples),
    )


def checker(program: Program) -> AnnotatorPlan:
    """Return the annotator that a checking program makes."""
    described, inputs = identified(program.command)
    return AnnotatorPlan(
        kind="checker",
        config={**described, "kind": "checker"},
        inputs=inputs,
        order_free=True,
        over=lambda examples: CheckerAnnotator(program, examples),
    )
