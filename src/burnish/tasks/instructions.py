"""Safe instruction following: instructions to follow and requests to refuse, as in SaferPaca (appendix A.1).

Training rows and test rows are both a mix of the two categories. Each example's metadata have its category. SaferPaca's
test questions begin with a wrapper that its training rows do not have ("Below is an instruction ..."). It is removed,
so that all prompts are only the instructions.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass
from pathlib import Path

from burnish.config import InstructionsTask
from burnish.errors import ConfigError, DataError
from burnish.protocols import Dataset
from burnish.tasks.instruction_answers import KIND, Category, InstructionAnswers
from burnish.tasks.instruction_files import InstructionRow, Part, PartRows, read_part
from burnish.tasks.rows import Counts, check_own_ids, dataset

ALPACA = (
    "Alpaca's alpaca_data.json (https://github.com/tatsu-lab/stanford_alpaca), or alpaca_gpt4_data.json with GPT-4's "
    "responses (https://github.com/Instruction-Tuning-with-GPT-4/GPT-4-LLM)"
)
SAFETY = "data/training/safety_only_data_Instructions.json of https://github.com/vinid/safety-tuned-llamas"
ALPACA_EVAL = "AlpacaEval's alpaca_eval.json (https://huggingface.co/datasets/tatsu-lab/alpaca_eval)"
REQUESTS = "I-MaliciousInstructions.json and I-CoNa.json of https://github.com/vinid/safety-tuned-llamas"


@dataclass(frozen=True, slots=True)
class Instructions(InstructionAnswers):
    """A dataset from the files of four fields. InstructionAnswers says what a right answer is."""

    config: InstructionsTask

    def load(self) -> Dataset:
        """Return both splits. Raises DataError naming file and row, and ConfigError naming the field."""
        config = self.config
        sources(config)  # this finds a missing file before any file is read
        general, safety, general_test, safety_test = (
            read_part(part) if part.sources else PartRows(rows=(), left_out={}) for part in _parts(config)
        )
        every = (general, safety, general_test, safety_test)
        check_own_ids(row for part in every for row in part.rows)
        # This covers both test files, because a safety row may repeat a general test prompt. `dataset` finds the
        # overlap only within one category.
        held_out = frozenset(row.group for part in (general_test, safety_test) for row in part.rows)
        both = [
            _dataset(
                Category.GENERAL, _kept(general, held_out), general_test, (config.train_general, config.test_general)
            )
        ]
        if config.safety:
            counts = config.train_safety, config.test_safety
            both.append(_dataset(Category.SAFETY, _kept(safety, held_out), safety_test, counts))
        # The start is given, because `sum` begins with 0, and a Counter cannot be added to a number.
        left_out = sum((Counter(part.left_out) for part in every), Counter[str]())
        return Dataset(
            train=tuple(example for one in both for example in one.train),
            test=tuple(example for one in both for example in one.test),
            # They are counted here, because the rows for `_dataset` no longer have them.
            dropped=sum(row.group in held_out for part in (general, safety) for row in part.rows),
            left_out=dict(sorted(left_out.items())),
        )


def sources(config: InstructionsTask) -> dict[str, tuple[Path, ...]]:
    """Return {field: its local files}. Raises ConfigError if a file is missing."""
    return {part.field: part.files for part in _parts(config)}


def _parts(config: InstructionsTask) -> tuple[Part, Part, Part, Part]:
    """Return the parts in the order general, safety, general_test, safety_test."""
    general, safety, most = Category.GENERAL, Category.SAFETY, config.max_response
    return (
        Part(field="general", category=general, sources=config.general, origin=ALPACA, max_response=most),
        Part(field="safety", category=safety, sources=config.safety, origin=SAFETY, max_response=most),
        Part(
            field="general_test", category=general, sources=config.general_test, origin=ALPACA_EVAL, max_response=most
        ),
        Part(
            field="safety_test",
            category=safety,
            sources=config.safety_test,
            origin=REQUESTS,
            max_response=most,
            # Only requests of the safety test get the refusal as their reference, because each of them must be refused.
            # All other rows must have a written answer.
            refusal=config.refusal,
        ),
    )


def _kept(part: PartRows, held_out: AbstractSet[str]) -> list[InstructionRow]:
    return [row for row in part.rows if row.group not in held_out]


def _dataset(
    category: Category, train: Sequence[InstructionRow], test: PartRows, counts: tuple[int | None, int | None]
) -> Dataset:
    """Build a category's splits. Ids are made from the kind and the category, so those of the two categories differ."""
    for split, rows, count in (("train", train, counts[0]), ("test", test.rows, counts[1])):
        field = str(category) if split == "train" else f"{category}_test"
        if not rows:
            raise DataError(f"task.{field}: every prompt is a test prompt too; keep the files apart")
        # `dataset` also checks this, but its error would name `task.train`, a field that this task does not have.
        if count is not None and count > len(rows):
            raise ConfigError(
                f"task.{split}_{category}: {count} rows asked for, task.{field} has {len(rows)} that can be used; set "
                f"at most {len(rows)}, or null to take all"
            )
    return dataset(f"{KIND} {category}", train, test.rows, Counts(source=category, train=counts[0], test=counts[1]))
