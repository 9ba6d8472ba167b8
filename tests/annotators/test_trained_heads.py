"""Classifiers, reward models and language models of a user's own as annotators: tiny ones, made here."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from refinement import Refined, fake, refine, rows, settings, written

from burnish.annotators.classifier import ClassifierAnnotator
from burnish.annotators.reward import RewardAnnotator
from burnish.config import DType, ModelConfig
from burnish.errors import BackendError
from burnish.types import (
    Artifact,
    Comparison,
    Demonstration,
    DemonstrationSource,
    Example,
    Message,
    PairRow,
    Role,
    TrainingRow,
    Verdict,
)


def tiny(where: Path, labels: int | None, seed: int = 0) -> Path:
    """Save a tiny Llama with a head of `labels` outputs (None: a language model), and the built-in tokenizer."""
    torch = pytest.importorskip("torch")
    import transformers

    from burnish.models.location import EMBEDDED

    shutil.copytree(EMBEDDED / "strong", where, ignore=shutil.ignore_patterns("*.safetensors", "config.json", "gen*"))
    torch.manual_seed(seed)
    library: Any = transformers
    config = library.LlamaConfig(
        vocab_size=512,
        hidden_size=16,
        intermediate_size=32,
        num_hidden_layers=2,
        num_attention_heads=2,
        max_position_embeddings=256,
        pad_token_id=0,
        **({} if labels is None else {"num_labels": labels}),
    )
    kind = library.LlamaForCausalLM if labels is None else library.LlamaForSequenceClassification
    kind(config).save_pretrained(where)
    return where


def forward(where: Path, texts: Sequence[tuple[str, ...]]) -> Any:
    """Run texts, given in pieces, one by one through a saved classifier, by transformers alone; returns logits."""
    import torch
    import transformers

    library: Any = transformers
    tokenizer = library.AutoTokenizer.from_pretrained(where)
    model = library.AutoModelForSequenceClassification.from_pretrained(where).eval()
    with torch.inference_mode():
        ids = [
            [i for text in pieces for i in tokenizer(text, add_special_tokens=False)["input_ids"]] for pieces in texts
        ]
        return torch.cat([model(input_ids=torch.tensor([one])).logits for one in ids])


def headed(where: Path, head: str) -> tuple[Any, Artifact]:
    """Return the real backend and a tiny model as a base with that head."""
    pytest.importorskip("torch")
    from embedded import backend

    from burnish.models.card import ModelCard, Weights, write_card

    base = ModelConfig(source=str(where), dtype=DType.FLOAT32)
    flags: dict[str, Any] = {head: True}
    place = where.with_name(f"{where.name}-{head}-base")
    place.mkdir()
    write_card(place, ModelCard(base=base, content="c", weights=Weights.BASE, **flags))
    return backend(), Artifact(path=str(place), kind="base", fingerprint="base")


def user(text: str) -> tuple[Message, ...]:
    return (Message(role=Role.USER, content=text),)


QUESTION = "ann has 12 apples . then ann buys 7 more ."
ANSWERS = ["12 + 7 = 19 #### 19", "19", "12 - 7 = 5 ; so 5 #### 5 . then ann loses 5"]


def test_a_classifier_scores_as_transformers_does(tmp_path: Path) -> None:
    where = tiny(tmp_path / "classifier", 2)
    pair = (
        "Two answers to a question follow.\n\nQUESTION:\n{}\n\nANSWER (A):\n{}\n\nANSWER (B):\n{}\n\n"
        "Should answer (A) be changed for answer (B)?"
    )
    sides = [(a, b) for a in ANSWERS for b in ANSWERS]
    expected = forward(where, [(pair.format(QUESTION, a, b),) for a, b in sides]).softmax(-1)[:, 1]
    backend, model = headed(where, "classifier")
    asked = [PairRow(id=str(i), prompt=user(QUESTION), first=a, second=b) for i, (a, b) in enumerate(sides)]
    found = {score.id: score.value for batch in backend.classify(model, asked, set()) for score in batch}
    assert [found[row.id] for row in asked] == pytest.approx(expected.tolist(), abs=1e-5)
    assert len(set(found.values())) == len(sides)


def test_a_reward_model_scores_as_transformers_does(tmp_path: Path) -> None:
    where = tiny(tmp_path / "reward", 1)
    import transformers

    library: Any = transformers
    tokenizer = library.AutoTokenizer.from_pretrained(where)
    texts = [(f"USER:\n{QUESTION}\n\nASSISTANT:", answer, tokenizer.eos_token) for answer in ANSWERS]
    expected = forward(where, texts)[:, 0].tolist()
    backend, model = headed(where, "reward")
    asked = [TrainingRow(id=str(i), prompt=user(QUESTION), completion=answer) for i, answer in enumerate(ANSWERS)]
    found = {score.id: score.value for batch in backend.rewards(model, asked, set()) for score in batch}
    assert [found[row.id] for row in asked] == pytest.approx(expected, abs=1e-5)


@pytest.mark.parametrize("head", ["classifier", "reward"])
def test_an_answer_that_does_not_fit_is_one_abstention(tmp_path: Path, head: str) -> None:
    backend, model = headed(tiny(tmp_path / head, 2 if head == "classifier" else 1), head)
    texts = {"short": ("19", "12 + 7 = 19"), "long": ("19", "7 " * 300), "both": ("5 " * 300, "7 " * 300)}
    examples = {id_: Example(id=id_, group=id_, prompt=user(QUESTION)) for id_ in texts}
    comparisons = [Comparison(example_id=id_, a=answered(id_, a), b=answered(id_, b)) for id_, (a, b) in texts.items()]
    make = ClassifierAnnotator if head == "classifier" else RewardAnnotator
    annotator = make(backend, model, examples)
    found = {one.comparison_id: one for unit in annotator.judge(comparisons, set()) for one in unit}
    verdicts = [found[comparison.id].verdict is Verdict.ABSTAIN for comparison in comparisons]
    assert verdicts == [False, True, True]
    assert list(annotator.judge(comparisons, found.keys())) == []


def answered(id_: str, text: str) -> Demonstration:
    return Demonstration(example_id=id_, completion=text, source=DemonstrationSource.GIVEN)


class Mixed:
    """The fake backend for the student, the real one for an annotator's head."""

    def __init__(self) -> None:
        from embedded import backend

        self.student, self.judge, self.asked = fake(), backend(), list[str]()

    def __getattr__(self, name: str) -> Any:
        if name in {"classify", "rewards", "logprobs"}:
            self.asked.append(name)
            return getattr(self.judge, name)
        return getattr(self.student, name)


