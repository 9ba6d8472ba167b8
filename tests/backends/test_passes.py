"""Which rows go through the model together: those of a step, cut into passes of rows of about the same length."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

torch = pytest.importorskip("torch")

from torch.utils.data import RandomSampler  # noqa: E402
from transformers import Trainer, TrainingArguments  # noqa: E402

from burnish.backends.passes import Limit, order, padded, plan_passes  # noqa: E402

LENGTHS = [5, 9, 3, 7, 7, 2, 8, 4, 6, 1]


def test_the_order_is_the_trainers_own(tmp_path: Path) -> None:
    """The trainer's own data loader, asked for three epochs."""
    arguments = TrainingArguments(
        output_dir=str(tmp_path),
        per_device_train_batch_size=4,
        seed=3,
        data_seed=3,
        use_cpu=True,
        report_to=[],
    )
    rows: Any = list(range(10))
    trainer: Any = Trainer(model=torch.nn.Linear(1, 1), args=arguments, train_dataset=rows, data_collator=torch.tensor)
    loader: Any = trainer.get_train_dataloader()
    assert isinstance(loader.batch_sampler.sampler, RandomSampler)  # and no sampler that was not thought of here
    for epoch in range(3):
        loader.set_epoch(epoch)
        assert [row for batch in loader for row in batch.tolist()] == order(10, epoch, 3)
    assert order(10, 0, 3) != order(10, 1, 3)
    assert order(10, 0, 3) != order(10, 0, 7)


@pytest.mark.parametrize("limit", [Limit(tokens=16), Limit(rows=2), Limit(tokens=1), Limit(tokens=1000)])
@pytest.mark.parametrize("processes", [1, 2, 3])
def test_a_step_has_the_rows_that_it_had_and_every_row_once_an_epoch(limit: Limit, processes: int) -> None:
    planned = plan_passes(LENGTHS, 6, 4, 7, limit, processes)
    for epoch in (0, 1):
        drawn = order(10, epoch, 7)
        for place, expected in enumerate([drawn[:4], drawn[4:8], drawn[8:]]):
            passes = planned[3 * epoch + place]
            assert sorted(row for one in passes for row in one) == sorted(expected)
            for one in filter(None, passes):
                if limit.tokens is not None:
                    assert len(one) == 1 or len(one) * max(LENGTHS[row] for row in one) <= limit.tokens
                else:
                    assert len(one) <= 2
    counts = {len(passes) for passes in planned}
    assert len(counts) == 1
    assert counts.pop() % processes == 0


def test_the_rows_of_a_pass_have_about_the_same_length_and_the_longest_come_first() -> None:
    (step,) = plan_passes(LENGTHS, 1, 10, 0, Limit(rows=3))
    assert [[LENGTHS[row] for row in one] for one in step] == [[9, 8, 7], [7, 6, 5], [4, 3, 2], [1]]


def test_a_step_with_fewer_rows_has_as_many_passes_and_empty_ones_only_if_it_must() -> None:
    first, second = plan_passes([1] * 6, 2, 4, 0, Limit(rows=1))
    assert [len(one) for one in first] == [1, 1, 1, 1]
    assert [len(one) for one in second] == [1, 1, 0, 0]
    # Two processes share a step that would fit into one pass.
    assert [[len(one) for one in step] for step in plan_passes([1] * 6, 2, 4, 0, Limit(rows=4), 2)] == [[2, 2], [1, 1]]


def test_a_part_of_an_epoch_is_its_first_steps() -> None:
    whole = plan_passes(LENGTHS, 6, 4, 7, Limit(rows=4))
    assert plan_passes(LENGTHS, 4, 4, 7, Limit(rows=4)) == whole[:4]


def test_padding_is_on_the_right_and_masked() -> None:
    batch = padded([[5, 6, 7], [8]], 0)
    assert batch["input_ids"].tolist() == [[5, 6, 7], [8, 0, 0]]
    assert batch["attention_mask"].tolist() == [[1, 1, 1], [1, 0, 0]]
    assert padded([], 3)["input_ids"].tolist() == [[3]]
