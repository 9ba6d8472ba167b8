"""A user's program as an annotator. It judges pairs, or it checks single answers (a checker)."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from collections.abc import Set as AbstractSet
from typing import Any, ClassVar

from burnish.algorithms.comparisons import SECOND_BETTER, both_orders, combined, request_text
from burnish.annotators.resources import Resources
from burnish.config import CommandConfig
from burnish.errors import AnnotatorError, brief
from burnish.services.program import Program, converse, gathered, identified
from burnish.steps.judging import AnnotatorPlan
from burnish.types import Comparison, Example, Order, PairRow, Preference, short_hash


class _Asking(ABC):
    """Asks a program about comparisons. `role` is the task of the program. It is part of the fingerprint."""

    role: ClassVar[str]

    def __init__(self, program: Program, examples: Mapping[str, Example]) -> None:
        self.program, self.examples = program, examples
        self.fingerprint = short_hash(self.role, *program.command)

    def judge(self, comparisons: Sequence[Comparison], done: AbstractSet[str]) -> Iterator[Sequence[Preference]]:
        """Yield a preference as soon as the program has answered all questions about the pair. Pairs that the program
        left out come last, as abstentions. Raises AnnotatorError if the program fails or a reply cannot be read."""
        waiting = {comparison.id: comparison for comparison in comparisons if comparison.id not in done}
        yield from gathered(self._judged(waiting))

    @abstractmethod
    def _judged(self, waiting: dict[str, Comparison]) -> Iterator[Preference]:
        """Yield a preference for each comparison that waits, by its id."""


class ProgramAnnotator(_Asking):
    """Sends both orders of every pair to a program and reads its verdicts. A pair without verdicts is an abstention."""

    order_free = False
    role = "program"

    def _judged(self, waiting: dict[str, Comparison]) -> Iterator[Preference]:
        rows = [order for c in waiting.values() for order in both_orders(c, self.examples[c.example_id].prompt)]
        answers: dict[str, float | None] = {}  # P(the second one shown is better), by the id of an order
        field = self.program.field
        # A pair waits until the replies to both orders are there. The replies may come in any order. The pairs that are
        # left at the end did not get both replies.
        for order_id, p in converse(self.program, map(_question, rows), lambda answer: p_second(answer, field)):
            answers[order_id] = p
            id_ = order_id.rpartition(":")[0]
            if all(f"{id_}:{order}" in answers for order in Order):
                del waiting[id_]
                yield self._combined(id_, answers)
        yield from (self._combined(id_, answers) for id_ in waiting)

    def _combined(self, id_: str, answers: Mapping[str, float | None]) -> Preference:
        return combined(id_, tuple(Order), [answers.get(f"{id_}:{order}") for order in Order], "command")


def _question(row: PairRow) -> dict[str, Any]:
    return {"id": row.id, "prompt": request_text(row.prompt), "first": row.first, "second": row.second}


def p_second(answer: Mapping[str, Any], field: str) -> float | None:
    """Return P(the answer shown second is better) from a program's reply, or None for an abstention.

    Raises AnnotatorError, which names `field`, if the reply says neither a verdict nor a probability.
    """
    # A number says more than a verdict, so it counts if a reply has both.
    if "p_second" in answer:
        value = answer["p_second"]
        # In Python, bool is a subclass of int. Without the second test, true would be 1.
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


class CheckerAnnotator(_Asking):
    """Asks a program about each answer alone whether it passes. An answer that passes is preferred to one that does
    not."""

    order_free = True
    role = "checker"

    def _judged(self, waiting: dict[str, Comparison]) -> Iterator[Preference]:
        questions = [
            {"id": f"{c.id}:{side}", "prompt": request_text(self.examples[c.example_id].prompt), "answer": text}
            for c in waiting.values()
            for side, text in (("a", c.a.completion), ("b", c.b.completion))
        ]
        passed: dict[str, bool] = {}
        field = self.program.field
        for side_id, passes in converse(self.program, questions, lambda answer: said(answer, "passed", field)):
            passed[side_id] = passes
            id_ = side_id.rpartition(":")[0]
            if f"{id_}:a" in passed and f"{id_}:b" in passed:
                del waiting[id_]
                # 1 if only b passes, 0 if only a passes, else 0.5: a tie
                p_b = 0.5 + (passed[f"{id_}:b"] - passed[f"{id_}:a"]) / 2
                yield combined(id_, (Order.AB,), (p_b,), "checker")
        yield from (combined(id_, (Order.AB,), (None,), "checker") for id_ in waiting)


def said(answer: Mapping[str, Any], name: str, field: str) -> bool:
    """Return the value, true or false, that a program's reply has under `name`. Raises AnnotatorError, which names
    `field`, if it is anything else."""
    value = answer.get(name)
    # Only true and false are accepted. A 1, or the text "false", may mean something else in the user's program.
    if isinstance(value, bool):
        return value
    raise AnnotatorError(f"{field}: {name} {brief(value)} found for {answer['id'][:80]}; write true or false")


def build(config: CommandConfig, resources: Resources) -> AnnotatorPlan:
    """Return the plan in which a program judges. Its identity is its command and the content of its files."""
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
    """Return the plan in which a checking program judges."""
    described, inputs = identified(program.command)
    return AnnotatorPlan(
        kind="checker",
        config={**described, "kind": "checker"},
        inputs=inputs,
        order_free=True,
        over=lambda examples: CheckerAnnotator(program, examples),
    )
