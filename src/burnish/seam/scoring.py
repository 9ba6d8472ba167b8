"""SEAM from models: a source finds worse answers, the policy and the reward model score them, and a table is made."""

from __future__ import annotations

import dataclasses
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from burnish.algorithms.seam import Response, check_response
from burnish.config import ChatServerSettings, Execution, ModelConfig, WantedModel
from burnish.errors import DataError
from burnish.inputs.context import RunContext
from burnish.inputs.feasible import in_one_process
from burnish.inputs.heads import check_heads
from burnish.inputs.models import find_models, reward_doubts
from burnish.perturbations import LeftOut
from burnish.protocols import Backend, Score
from burnish.report.terminal import Terminal
from burnish.report.text import plural
from burnish.seam.prompts import Prompts, as_rows, prompt_value, read_prompts, seen_words, unseen_prompts
from burnish.seam.table import GOLD, ID, PROMPT, SOURCE, TEXT, WORSE, TableRow
from burnish.seam.worse import SOURCE_FIELD, WorseOptions, not_taken_words, spent_words, worse_answers
from burnish.services.calls import CallBudget, Spent
from burnish.steps.artifacts import read_scores
from burnish.steps.basic import Steps
from burnish.steps.perturbing import WorseAnswers, candidate_id, candidates, read_worse
from burnish.steps.rewarding import reward
from burnish.store.opening import open_store
from burnish.tasks.own import TextAnswers
from burnish.types import Head, short_hash

