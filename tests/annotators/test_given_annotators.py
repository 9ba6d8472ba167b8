"""A practitioner's annotators: functions, objects, votes, and trained heads of tiny models."""

from __future__ import annotations

import math
import textwrap
from collections.abc import Callable, Iterator, Mapping, Sequence
from collections.abc import Set as AbstractSet
from pathlib import Path
from typing import Any

import pytest
from refinement import (
    CAP,
    COUNT,
    RIGHT,
    WRONG_LABELS,
    Refined,
    fake,
    refine,
    right_labels,
    script,
    settings,
    written,
)

import burnish
from burnish.algorithms.comparisons import combined, voted
from burnish.annotators.function import FunctionAnnotator
from burnish.annotators.together import Together
from burnish.errors import AnnotatorError, ConfigError
from burnish.protocols import Annotator
from burnish.store.stages import Store
from burnish.types import (
    Comparison,
    Demonstration,
    DemonstrationSource,
    Example,
    Message,
    Order,
    Preference,
    Reason,
    Role,
)

BOTH = tuple(Order)
EXAMPLES = {id_: Example(id=id_, group=id_, prompt=(Message(role=Role.USER, content="what?"),)) for id_ in "0123"}


def knows(request: str, first: str, second: str) -> float:
    """Prefer the right answer."""
    return 0.5 + ((second == f"#### {RIGHT[request]}") - (first == f"#### {RIGHT[request]}")) / 2


def always(value: Any) -> Callable[[str, str, str], Any]:
    """Return a function that always says the same."""
    return lambda request, first, second: value


def pairs(count: int = 4) -> list[Comparison]:
    sides = dict.fromkeys("ab", DemonstrationSource.GIVEN)
    return [
        Comparison(
            **{n: Demonstration(example_id=str(i), completion=n, source=s) for n, s in sides.items()}, example_id=str(i)
        )
        for i in range(count)
    ]


def p_bs(annotator: Annotator, done: AbstractSet[str] = frozenset()) -> list[float | None]:
    return [preference.p_b for unit in annotator.judge(pairs(), done) for preference in unit]


# --- functions


def test_a_function_sees_both_orders() -> None:
    asked: list[tuple[str, str, str]] = []

    def judge(request: str, first: str, second: str) -> float:
        asked.append((request, first, second))
        return 0.7 if second == "b" else 0.1

    assert p_bs(FunctionAnnotator(judge, EXAMPLES)) == pytest.approx([0.8] * 4)
    assert asked[:2] == [("what?", "a", "b"), ("what?", "b", "a")]
    assert p_bs(FunctionAnnotator(judge, EXAMPLES), {pairs()[0].id}) == pytest.approx([0.8] * 3)


@pytest.mark.parametrize(("value", "p_b"), [(None, None), (0, 0.5), (1, 0.5), (True, 0.5), (0.5, 0.5)])
def test_what_a_function_may_return(value: float | None, p_b: float | None) -> None:
    assert p_bs(FunctionAnnotator(always(value), EXAMPLES)) == [p_b] * 4


@pytest.mark.parametrize("value", [1.5, -0.1, math.nan, "first", [1]])
def test_what_a_function_may_not_return(value: Any) -> None:
    with pytest.raises(AnnotatorError, match=r"annotator: .* returned by the function; return a number from 0 to 1"):
        p_bs(FunctionAnnotator(always(value), EXAMPLES))


def test_a_number_of_numpy_s_is_a_number() -> None:
    import numpy as np

    values: Iterator[Any] = iter([np.float32(0.75), np.float64(0.25)] * 4)
    assert p_bs(FunctionAnnotator(lambda a, b, c: next(values), EXAMPLES)) == [0.75] * 4


class Judging:
    """An object that can be called and has no name of its own."""

    def __call__(self, request: str, first: str, second: str) -> float:
        return knows(request, first, second)


@pytest.mark.slow
def test_functions_and_callable_objects_refine(tmp_path: Path) -> None:
    import functools

    source = written(tmp_path)
    judges: dict[str, Any] = {"function": knows, "object": Judging(), "partial": functools.partial(knows)}
    for name, judge in judges.items():
        found = python_refine(source, tmp_path / name, judge)
        assert right_labels(found) == COUNT - WRONG_LABELS + 2 * CAP
        assert {line.annotator for line in found.ledger if line.score is not None} == {"own"}
        assert found.summary.selftest is not None
        assert found.summary.selftest.accuracy.value is not None


def python_refine(source: Path, where: Path, annotator: Any, **options: Any) -> Refined:
    given: dict[str, Any] = {"rounds": 2, "alpha": 0.1, "differs": "number", "changes": ["train.lora=null"], **options}
    places: dict[str, Any] = {"out": where / "out", "store": where / "store"}
    burnish.refine(source, model="builtin:strong", annotator=annotator, backend=fake(), **places, **given)
    return Refined(**places)


def test_another_function_is_another_annotator(tmp_path: Path) -> None:
    source = written(tmp_path)
    python_refine(source, tmp_path, knows)
    python_refine(source, tmp_path, knows)
    with pytest.raises(ConfigError, match="another refinement"):
        python_refine(source, tmp_path, always(0.5), go_on=True)