@pytest.mark.parametrize(
    ("kind", "labels", "asked"),
    [("classifier", 2, "classify"), ("reward_model", 1, "rewards"), ("likelihood", None, "logprobs")],
)
def test_a_folder_of_each_kind_judges_a_refinement(tmp_path: Path, kind: str, labels: int | None, asked: str) -> None:
    where = tiny(tmp_path / "judge", labels)
    backend: Any = Mixed()
    annotator = {"kind": kind, "model": {"source": str(where), "dtype": "float32"}}
    config = settings(written(tmp_path), annotator=annotator, go_on=True, rounds=1)
    found = refine(config, tmp_path, backend)
    assert set(backend.asked) == {asked}
    judged = [line for line in found.ledger if line.score is not None]
    assert {line.annotator for line in judged} == {kind}
    assert all((line.p_b_ba is None) == (kind != "classifier") for line in judged)
    assert len({line.score for line in judged}) > len(judged) // 2
    assert found.summary.selftest is not None
    assert (found.summary.selftest.flip_rate is None) == (kind != "classifier")


@pytest.mark.parametrize(
    ("kind", "labels", "wanted"), [("classifier", None, "2 labels"), ("reward_model", None, "1 label")]
)
def test_a_language_model_has_no_trained_head(tmp_path: Path, kind: str, labels: int | None, wanted: str) -> None:
    where = tiny(tmp_path / "causal", labels)
    backend: Any = Mixed()
    with pytest.raises(
        BackendError, match=f"no trained head of that size .* would be noise; give a sequence classifier with {wanted}"
    ):
        refine(settings(written(tmp_path), annotator=f"{kind}:{where}"), tmp_path, backend)


@pytest.mark.parametrize(("kind", "labels"), [("classifier", 1), ("reward_model", 2), ("classifier", 3)])
def test_a_head_of_another_size_is_refused(tmp_path: Path, kind: str, labels: int) -> None:
    where = tiny(tmp_path / "head", labels)
    backend: Any = Mixed()
    with pytest.raises(BackendError, match=r"of that size .* or has another shape"):
        refine(settings(written(tmp_path), annotator=f"{kind}:{where}"), tmp_path, backend)
    assert Refined(tmp_path / "out", tmp_path / "store").rows == rows()
