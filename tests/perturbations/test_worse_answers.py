"""The sources of worse answers as stages, on the fake backend, and sources of one's own."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pytest

from burnish.backends.fake import FakeBackend
from burnish.config import (
    PERTURBATIONS,
    AdversarialSource,
    ContrastSource,
    EmbeddingDiffers,
    EmbeddingServerDiffers,
    ModelConfig,
    OwnSource,
    PerturbationSettings,
    WeakerSource,
)
from burnish.errors import ConfigError
from burnish.perturbations import Checker, EmbeddedBy, SourceResources, build, register_perturbation
from burnish.steps.artifacts import Rows, Split
from burnish.steps.basic import Steps
from burnish.steps.engines import Engines
from burnish.steps.perturbing import (
    PerturbationPlan,
    WorseAnswers,
    candidate_id,
    candidates,
    perturb,
    read_worse,
)
from burnish.store.files import write_rows
from burnish.store.runners import Executor
from burnish.store.stages import Store
from burnish.tasks import task_named
from burnish.tasks.own import TextAnswers
from burnish.tasks.sums_world import generate
from burnish.types import Artifact, Example, Message, Role

PROBLEMS = generate(12, 5)
CHECKER = Checker(kind="sums", reader="sums", grader=task_named("sums"))


class Silent:
    """Shows nothing."""

    def say(self, message: str) -> None: ...

    def stage(self, label: str, position: object = None) -> Any:
        from contextlib import nullcontext

        return nullcontext()

    def rows(self, done: int, total: int) -> None: ...


def example(number: int, question: str, answer: str) -> Example:
    return Example(
        id=f"r{number:02d}",
        group=question,
        prompt=(Message(role=Role.USER, content=question),),
        reference=answer,
    )


def resources(where: Path, rows: Sequence[Example] | None = None, **changes: Any) -> SourceResources:
    """Return what sources are built from, with a fake policy that answers half of the prompts right."""
    rows = rows or [example(n, problem.question, problem.solution) for n, problem in enumerate(PROBLEMS)]
    data = where / "data"
    data.mkdir(exist_ok=True)
    write_rows(data / "train.jsonl", rows)
    backend = FakeBackend({problem.question: str(problem.answer) for problem in PROBLEMS})
    steps = Steps(Executor(Store(where / "store"), Silent(), {}), Engines.of(lambda: backend), TextAnswers(), "text", 0)
    policy = Artifact(path=str(where / "policy"), kind="base", fingerprint="policy")
    given: dict[str, Any] = {
        "steps": steps,
        "rows": Rows(Artifact(path=str(data), kind="data", fingerprint="data"), Split.TRAIN),
        "most": 4,
        "field": "source",
        "policy": policy,
        "model": named,
        "embedded_by": unasked,
        "writer": unasked,
        "checker": CHECKER,
    }
    return SourceResources(**(given | changes))


def named(field: str) -> Artifact:
    return Artifact(path=f"/nowhere/{field}", kind="base", fingerprint=field)


def unasked(settings: object) -> Any:
    raise AssertionError(f"{settings}: nobody is asked")


def by_length(texts: Sequence[str]) -> Any:
    """Turn texts into unit vectors whose angle is their number of characters, in degrees."""
    return np.array([[np.cos(np.radians(len(text))), np.sin(np.radians(len(text)))] for text in texts])


def found(settings: PerturbationSettings, given: SourceResources) -> tuple[Artifact, dict[str, WorseAnswers]]:
    done = perturb(given.steps, build(settings, given), given.rows)
    return done, {one.example_id: one for one in read_worse(done)}


def right(example: Example, text: str) -> bool:
    return CHECKER.grader.on(example).grade(text).correct


def test_adversarial_answers_are_wrong_and_can_be_scored(tmp_path: Path) -> None:
    given = resources(tmp_path)
    done, worse = found(AdversarialSource(kind="adversarial"), given)
    examples = given.rows.examples()
    assert list(worse) == list(examples)
    assert {len(one.texts) for one in worse.values()} == {4}
    assert not any(right(examples[id_], text) for id_, one in worse.items() for text in one.texts)
    answers = candidates(done).examples()
    assert len(answers) == 12 * 5
    for id_, one in worse.items():
        expected = [examples[id_].reference, *one.texts]
        assert [answers[candidate_id(id_, n)].reference for n in range(5)] == expected
        assert answers[candidate_id(id_, 3)].prompt == examples[id_].prompt


def test_of_a_prompt_without_worse_answers_the_gold_answer_is_scored(tmp_path: Path) -> None:
    rows = [example(0, "what", "no digits"), example(1, "how many", "#### 5")]
    done, worse = found(AdversarialSource(kind="adversarial", edits="auto"), resources(tmp_path, rows))  # pyright: ignore[reportArgumentType]
    assert (worse["r00"].texts, dict(worse["r00"].left_out)) == ((), {"no_gold": 1})
    expected = {candidate_id("r00", 0), *(candidate_id("r01", n) for n in range(5))}
    assert set(candidates(done).examples()) == expected


def test_own_and_weaker_answers_are_wrong_samples(tmp_path: Path) -> None:
    given = resources(tmp_path)
    examples = given.rows.examples()
    for settings in (
        OwnSource(kind="own", samples=6),
        WeakerSource(kind="weaker", samples=6, model=ModelConfig(source="builtin:weak")),
    ):
        _, worse = found(settings, given)
        # The fake backend has one wrong answer for each prompt.
        assert {one.texts for one in worse.values()} <= {(), *((f"#### {p.answer + 1}",) for p in PROBLEMS)}
        assert sum(len(one.texts) for one in worse.values()) > 6
        assert not any(right(examples[id_], text) for id_, one in worse.items() for text in one.texts)
        left = [dict(one.left_out) for one in worse.values()]
        assert all(one.get("right", 0) + one.get("repeated", 0) in (5, 6) for one in left)


def test_sources_of_samples_need_a_checker_and_own_needs_a_policy(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="kind own: only a checker"):
        build(OwnSource(kind="own"), resources(tmp_path, checker=None))
    with pytest.raises(ConfigError, match="--policy"):
        build(OwnSource(kind="own"), resources(tmp_path, policy=None))


RIVER = [
    example(0, "which river flows through the old town", "the blue river"),
    example(1, "which river flows through the new town", "the red river"),
    example(2, "which river flows through the large town", "the blue  river"),
    example(3, "who wrote the song about apples", "dora"),
    example(4, "which river flows through the old town", "the white river"),
]
"""The last prompt is the first one again."""


def test_contrast_takes_answers_of_similar_prompts_and_never_its_own(tmp_path: Path) -> None:
    _, worse = found(ContrastSource(kind="contrast"), resources(tmp_path, RIVER, checker=None, most=2))
    # The answers to the same question are not taken, nor those with the same text.
    assert worse["r00"].texts == ("the red river", "dora")
    assert dict(worse["r00"].left_out) == {"repeated": 1}
    assert len(set(worse["r03"].texts)) == 2
    assert "dora" not in worse["r03"].texts


def test_contrast_leaves_out_prompts_that_are_too_similar_and_counts_them(tmp_path: Path) -> None:
    settings = ContrastSource(kind="contrast", max_cosine=0.5)
    _, worse = found(settings, resources(tmp_path, RIVER, checker=None, most=3))
    assert worse["r00"].texts == ("dora",)
    assert dict(worse["r00"].left_out) == {"too_similar": 2}


def test_contrast_uses_the_embedder_that_is_named(tmp_path: Path) -> None:
    rows = [example(n, "x" * length, f"answer {n}") for n, length in enumerate([10, 60, 12, 30])]
    asked: list[EmbeddingDiffers | EmbeddingServerDiffers] = []

    def embedded_by(settings: EmbeddingDiffers | EmbeddingServerDiffers) -> EmbeddedBy:
        asked.append(settings)
        return EmbeddedBy(config={"kind": "fake"}, vectors=by_length)

    given = resources(tmp_path, rows, checker=None, embedded_by=embedded_by)
    _, worse = found(ContrastSource(kind="contrast", embedder="my/embedder", max_cosine=1.0), given)
    assert worse["r00"].texts == ("answer 2", "answer 3", "answer 1")
    assert asked == [EmbeddingDiffers(kind="embedding", model="my/embedder")]


class ShoutingSource(PerturbationSettings):
    """The gold answer in capitals."""

    kind: Literal["shouting"]


def test_a_source_of_ones_own(tmp_path: Path) -> None:
    def shouting(settings: ShoutingSource, given: SourceResources) -> PerturbationPlan:
        return PerturbationPlan(
            kind=settings.kind,
            config={"kind": settings.kind},
            over=lambda examples: (
                WorseAnswers(example_id=id_, texts=((one.reference or "").upper(),)) for id_, one in examples.items()
            ),
        )

    settings = ShoutingSource(kind="shouting")
    with pytest.raises(ConfigError, match="register_perturbation"):
        build(settings, resources(tmp_path, RIVER))
    register_perturbation(ShoutingSource, shouting)
    try:
        _, worse = found(settings, resources(tmp_path, RIVER))
        assert worse["r03"].texts == ("DORA",)
        assert PERTURBATIONS.get("shouting") is ShoutingSource
    finally:
        PERTURBATIONS._classes.pop("shouting")  # pyright: ignore[reportPrivateUsage]


def test_settings_of_sources_are_part_of_the_identity(tmp_path: Path) -> None:
    given = resources(tmp_path)
    prints = {
        perturb(given.steps, build(settings, given), given.rows).fingerprint
        for settings in (
            AdversarialSource(kind="adversarial"),
            AdversarialSource.model_validate({"kind": "adversarial", "edits": "words"}),
            ContrastSource(kind="contrast"),
            ContrastSource(kind="contrast", max_cosine=0.5),
        )
    }
    assert len(prints) == 4
