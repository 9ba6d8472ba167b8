"""What simulated people write and know in the small human study."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parents[2] / "benchmarks"))

from human_study_small import QUALITY, RIGHT, demonstration, opened, qualities

from burnish.config.study import StudyKind
from burnish.people.study.folder import new_study
from burnish.store.files import write_rows


def test_the_planted_share_of_demonstrations_is_right_and_the_others_end_wrongly(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DEMONSTRATIONS", str(tmp_path / "none.jsonl"))
    small = opened(tmp_path)
    grades = {one.id: small.task.on(one).grade(demonstration(one)) for one in small.problems.values()}
    assert len(grades) == 200
    assert sum(grade.correct for grade in grades.values()) / 200 == pytest.approx(RIGHT, abs=0.1)
    # Also a wrong demonstration has an answer, and its steps before the last one are those of the right solution.
    assert all(grade.extracted for grade in grades.values())
    for one in small.problems.values():
        assert demonstration(one).rsplit(" = ", 1)[0] == str(one.reference).rsplit(" = ", 1)[0]


def test_people_know_which_answers_of_the_pairs_are_right(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DEMONSTRATIONS", str(tmp_path / "none.jsonl"))
    small = opened(tmp_path)
    prompt, example = next(iter(small.problems.items()))
    right = str(example.reference)
    write_rows(tmp_path / "pairs.jsonl", [{"id": "p", "prompt": prompt, "first": right, "second": "#### 9999"}])
    study = new_study(tmp_path / "study", tmp_path / "pairs.jsonl", StudyKind.COMPARISONS)
    assert qualities(small, study) == {(prompt, right): QUALITY, (prompt, "#### 9999"): -QUALITY}
