"""A generator of one's own, through `burnish.refine` and `burnish.run`: it answers, and the backend does the rest."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator, Sequence
from collections.abc import Set as AbstractSet
from pathlib import Path
from typing import Any

import experiment
import pytest
import refinement

import burnish
from burnish.backends.fake import FakeBackend
from burnish.errors import BackendError, ConfigError
from burnish.protocols import Generator, RowKey, SamplingKey
from burnish.types import Artifact, Completion, Prompt

Change = Callable[[Sequence[Completion]], Sequence[Completion]]


class Counting:
    """Hands every request on to another generator and counts the prompts. `change` changes its batches."""

    def __init__(self, inner: Generator, change: Change = lambda batch: batch) -> None:
        self.inner, self.change, self.asked = inner, change, 0

    def generate(
        self, model: Artifact, prompts: Sequence[Prompt], settings: Any, key: SamplingKey, done: AbstractSet[RowKey]
    ) -> Iterator[Sequence[Completion]]:
        self.asked += len(prompts) - len(done)
        yield from map(self.change, self.inner.generate(model, prompts, settings, key, done))


def refined(where: Path, units: list[str], generator: Any, **options: Any) -> Any:
    pytest.importorskip("datasets")
    given: dict[str, Any] = {"annotator": "oracle:gold", "rounds": 1, "alpha": 0.1, "differs": "number", **options}
    return burnish.refine(
        refinement.rows(),
        model="builtin:strong",
        out=where / "out",
        store=where / "store",
        changes=["train.lora=null"],
        backend=refinement.fake(units.append),
        generator=generator,
        **given,
    )


@pytest.mark.slow
def test_a_refinement_asks_the_generator_and_trains_with_the_backend(tmp_path: Path) -> None:
    units: list[str] = []
    own = Counting(refinement.fake())
    found = refined(tmp_path, units, own)
    assert own.asked == refinement.COUNT  # one proposal for each row
    assert "train" in units
    assert "generate" not in units
    assert sum(line.reason == "accepted" for line in found.ledger) == refinement.CAP
    # What generates is no part of the identity: the finished answers are reused, whoever wrote them.
    again = Counting(refinement.fake())
    refined(tmp_path, units, again)
    assert again.asked == 0


@pytest.mark.slow
def test_an_experiment_asks_the_generator_and_trains_with_the_backend(tmp_path: Path) -> None:
    units: list[str] = []
    backend, own = experiment.fake(units.append), Counting(experiment.fake())
    config = experiment.small(methods=[{"kind": "ilr", "rounds": 1, "alpha": 0.1}])
    found = burnish.run(config, out=tmp_path / "out", store=tmp_path / "store", backend=lambda: backend, generator=own)
    # Labels and proposals for half of the training rows, and test answers of the supervisor and of two rounds.
    assert own.asked == 2 * experiment.ROWS + 3 * experiment.TEST
    assert {"train", "logprobs"} <= set(units)
    assert "generate" not in units
    plain = experiment.run_small(config, tmp_path / "plain")
    assert found.results == plain.results


@pytest.mark.parametrize(
    ("generator", "words"),
    [
        (
            object(),
            r"burnish\.refine: generator: <object .*> has no method generate; give an object with the method of ",
        ),
        (7, "burnish.refine: generator: 7 has no method generate"),
        (FakeBackend, r"burnish\.refine: generator: the class FakeBackend found; give an object, such as FakeBackend"),
    ],
)
def test_an_object_that_cannot_generate_is_refused_before_anything_is_spent(
    generator: Any, words: str, tmp_path: Path
) -> None:
    units: list[str] = []
    with pytest.raises(ConfigError, match=words):
        refined(tmp_path, units, generator)
    with pytest.raises(ConfigError, match=words.replace("refine", "run")):
        burnish.run(experiment.small(), out=tmp_path / "out", store=tmp_path / "store", generator=generator)
    assert units == []
    assert list(tmp_path.iterdir()) == []


def test_a_backend_needs_all_methods(tmp_path: Path) -> None:
    words = r"burnish\.refine: backend: .* has no method train; give an object with all methods of .*\.Backend"
    own: Any = Counting(experiment.fake())
    with pytest.raises(ConfigError, match=words):
        burnish.refine(refinement.rows(), model="builtin:strong", out=tmp_path / "out", backend=own)


def without_first(batch: Sequence[Completion]) -> Sequence[Completion]:
    return [answer for answer in batch if answer.id != "row-00"]


def renamed(batch: Sequence[Completion]) -> Sequence[Completion]:
    return [dataclasses.replace(answer, id=f"{answer.id}?") for answer in batch]


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (without_first, "gave no answer to 1 of .* prompts, the first of them is 'row-00'; it must yield a completion"),
        (renamed, r"answered 'row-\d\d\?', which is none of its .* prompts; the `id` and `sample` of a completion"),
    ],
)
def test_a_generator_that_leaves_out_or_renames_answers_is_named(change: Change, words: str, tmp_path: Path) -> None:
    with pytest.raises(BackendError, match=f"the generator {words}"):
        refined(tmp_path, [], Counting(refinement.fake(), change))


def altered(**fields: Any) -> Change:
    """Return a change that gives each answer other values."""
    return lambda batch: [dataclasses.replace(answer, **fields) for answer in batch]


def twice(batch: Sequence[Completion]) -> Sequence[Completion]:
    return [*batch, *(dataclasses.replace(answer, text="something else") for answer in batch)]


def instead(value: Any) -> Change:
    """Return a change that gives something else in the place of each batch."""
    return lambda batch: value


NO_BATCHES: list[Any] = [None, 3, "abc", {}, [None]]
WRONG: list[tuple[Change, str]] = [
    *((altered(text=text), r"gave text=.* in its answer to 'row-\d\d'; give .* type str") for text in (None, 7, b"x")),
    (altered(sample=None), "gave sample=None in its answer to .* type int"),
    (altered(sample=True), "gave sample=True in its answer to .* type int"),
    (altered(finished=None), "gave finished=None in its answer to .* type bool"),
    (altered(tokens=1.0), r"gave tokens=1\.0 in its answer to .* type int"),
    (altered(text="a \ud800"), "answer to 'row-.*' holds half a surrogate pair"),
    (twice, r"answered 'row-\d\d' twice"),
    *((instead(value), "yielded .*; it must yield lists of .*Completion") for value in NO_BATCHES),
    (instead([["a"]]), r"yielded a batch with \['a'\]; it must yield lists"),
]


@pytest.mark.slow
@pytest.mark.parametrize(("change", "words"), WRONG)
def test_a_wrong_answer_is_named_and_not_stored(change: Change, words: str, tmp_path: Path) -> None:
    with pytest.raises(BackendError, match=f"the generator('s)? {words}"):
        refined(tmp_path, [], Counting(refinement.fake(), change))
    mended = Counting(refinement.fake())
    found = refined(tmp_path, [], mended)
    assert mended.asked > 0
    assert sum(line.reason == "accepted" for line in found.ledger) == refinement.CAP


@pytest.mark.parametrize("value", [None, 3, "abc"])
def test_what_generate_returns_must_be_batches(value: Any, tmp_path: Path) -> None:
    class Wrong:
        def generate(self, *_: Any) -> Any:
            return value

    with pytest.raises(BackendError, match=r"the generator (returned|yielded) .*; it must yield lists of"):
        refined(tmp_path, [], Wrong())


def test_a_batch_may_be_an_iterator(tmp_path: Path) -> None:
    own: Any = Counting(refinement.fake(), iter)  # pyright: ignore[reportArgumentType]
    assert sum(line.reason == "accepted" for line in refined(tmp_path, [], own).ledger) == refinement.CAP


def test_a_run_that_stopped_asks_the_generator_for_the_rest(tmp_path: Path) -> None:
    def stopping(batch: Sequence[Completion]) -> Sequence[Completion]:
        if any(answer.id == "row-59" for answer in batch):
            raise KeyboardInterrupt
        return batch

    first, second = Counting(refinement.fake(), stopping), Counting(refinement.fake())
    with pytest.raises(KeyboardInterrupt):
        refined(tmp_path, [], first)
    found = refined(tmp_path, [], second)
    assert 0 < second.asked < refinement.COUNT
    assert sum(line.reason == "accepted" for line in found.ledger) == refinement.CAP
