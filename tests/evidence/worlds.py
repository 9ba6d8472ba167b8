"""Small results folders for tests of claims: right and wrong answers that a test names."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from burnish.evidence.registry import RegisteredClaim
from burnish.results import Answered, Metric, PairedRow, PromptGrades, Results, Run, write_prompt_grades
from burnish.store.files import pretty

GradesSOP = NDArray[Any]
"""0 and 1 with the shape seeds x row orders x prompts."""


def drawn(chance: float, shape: tuple[int, int, int] = (5, 1, 200), seed: int = 0) -> GradesSOP:
    """Answers of which each is right with the same chance."""
    return (np.random.default_rng(seed).random(shape) < chance).astype(int)


def better(than: GradesSOP, by: float, seed: int = 1) -> GradesSOP:
    """The same answers, except that a share of the wrong ones is right."""
    return np.maximum(than, drawn(by, (than.shape[0], than.shape[1], than.shape[2]), seed))


def write_world(
    folder: Path,
    methods: Mapping[str, GradesSOP],
    *,
    task: int = 0,
    models: int = 0,
    graded: bool = True,
    paired: Sequence[PairedRow] = (),
) -> None:
    """Write results.json and, unless the folder is an old one, grades.json.gz."""
    folder.mkdir(parents=True)
    runs = [
        Run(
            method=method,
            kind="sft",
            seed=seed,
            round=0,
            metrics={
                "test_accuracy": Metric.share(round(float(right_OP.mean(axis=0).sum())), right_OP.shape[1]),
                "label_accuracy": Metric(value=0.5 + (0.1 + 0.01 * seed) * (method == "ours"), n=100, ci95=None),
            },
            counts={},
        )
        for method, right_SOP in methods.items()
        for seed, right_OP in enumerate(right_SOP)
    ]
    config: dict[str, Any] = {"task": {"kind": "sums", "world": task}, "models": {"weak": f"set-{models}"}}
    results = Results(burnish_version="0", config=config, runs=tuple(runs), summary=(), paired=tuple(paired))
    (folder / "results.json").write_bytes(pretty(results.model_dump(mode="json")))
    if graded:
        count = next(iter(methods.values())).shape[2]
        answered = [
            Answered(
                method=method,
                seed=seed,
                round=0,
                prompts=0,
                right=tuple("".join(map(str, order.tolist())) for order in right_OP),
            )
            for method, right_SOP in methods.items()
            for seed, right_OP in enumerate(right_SOP)
        ]
        ids = tuple(f"{task}-{number:04d}" for number in range(count))
        write_prompt_grades(folder, PromptGrades(prompts=(ids,), answered=tuple(answered)))


def claim(kind: str = "gain", *folders: str, **changes: Any) -> RegisteredClaim:
    """A claim that `ours` is above, below or like `base`."""
    values: dict[str, Any] = {
        "id": f"a-{kind}",
        "statement": "Ours compares with the base as it is said.",
        "results": folders or ("one",),
        "a": {"method": "ours", "round": 0},
        "b": {"method": "base", "round": 0},
        "kind": kind,
        "margin": 0.05 if kind in {"no_gain", "alike"} else None,
        "against": "The opposite is found.",
        "registered": "2026-11-27",
    }
    return RegisteredClaim.model_validate(values | changes)