# --- objects


class Plain:
    """An annotator that needs no prompts, and says b with certainty."""

    fingerprint, order_free = "plain-1", True

    def judge(self, comparisons: Sequence[Comparison], done: AbstractSet[str]) -> Iterator[Sequence[Preference]]:
        for one in comparisons:
            if one.id not in done:
                yield [combined(one.id, (Order.AB,), (0.9,), "plain")]


class Reading(Plain):
    """One that has to see prompts."""

    fingerprint = "reading-1"

    def __init__(self, examples: Mapping[str, Example] | None = None) -> None:
        self.examples = examples

    def over(self, examples: Mapping[str, Example]) -> Reading:
        assert all(example.reference is None for example in examples.values())
        return Reading(examples)

    def judge(self, comparisons: Sequence[Comparison], done: AbstractSet[str]) -> Iterator[Sequence[Preference]]:
        assert self.examples is not None
        for one in comparisons:
            request = self.examples[one.example_id].prompt[0].content
            yield [combined(one.id, (Order.AB,), (knows(request, one.a.completion, one.b.completion),), "reading")]


def test_an_object_that_needs_no_prompts(tmp_path: Path) -> None:
    found = python_refine(written(tmp_path), tmp_path, Plain(), no_selftest=True, rounds=1)
    assert {(line.p_b_ab, line.p_b_ba) for line in found.ledger if line.score is not None} == {(0.9, None)}
    assert set(found.reasons(1)) == {Reason.AGREED, Reason.ACCEPTED, Reason.OVER_CAP}


@pytest.mark.slow
def test_an_object_that_needs_prompts_gets_them_without_references(tmp_path: Path) -> None:
    found = python_refine(written(tmp_path), tmp_path, Reading(), reference="gold")
    assert right_labels(found) == COUNT - WRONG_LABELS + 2 * CAP


@pytest.mark.parametrize("annotator", [7, ["people"], object()])
def test_what_is_no_annotator(tmp_path: Path, annotator: Any) -> None:
    with pytest.raises(
        ConfigError, match=r"annotator: .* found; give a YAML file, a mapping, a function or an Annotator"
    ):
        python_refine(written(tmp_path), tmp_path, annotator)
    assert not (tmp_path / "out").exists()


# --- votes


class Says:
    """Says P(b is better) by example; None abstains."""

    def __init__(self, name: str, *p_b: float | None) -> None:
        self.fingerprint, self.p_b, self.order_free = name, p_b, True

    def judge(self, comparisons: Sequence[Comparison], done: AbstractSet[str]) -> Iterator[Sequence[Preference]]:
        for one in comparisons:
            yield [combined(one.id, (Order.AB,), (self.p_b[int(one.example_id)],), self.fingerprint)]


def test_three_voters_worked_by_hand() -> None:
    voters = [Says("x", 0.6, 0.9, 0.5, None), Says("y", 1.0, 0.1, 0.7, None), Says("z", 0.2, None, 0.4, None)]
    # b b a: 2/3; b a: one half, a tie; half, b, a: one half; nobody: an abstention
    assert p_bs(Together(voters)) == [pytest.approx(2 / 3), 0.5, 0.5, None]


def test_a_voter_may_repeat_what_is_done() -> None:
    voters = [Says("x", 0.6, 0.9, 0.5, None), Says("y", 1.0, 0.1, 0.7, None)]  # `Says` never looks at what is done
    done = {one.id for one in pairs() if one.example_id != "1"}
    assert p_bs(Together(voters), done) == [0.5]


def test_how_sure_a_voter_is_counts_for_nothing() -> None:
    sure, unsure = (combined("c", (Order.AB,), (p,), "j") for p in (1.0, 0.51))
    assert voted([sure, combined("c", (Order.AB,), (0.49,), "j"), unsure]).p_b == pytest.approx(2 / 3)


def test_a_majority_refines_with_a_stage_for_each_voter(tmp_path: Path) -> None:
    good = """
        for row in rows:
            first, second = (row[side] == "#### " + RIGHT[row["prompt"]] for side in ("first", "second"))
            say(row["id"], p_second=(1 + second - first) / 2)
        """
    bodies = {"good.py": good, "also.py": "# again\n" + textwrap.dedent(good), "silent.py": "for row in rows: pass"}
    of = [{"kind": "command", "command": script(tmp_path, name, body)} for name, body in bodies.items()]
    config = settings(written(tmp_path), annotator={"kind": "majority", "of": of}, no_selftest=True, rounds=1)
    found = refine(config, tmp_path)
    assert right_labels(found) == COUNT - WRONG_LABELS + CAP
    assert {line.annotator for line in found.ledger if line.score is not None} == {"majority"}
    judges = list(Store(found.store).every("judge"))
    assert len(judges) == 3
    assert len(list(Store(found.store).every("votes"))) == 1
    # the silent one has no vote: the others' two decide with full confidence
    assert {line.score for line in found.ledger if line.reason is Reason.ACCEPTED} == {0.5}
