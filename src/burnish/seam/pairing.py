"""The verb `reward pairs`: preference pairs from prompts with gold answers, for the training of a reward model."""

from __future__ import annotations

import dataclasses
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from pydantic import JsonValue

from burnish.config import ChatServerSettings, ModelConfig, WantedModel
from burnish.errors import ConfigError, DataError
from burnish.protocols import Backend
from burnish.report.text import plural
from burnish.seam.augmenting import pair
from burnish.seam.prompts import Prompts, as_rows, prompt_value, read_prompts
from burnish.seam.scoring import POLICY, context_of
from burnish.seam.worse import SOURCE_FIELD, WorseOptions, not_taken_words, spent_words, worse_answers
from burnish.services.calls import Spent
from burnish.steps.basic import Steps
from burnish.steps.perturbing import WorseAnswers, read_worse
from burnish.store.files import write_atomic
from burnish.store.json_rows import dump_line
from burnish.tasks.own import TextAnswers


@dataclass(frozen=True, slots=True, kw_only=True)
class PairOptions(WorseOptions):
    """What `burnish reward pairs` makes. Only a source that takes the policy's own answers needs a `policy`."""

    policy: ModelConfig | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class MadePairs:
    """How many pairs were made, and what was met on the way.

    `without` counts the prompts for which the source found nothing worse, and `left_out` what it did not take.
    `spent` is what calls to a server cost, or None if none is asked.
    """

    pairs: int
    prompts: int
    without: int
    left_out: Mapping[str, int]
    bad_rows: int
    spent: Spent | None = None

    def words(self) -> Iterator[str]:
        """Yield the lines that people read."""
        yield f"{plural(self.pairs, 'pair')} of {plural(self.prompts, 'prompt')}"
        if self.without:
            yield f"{plural(self.without, 'prompt')} without a pair, because no worse answer was found"
        yield from not_taken_words(self.left_out)
        if self.bad_rows:
            yield f"{plural(self.bad_rows, 'row')} left out that cannot be used"
        if self.spent is not None:
            yield spent_words(self.spent)


def make_pairs(
    options: PairOptions, store: Path, to: Path, own_backend: Callable[[], Backend] | None = None
) -> MadePairs:
    """Write pairs of a prompt's gold answer (chosen) and a worse one (rejected), in the form that TRL reads, to `to`.

    The first pair of every prompt comes first. Finished work is kept in the store, so that the same call continues
    after a kill. Raises ConfigError for a model or a setting that cannot be used, DataError for a row that cannot be
    used and if no pair is found, and BackendError if a library is missing.
    """
    if options.policy is not None and not options.source.uses_policy:
        raise ConfigError(f"--policy: the source {options.source.kind} does not use a policy; leave --policy out")
    prompts = read_prompts(options.data, options.limit, options.seed)
    own = [] if options.policy is None else [WantedModel(POLICY, options.policy, as_it_is=True)]
    wanted = [*own, *options.source.models(SOURCE_FIELD)]
    asked = wanted[0].model if wanted else None
    context = context_of(wanted, asked, options.execution, store, own_backend, options.out, options.budget)
    steps = Steps(context.executor(), context.engines, TextAnswers(), "text", options.seed)
    policy = None if options.policy is None else context.model(steps, POLICY)
    found = read_worse(worse_answers(options, context, steps, as_rows(steps, prompts), policy))
    lines = list(_pairs(prompts, found, options.source.kind))
    left_out: Counter[str] = Counter()
    for one in found:
        left_out.update(one.left_out)
    made = MadePairs(
        pairs=len(lines),
        prompts=sum(bool(one.texts) for one in found),
        without=sum(not one.texts for one in found),
        left_out=dict(sorted(left_out.items())),
        bad_rows=prompts.bad_rows,
    )
    if not lines:
        raise DataError(f"{options.data.source}: no pair was found ({'; '.join(list(made.words())[1:])})")
    write_atomic(to, b"".join(map(dump_line, lines)))
    if not isinstance(options.source, ChatServerSettings):
        return made
    return dataclasses.replace(made, spent=context.calls().spent(context.run, options.source.prices))


def _pairs(prompts: Prompts, found: list[WorseAnswers], source: str) -> Iterator[dict[str, JsonValue]]:
    example_of = {row.id: row for row in prompts.examples}
    for number in range(max((len(one.texts) for one in found), default=0)):
        for one in found:
            if number < len(one.texts):
                row = example_of[one.example_id]
                prompt = prompt_value(row.prompt, prompts.as_turns)
                id_ = row.id if number == 0 else f"{row.id}:{number}"
                yield pair(id_, prompt, row.reference or "", one.texts[number], source)
