"""Worse answers that a language model on a server writes: the gold answer with a mistake."""

from __future__ import annotations

import re
from collections import Counter, defaultdict, deque
from collections.abc import Iterator, Mapping

from burnish.algorithms.comparisons import request_text
from burnish.config import LlmSource
from burnish.perturbations.picking import LeftOut, picked
from burnish.perturbations.resources import SourceResources
from burnish.steps.perturbing import PerturbationPlan, WorseAnswers
from burnish.types import Completion, Example, Message, Prompt, Role

# Any other pair of braces, as in a prompt that shows JSON, stays as it is.
_PLACEHOLDER = re.compile(r"\{(question|gold|mistake)\}")


def build(settings: LlmSource, resources: SourceResources) -> PerturbationPlan:
    """Return the plan of answers that a model on a server writes.

    For each worse answer that is wanted, the server is asked once. Without a checker, its word is taken that an answer
    is worse.
    """
    checker, most = resources.checker, resources.most

    def over(examples: Mapping[str, Example]) -> Iterator[WorseAnswers]:
        asked = (question(settings, one, number) for one in examples.values() for number in range(most))
        answers: dict[str, dict[int, Completion]] = defaultdict(dict)
        # Answers come in no particular order. A prompt is settled when all its answers, and all of earlier ones, came.
        waiting = deque(examples.values())
        for batch in resources.writer(settings)(asked):
            for one in batch:
                answers[one.id][one.sample] = one
            while waiting and len(answers[waiting[0].id]) == most:
                example = waiting.popleft()
                written = [one for _, one in sorted(answers.pop(example.id).items())]
                usable = [one.text for one in written if one.finished and one.text]
                left_out = Counter(str(LeftOut.UNANSWERED if one.finished else LeftOut.CUT) for one in written)
                left_out.subtract({str(LeftOut.UNANSWERED): len(usable)})
                yield picked(example, usable, most, checker, left_out)

    return PerturbationPlan(
        kind=settings.kind,
        config={**settings.semantic(), "most": most, "checker": None if checker is None else checker.reader},
        over=over,
        outside=True,
    )


def question(settings: LlmSource, example: Example, number: int) -> Prompt:
    """Return what the server is asked for worse answer `number` (from 0) to an example's prompt."""
    values = {
        "question": request_text(example.prompt),
        "gold": example.reference or "",
        "mistake": settings.mistakes[number % len(settings.mistakes)],
    }
    # In one pass: a placeholder in the gold answer is not replaced.
    text = _PLACEHOLDER.sub(lambda match: values[match[1]], settings.prompt)
    return Prompt(id=example.id, messages=(Message(role=Role.USER, content=text),), sample=number)