POLICY, REWARD = "policy", "reward"
"""The config fields of the policy and of the reward model."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ScoreOptions(WorseOptions):
    """What `burnish seam score` computes.

    Prompts that the reward model was trained on are left out.
    """

    policy: ModelConfig
    reward: ModelConfig


@dataclass(frozen=True, slots=True, kw_only=True)
class Computed:
    """The table, and what was met while it was made.

    `fewer` counts the prompts with fewer worse answers than asked for, and `left_out` what the source did not take.
    `no_reward` counts worse answers without a reward, because they do not fit into the reward model, `no_logprob` those
    that do not fit into the policy, and `no_gold` the prompts whose gold answer does not fit into both. `trained_on`
    counts the prompts on which the reward model was trained. They are not in the table. `spent` is what calls to a
    server cost, or None if none is asked.
    """

    rows: list[TableRow]
    most: int
    fewer: int
    left_out: Mapping[str, int]
    bad_rows: int
    no_reward: int
    no_gold: int
    no_logprob: int = 0
    trained_on: int = 0
    spent: Spent | None = None

    def words(self) -> Iterator[str]:
        """Yield what people should know about the table."""
        if self.fewer:
            yield f"{plural(self.fewer, 'prompt')} with fewer than {self.most:,} worse answers"
        yield from not_taken_words(self.left_out)
        if without := self.left_out.get(LeftOut.NO_GOLD):
            reason = "the checker finds no final answer in the gold answer"
            yield f"{plural(without, 'prompt')} without a worse answer, because {reason}"
        if self.trained_on:
            yield seen_words(self.trained_on)
        if self.bad_rows:
            yield f"{plural(self.bad_rows, 'row')} left out that cannot be used"
        if self.no_reward:
            yield f"{plural(self.no_reward, 'worse answer')} left out that do not fit into the reward model"
        if self.no_logprob:
            yield f"{plural(self.no_logprob, 'worse answer')} left out that do not fit into the policy"
        if self.no_gold:
            yield f"{plural(self.no_gold, 'prompt')} left out whose gold answer does not fit into both models"
        if self.spent is not None:
            yield spent_words(self.spent)


def compute(options: ScoreOptions, store: Path, own_backend: Callable[[], Backend] | None = None) -> Computed:
    """Find worse answers, score all answers with both models, and return the table.

    Finished work is kept in the store, so that the same call continues after a kill. Raises ConfigError for a model or
    a setting that cannot be used, DataError for a row that cannot be used, and BackendError if a library is missing.
    """
    given = read_prompts(options.data, options.limit, options.seed)
    prompts = unseen_prompts(given, options.reward, options.data.source)
    context = _context(options, store, own_backend)
    steps = Steps(context.executor(), context.engines, TextAnswers(), "text", options.seed)
    rows = as_rows(steps, prompts)
    policy = context.model(steps, POLICY)
    found = worse_answers(options, context, steps, rows, policy)
    answers = candidates(found)
    scored = steps.score(policy, answers, steps.gold(answers), "of the policy", leave_long=True)
    rewarded = reward(steps, context.model(steps, REWARD), answers, "of all answers")
    done = _table(options, prompts, read_worse(found), read_scores(scored), read_scores(rewarded))
    if not isinstance(options.source, ChatServerSettings):
        return done
    return dataclasses.replace(done, spent=context.calls().spent(context.run, options.source.prices))


def _context(options: ScoreOptions, store: Path, own_backend: Callable[[], Backend] | None) -> RunContext:
    wanted = [
        WantedModel(POLICY, options.policy, as_it_is=True),
        WantedModel(REWARD, options.reward, Head.REWARD, as_it_is=True),
        *options.source.models(SOURCE_FIELD),
    ]
    return context_of(wanted, options.policy, options.execution, store, own_backend, options.out, options.budget)


def context_of(
    wanted: list[WantedModel],
    policy: ModelConfig | None,
    execution: Execution,
    store: Path,
    own_backend: Callable[[], Backend] | None,
    folder: Path = Path(),
    budget: CallBudget = CallBudget(),  # noqa: B008 it is frozen
) -> RunContext:
    """Find the models, and return everything that a run of these verbs works with.

    `policy` is the model that is asked most, and decides the number formats. It is None if no local model is asked. In
    the `folder`, people find the pairs that they have to judge. The calls of all sessions with one folder count against
    one `budget`.
    """
    context = RunContext(
        store=open_store(store),
        models=find_models(wanted, in_one_process(execution, "SEAM"), offline_ok=False),
        student=policy,
        execution=execution,
        run=short_hash("seam", str(folder.resolve())),
        folder=folder,
        budget=budget,
        terminal=Terminal(),
        own_backend=own_backend,
    )
    if own_backend is None:
        check_heads(context.models)
    if any(one.field == REWARD for one in wanted):
        for doubt in reward_doubts(context.models[REWARD]):
            context.terminal.say(doubt)
    return context


def _table(
    options: ScoreOptions,
    prompts: Prompts,
    found: list[WorseAnswers],
    scores: Mapping[str, Score],
    rewards: Mapping[str, Score],
) -> Computed:
    """Put the numbers of both models together."""
    example_of = {row.id: row for row in prompts.examples}
    rows: list[TableRow] = []
    left_out: Counter[str] = Counter()
    fewer = no_reward = no_logprob = no_gold = 0
    for one in found:
        left_out.update(one.left_out)
        fewer += len(one.texts) < options.most
        example = example_of[one.example_id]
        texts = [example.reference or "", *one.texts]
        answers = [_answer(candidate_id(example.id, number), scores, rewards) for number in range(len(texts))]
        gold = answers[0]
        if gold is None:
            no_gold += 1
            continue
        worse = [(answer, text) for answer, text in zip(answers[1:], texts[1:], strict=True) if answer is not None]
        unscored = sum(candidate_id(example.id, number) not in scores for number in range(1, len(texts)))
        no_logprob, no_reward = no_logprob + unscored, no_reward + len(one.texts) - len(worse) - unscored
        values: dict[str, Any] = {
            ID: example.id,
            PROMPT: prompt_value(example.prompt, prompts.as_turns),
            SOURCE: options.source.kind,
            GOLD: _plain(gold, texts[0]),
            WORSE: [_plain(answer, text) for answer, text in worse],
        }
        responses = tuple(answer for answer, _ in worse)
        rows.append(TableRow(where=example.id, id=example.id, gold=gold, worse=responses, values=values))
    _check_told_apart(rows, options.reward)
    return Computed(
        rows=rows,
        most=options.most,
        fewer=fewer,
        left_out=dict(sorted(left_out.items())),
        bad_rows=prompts.bad_rows,
        no_reward=no_reward,
        no_gold=no_gold,
        no_logprob=no_logprob,
        trained_on=prompts.trained_on,
    )


def _answer(id_: str, scores: Mapping[str, Score], rewards: Mapping[str, Score]) -> Response | None:
    """Return an answer with both numbers, or None if one is missing because the answer does not fit into a model."""
    if id_ not in rewards or id_ not in scores:
        return None
    score = scores[id_]
    answer = Response(reward=rewards[id_].value, logprob=score.value, tokens=score.tokens)
    check_response(answer, f"answer {id_}", "policy")
    return answer


def _plain(answer: Response, text: str) -> dict[str, Any]:
    return {"reward": answer.reward, "logprob": answer.logprob, "tokens": answer.tokens, TEXT: text}


LEAST_TO_TELL = 20
"""So many equal rewards are no chance: the reward model tells nothing apart."""


def _check_told_apart(rows: list[TableRow], model: ModelConfig) -> None:
    """Raise DataError if there is no row, or if the reward model gives the same reward to all of many answers."""
    if not rows:
        raise DataError(
            "no prompt is left, because no gold answer fits into both models; use shorter prompts, or models with a "
            "longer context"
        )
    rewards = [one.reward for row in rows for one in (row.gold, *row.worse)]
    if len(rewards) >= LEAST_TO_TELL and len(set(rewards)) == 1:
        raise DataError(
            f"--reward: {model.source!r} gives all {len(rewards):,} answers the reward {rewards[0]:g}, so it tells "
            "nothing apart; check that it is a trained reward model, and that it reads the whole answer"
        )
