"""A user's program as an annotator: of pairs, or of single answers (a checker)."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from collections.abc import Set as AbstractSet
from typing import Any

from burnish.algorithms.comparisons import SECOND_BETTER, both_orders, combined, request_text
from burnish.annotators.resources import Resources
from burnish.config import CommandConfig
from burnish.errors import AnnotatorError
from burnish.services.program import converse, gathered, identified
from burnish.steps.judging import AnnotatorPlan
from burnish.types import Comparison, Example, Order, PairRow, Preference, short_hash


class ProgramAnnotator:
    """Writes both orders of every pair to a program and reads its verdicts; a pair left out is an abstention."""

    order_free = False

    def __init__(self, command: Sequence[str], examples: Mapping[str, Example], field: str) -> None:
        self.command, self.examples, self.field = tuple(command), examples, field
        self.fingerprint = short_hash("program", *self.command)

    def judge(self, comparisons: Sequence[Comparison], done: AbstractSet[str]) -> Iterator[Sequence[Preference]]:
        """Yield preferences as both orders of them are answered; abstentions come last."""
        yield from gathered(self._judged(comparisons, done))

    def _judged(self, comparisons: Sequence[Comparison], done: AbstractSet[str]) -> Iterator[Preference]:
        waiting = {comparison.id: comparison for comparison in comparisons if comparison.id not in done}
        rows = [order for one in waiting.values() for order in both_orders(one, self.examples[one.example_id].prompt)]
        found: dict[str, float | None] = {}
        for answer in converse(self.command, map(_question, rows), self.field):
            found[answer["id"]] = p_second(answer, self.field)
            id_ = answer["id"].rpartition(":")[0]
            if id_ in waiting and all(f"{id_}:{order}" in found for order in Order):
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
        raise AnnotatorError(f"{field}: p_second {value!r} found for {answer['id']}; write a number from 0 to 1")
    verdict = answer.get("verdict")
    if isinstance(verdict, str) and verdict in SECOND_BETTER:
        return SECOND_BETTER[verdict]
    raise AnnotatorError(
        f"{field}: verdict {verdict!r} found for {answer['id']}; write {', '.join(SECOND_BETTER)}, or p_second from 0 "
        "to 1"
    )


class CheckerAnnotator:
    """Asks a program of each answer alone whether it passes: preferred is what passes where the other does not."""

    order_free = True

    def __init__(self, command: Sequence[str], examples: Mapping[str, Example], field: str) -> None:
        self.command, self.examples, self.field = tuple(command), examples, field
        self.fingerprint = short_hash("checker", *self.command)

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
        for answer in converse(self.command, questions, self.field):
            passed[answer["id"]] = said(answer, "passed", self.field)
            id_ = answer["id"].rpartition(":")[0]
            if id_ in waiting and f"{id_}:a" in passed and f"{id_}:b" in passed:
                del waiting[id_]
                p_b = 0.5 + (passed[f"{id_}:b"] - passed[f"{id_}:a"]) / 2
                yield combined(id_, (Order.AB,), (p_b,), "checker")
        yield from (combined(id_, (Order.AB,), (None,), "checker") for id_ in waiting)


def said(answer: Mapping[str, Any], name: str, field: str) -> bool:
    """Return a yes or no of a program's answer; raises AnnotatorError for anything else."""
    value = answer.get(name)
    if isinstance(value, bool):
        return value
    raise AnnotatorError(f"{field}: {name} {value!r} found for {answer['id']}; write true or false")


def build(config: CommandConfig, resources: Resources) -> AnnotatorPlan:
    """A program judges; its words and the content of its files identify it."""
    described, inputs = identified(config.command)
    return AnnotatorPlan(
        kind=config.kind,
        config=described,
        inputs=inputs,
        over=lambda examples: ProgramAnnotator(config.command, examples, f"{resources.field}.command"),
    )


def checker(command: Sequence[str], field: str) -> AnnotatorPlan:
    """Return the annotator that a checking program makes; `field` is where a config names the program."""
    described, inputs = identified(command)
    return AnnotatorPlan(
        kind="checker",
        config={**described, "kind": "checker"},
        inputs=inputs,
        order_free=True,
        over=lambda examples: CheckerAnnotator(command, examples, field),
    )
