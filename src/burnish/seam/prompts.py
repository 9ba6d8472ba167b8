"""The user's prompts with their gold answers, as rows that stages work on."""

from __future__ import annotations

import dataclasses
import hashlib
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from pydantic import JsonValue

from burnish.algorithms.refinement import drawn
from burnish.config import DataConfig, ModelConfig
from burnish.errors import DataError
from burnish.forms.ids import RowIds
from burnish.forms.recognise import BadRow
from burnish.forms.table import open_table
from burnish.report.text import plural
from burnish.rewards.trained_prompts import prompts_of
from burnish.steps.artifacts import Rows, Split
from burnish.steps.basic import Steps
from burnish.steps.data import SHARED
from burnish.store.files import write_rows
from burnish.store.json_rows import dump_line
from burnish.store.stages import Work
from burnish.types import Artifact, Example, Message, Role, prompt_group


@dataclass(frozen=True, slots=True, kw_only=True)
class Prompts:
    """The prompts of a dataset. The reference of each is its gold answer.

    `bad_rows` counts the rows that were left out because they cannot be used, and `trained_on` the prompts that were
    left out because the reward model was trained on them.
    """

    examples: tuple[Example, ...]
    bad_rows: int
    trained_on: int = 0

    @property
    def as_turns(self) -> bool:
        """Whether prompts must be written as lists of messages, because one is more than a text of a user."""
        return any(len(row.prompt) != 1 or row.prompt[0].role is not Role.USER for row in self.examples)


def read_prompts(config: DataConfig, limit: int | None, seed: int) -> Prompts:
    """Read prompts and their gold answers in any form that `burnish refine` reads.

    With a `limit`, so many of them are drawn by seed and id. Raises DataError, which names the place, for a row that
    cannot be used (unless the config says to skip such rows), for an id that occurs twice, and if there is no row.
    """
    table, ids = open_table(config), RowIds()
    examples: list[Example] = []
    bad = 0
    for row in table.read():
        if isinstance(row, BadRow):
            if config.on_bad_row == "error":
                raise DataError(f"{row.where}: {row.why}; or leave such rows out with --on-bad-row skip")
            bad += 1
            continue
        id_ = ids.id_of(row.id, row.prompt)
        examples.append(Example(id=id_, group=prompt_group(row.prompt), prompt=row.prompt, reference=row.completion))
    repeated = [id_ for id_, count in Counter(row.id for row in examples).items() if count > 1]
    if repeated:
        raise DataError(f"{config.source}: the id {repeated[0]!r} occurs twice; make ids unique")
    if not examples:
        raise DataError(f"{config.source}: no row can be used")
    if limit is not None:
        chosen = drawn((row.id for row in examples), limit, seed, 0, "seam prompts")
        examples = [row for row in examples if row.id in chosen]
    return Prompts(examples=tuple(examples), bad_rows=bad)


def unseen_prompts(prompts: Prompts, reward: ModelConfig, source: str) -> Prompts:
    """Leave out and count the prompts that a reward model was trained on. `source` names the dataset in the message.

    Raises DataError if no prompt is left.
    """
    seen = prompts_of(reward)
    rows = tuple(row for row in prompts.examples if row.group not in seen)
    if not rows:
        raise DataError(f"{source}: the reward model was trained on all its prompts; give other prompts")
    return dataclasses.replace(prompts, examples=rows, trained_on=len(prompts.examples) - len(rows))


def seen_words(number: int) -> str:
    """Say how many prompts were left out because the reward model was trained on them."""
    return f"{plural(number, 'prompt')} left out that the reward model was trained on"


def as_rows(steps: Steps, prompts: Prompts) -> Rows:
    """Write the prompts as data that stages can read. Their content identifies them."""

    def run(work: Work) -> None:
        work.count(rows=write_rows(work.path / f"{Split.TRAIN}.jsonl", prompts.examples))

    content = hashlib.sha256(b"".join(map(dump_line, prompts.examples))).hexdigest()
    given = Artifact(path="", kind="prompts", fingerprint=content)
    return Rows(steps.stage("prompts", {}, {"rows": given}, run, "prompts", SHARED), Split.TRAIN)


def prompt_value(prompt: Sequence[Message], turns: bool) -> JsonValue:
    """Return a prompt as TRL reads it: a text, or a list of messages."""
    if not turns:
        return prompt[0].content
    return [{"role": str(message.role), "content": message.content} for message in prompt]
