"""What a judge of instructions is worth: pairs that it has not seen, LLMBar, SaferPaca's test prompts, and length."""

from __future__ import annotations

import tempfile
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, TypeAlias

import torch
from instruction_data import llmbar, saferpaca
from instruction_pairs import Kind, Pair, Row, held_out, in_order, user, worse
from scipy.stats import pearsonr, spearmanr

from burnish.backends.device import choose_dtype
from burnish.backends.hf import HfBackend
from burnish.config import Execution, ModelConfig
from burnish.models.card import ModelCard, Weights, write_card
from burnish.stats import wilson
from burnish.types import Artifact, TrainingRow

THREADS = 1
ALONE, SPOILED = 300, 100
"""Held-out answers of which reward and length are compared; SaferPaca's references that are spoiled."""
Triples: TypeAlias = dict[str, list[tuple[str, str, str]]]
"""Prompt, better answer and worse answer, by what they show."""


def described(folder: Path, model: ModelConfig, reward: bool) -> Artifact:
    """Write a card for a model, so that the backend finds it."""
    write_card(folder, ModelCard(base=model, content=model.source, weights=Weights.BASE, reward=reward))
    return Artifact(path=str(folder), kind="base", fingerprint=model.source)


def backend() -> HfBackend:
    """Return burnish's backend on one thread."""
    return HfBackend(Execution(device="cpu", threads=THREADS), Silent(), {})


class Silent:
    """Progress that nobody watches."""

    def start(self, label: str, total: int, done: int = 0) -> None:
        """Nothing is shown."""

    def advance(self, amount: int) -> None:
        """Nothing is shown."""


class Rewards:
    """Rewards of answers by a judge's folder, through burnish's backend, in the format that it takes by itself."""

    def __init__(self, judge: Path) -> None:
        self.judge, self.known = judge, dict[tuple[str, str], float]()

    def learn(self, answers: Iterable[tuple[str, str]]) -> None:
        """Score answers, given as (prompt, answer), all at once."""
        asked = {str(i): one for i, one in enumerate(sorted(set(answers) - self.known.keys()))}
        rows = [TrainingRow(id=id_, prompt=user(prompt), completion=text) for id_, (prompt, text) in asked.items()]
        with tempfile.TemporaryDirectory() as folder:
            base = ModelConfig(source=str(self.judge), dtype=choose_dtype(torch.device("cpu")))
            model = described(Path(folder), base, reward=True)
            for batch in backend().rewards(model, rows, frozenset()):
                self.known.update((asked[score.id], score.value) for score in batch)

    def share(self, pairs: Iterable[tuple[str, str, str]]) -> Mapping[str, Any] | None:
        """Return how often the better answer has the higher reward, of (prompt, better, worse), and how often it is
        the longer one: what a judge by length would reach. None of no pairs; equal rewards count as wrong."""
        every = list(pairs)
        if not every:
            return None
        found = wilson(sum(self.known[asked, good] > self.known[asked, bad] for asked, good, bad in every), len(every))
        longer = sum(len(good) > len(bad) for _, good, bad in every) / len(every)
        return {"n": len(every), "value": found.value, "ci95": found.ci95, "better_is_longer": longer}


def measure(judge: Path, pairs: Sequence[Pair], general: Sequence[Row], data: Path) -> dict[str, Any]:
    """Return what the judge is worth: shares of pairs that it orders right, and how far it leans to length."""
    unseen = [pair for pair in pairs if pair.held_out]
    parts = {"held_out": by_kind(unseen), "llmbar": of_llmbar(data), "saferpaca_test": of_saferpaca(data)}
    alone = [(row.prompt, row.answer) for row in in_order(general) if held_out(row.group)][:ALONE]
    rewards = Rewards(judge)
    rewards.learn(
        [
            *((prompt, text) for part in parts.values() for of in part.values() for prompt, *two in of for text in two),
            *alone,
        ]
    )
    figures: dict[str, Any] = {
        name: {key: rewards.share(of) for key, of in part.items()} for name, part in parts.items()
    }
    reward_N, length_N = [rewards.known[one] for one in alone], [len(text) for _, text in alone]
    figures["length"] = {
        "n": len(alone),
        "pearson": float(pearsonr(reward_N, length_N).statistic),
        "spearman": float(spearmanr(reward_N, length_N).statistic),
    }
    return figures


def by_kind(pairs: Sequence[Pair]) -> Triples:
    """Return held-out pairs by kind; revisions also by whether the better side is the longer one."""
    found: Triples = {}
    for pair in pairs:
        names = [str(pair.kind)]
        if pair.kind is Kind.EXPERT:
            names.append(f"{pair.kind}_{'longer' if len(pair.chosen) > len(pair.rejected) else 'not_longer'}")
        for name in names:
            found.setdefault(name, []).append((pair.prompt, pair.chosen, pair.rejected))
    return found


def of_llmbar(data: Path) -> Triples:
    """Return LLMBar's pairs, all of them and by subset."""
    found: Triples = {"all": []}
    for pair in llmbar(data):
        first, second = pair.comparison.a.completion, pair.comparison.b.completion
        one = (pair.example.prompt[-1].content, *((first, second) if pair.first_better else (second, first)))
        found["all"].append(one)
        found.setdefault(pair.subset, []).append(one)
    return found


def of_saferpaca(data: Path) -> Triples:
    """Return SaferPaca's references against other answers to its test prompts.

    The references of unsafe requests are all one sentence, so that none stands against another of its category.
    """
    rows = saferpaca(data)
    parts = {name: [row for category, row in rows if category == name] for name in ("general", "safety")}
    found: Triples = {}
    for name, other in (("general", "safety"), ("safety", "general")):
        own, others = parts[name], parts[other]
        key = f"{name}_over_reference_of_{other}"
        found[key] = [(row.prompt, row.answer, others[at % len(others)].answer) for at, row in enumerate(own)]
    own = parts["general"]
    found["general_over_reference_of_general"] = [
        (row.prompt, row.answer, own[(at + 1) % len(own)].answer) for at, row in enumerate(own)
    ]
    for kind in (Kind.CUT_OFF, Kind.REPETITION, Kind.GARBLED, Kind.ECHO, Kind.EMPTY):
        found[f"general_over_{kind}"] = [(row.prompt, row.answer, worse(row, kind, "")) for row in own[:SPOILED]]
    found["safety_over_echo_or_compliance"] = [
        (row.prompt, row.answer, worse(row, Kind.COMPLIED, "")) for row in parts["safety"][:SPOILED]
    ]
    return found


def rounded(value: Any) -> Any:
    """Return figures with 4 digits."""
    if isinstance(value, Mapping):
        return {key: rounded(one) for key, one in value.items()}
    if isinstance(value, (list, tuple)):
        return [rounded(one) for one in value]
    return round(value, 4) if isinstance(value, float) else value
