"""Parts of the batches of the real backend: together they are the batches of the whole, to the last bit."""

from __future__ import annotations

from pathlib import Path

import pytest

from burnish.config import Decoding
from burnish.protocols import SamplingKey
from burnish.store.shards import Shard
from burnish.types import Prompt

pytest.importorskip("torch")

from embedded import ROWS, backend, base

KEY = SamplingKey(seed=0, stage="test", round=0)
PROMPTS = [Prompt(id=row.id, messages=row.prompt) for row in ROWS[:10]]


@pytest.mark.parametrize("count", [1, 3, 99])
def test_parts_of_batches_are_the_whole(count: int) -> None:
    batches = list(range(10))
    parts = [Shard(number=number, count=count).of(batches) for number in range(count)]
    assert [batch for part in parts for batch in part] == batches
    assert max(map(len, parts)) - min(map(len, parts)) <= 1


@pytest.mark.slow
def test_parts_have_the_answers_and_scores_of_the_whole(tmp_path: Path) -> None:
    model, whole = base(tmp_path), backend(batch_tokens=120)
    settings = Decoding(beams=1, temperature=1.0, max_new_tokens=8)
    answers = list(whole.generate(model, PROMPTS, settings, KEY, set()))
    scores = list(whole.logprobs(model, ROWS[:10], set()))
    assert len(answers) > 3
    assert len(scores) > 3
    parts = [whole.part(Shard(number=number, count=3)) for number in range(3)]
    found = [list(part.generate(model, PROMPTS, settings, KEY, set())) for part in parts]
    assert all(found)
    assert [batch for batches in found for batch in batches] == answers
    assert [batch for part in parts for batch in part.logprobs(model, ROWS[:10], set())] == scores
