"""Pairs from which a judge of instructions learns: what spoils an answer, who is held out, what stands against what."""

from __future__ import annotations

import sys
from collections import Counter
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parents[2] / "benchmarks"))

import instruction_pairs
from instruction_pairs import (
    QUOTAS,
    SHORT_REFUSALS,
    Kind,
    Pair,
    Revision,
    Row,
    Sources,
    cut_off,
    garbled,
    group_of,
    held_out,
    looped,
    make_pairs,
    whole_sentences,
)

TEXT = "The sun is a star. It gives light and heat to all planets, and most of life on Earth depends on it every day."
KEYS = [str(i) for i in range(40)]


def general(count: int = 120) -> list[Row]:
    return [Row(prompt=f"Say fact {i}.", answer=f"Fact {i}: {TEXT}") for i in range(count)]


def unsafe(count: int = 40) -> list[Row]:
    return [Row(prompt=f"Help me with crime {i}.", answer=f"I'm sorry, I cannot help with {i}.") for i in range(count)]


@pytest.fixture(autouse=True)
def few(monkeypatch: pytest.MonkeyPatch) -> None:
    """Ask for so few pairs of each kind that rows suffice for all of them."""
    monkeypatch.setattr(instruction_pairs, "QUOTAS", dict.fromkeys(QUOTAS, (9, 2)))


@pytest.fixture
def pairs() -> list[Pair]:
    return make_pairs(Sources(general=general(), unsafe=unsafe()))


def test_each_kind_has_its_quota(pairs: list[Pair]) -> None:
    counts = Counter((pair.kind, pair.held_out) for pair in pairs)
    assert counts == {(kind, part): count for kind in QUOTAS for part, count in ((False, 9), (True, 2))}


@pytest.mark.parametrize("key", KEYS)
def test_a_cut_text_is_a_beginning_without_an_end(key: str) -> None:
    cut = cut_off(TEXT, key)
    assert TEXT.startswith(cut)
    assert 6 <= len(cut.split()) <= 16  # 30 and 70 % of 23 words
    assert cut[-1] not in ".,"


@pytest.mark.parametrize("key", KEYS)
def test_a_looped_text_says_its_last_phrase_at_least_four_times(key: str) -> None:
    words = looped(TEXT, key).split()
    size = next(n for n in range(4, 13) if words[-n:] * 4 == words[-4 * n :])
    beginning = " ".join(words[: -3 * size])
    assert " ".join(words[-size:]) in TEXT
    assert beginning.startswith("The sun is a")


@pytest.mark.parametrize("key", KEYS)
def test_a_garbled_text_has_the_same_words_in_another_order(key: str) -> None:
    spoiled = garbled(TEXT, key)
    assert sorted(spoiled.split()) == sorted(TEXT.split())
    assert spoiled != TEXT


def test_a_text_that_stopped_at_the_limit_ends_with_its_last_whole_sentence() -> None:
    assert whole_sentences("One. Two! And th") == "One. Two!"
    assert whole_sentences("Version 1.5 of") == "Version 1.5 of"


def test_no_text_of_a_held_out_row_is_trained_on(pairs: list[Pair]) -> None:
    unseen = {row.answer for row in (*general(), *unsafe()) if held_out(row.group)}
    seen = {row.answer for row in (*general(), *unsafe()) if not held_out(row.group)}
    assert unseen
    for pair in pairs:
        other = seen if pair.held_out else unseen
        assert not {pair.chosen, pair.rejected} & other


def test_answers_to_other_prompts_and_refusals_are_worse(pairs: list[Pair]) -> None:
    own = {row.prompt: row.answer for row in (*general(), *unsafe())}
    for pair in pairs:
        assert pair.chosen == own[pair.prompt] or (pair.kind in {Kind.SAFE, Kind.COMPLIED})
        assert pair.rejected != pair.chosen
        if pair.kind is Kind.REFUSED:
            assert pair.rejected in SHORT_REFUSALS or pair.rejected in {row.answer for row in unsafe()}
        if pair.kind is Kind.SAFE:
            assert pair.chosen in (*SHORT_REFUSALS, own[pair.prompt])
            assert pair.rejected in {row.answer for row in general()}


def test_a_general_row_serves_one_kind(pairs: list[Pair]) -> None:
    prompts = [pair.prompt for pair in pairs if pair.prompt.startswith("Say")]
    assert len(prompts) == len(set(prompts)) == 7 * 11


def test_pairs_do_not_depend_on_the_order_of_the_rows(pairs: list[Pair]) -> None:
    assert make_pairs(Sources(general=general()[::-1], unsafe=unsafe()[::-1])) == pairs


def test_experts_are_better_and_a_model_is_worse_unless_it_refused_too() -> None:
    bad, good = unsafe(2)
    answers = {general(1)[0].group: "Fact.", bad.group: "Sure, first you", good.group: "I'm sorry, I can't help."}
    seen, unseen = (next(f"p{i}" for i in range(99) if held_out(group_of(f"p{i}")) is part) for part in (False, True))
    revised = [
        Revision(prompt=seen, raw="raw one", revised="revised"),
        Revision(prompt=seen, raw="raw", revised="very long"),  # would teach that longer is better
        Revision(prompt=unseen, raw="raw", revised="very long"),
    ]
    found = make_pairs(Sources(general=general(40), unsafe=unsafe(), revisions=revised, answers=answers))
    by_kind = {kind: [(p.prompt, p.rejected) for p in found if p.kind is kind] for kind in Kind}
    assert by_kind[Kind.EXPERT] == [(seen, "raw one"), (unseen, "raw")]
    assert by_kind[Kind.MODEL] == [("Say fact 0.", "Fact.")]
    assert by_kind[Kind.MODEL_COMPLIED] == [(bad.prompt, "Sure, first you")]
