"""Training of policies with reinforcement learning. TRL's trainers are only configured (see trl_rl.py).

The reference of the penalty for KL is the policy with which the training starts.
"""

from __future__ import annotations

import copy
import math
from array import array
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from datasets import Dataset
from transformers import GenerationConfig, TrainerCallback, set_seed

from burnish.algorithms.reinforcement import PolicyPlan, PolicyTrained, Rewards
from burnish.backends.algorithms import TrainerParts, trainer_of
from burnish.backends.arguments import Arguments, run
from burnish.backends.device import Runtime
from burnish.backends.load import located, max_positions, renderer_of
from burnish.backends.policies import save, trainable
from burnish.backends.render import Renderer, check_fits
from burnish.backends.trl_rl import arguments_of
from burnish.errors import BackendError
from burnish.models.card import Weights, read_card
from burnish.types import Completion, Prompt

AS_IT_IS = "{{ messages[0]['content'] }}"
"""A chat template that writes a message as it is."""


class Reinforcement:
    """One training of a policy with RL, whose result is written into a directory.

    If the policy is an adapter, only the adapter is trained further. If it has all weights, all weights are trained.
    """

    def __init__(self, policy: Path, plan: PolicyPlan, seed: int, runtime: Runtime) -> None:
        self.policy, self.plan, self.seed = policy, plan, seed
        self.card = located(read_card(policy), runtime.sources)
        assert self.card.weights is not Weights.BASE, f"{policy}: a policy is a finetuned model"
        self.arguments = Arguments(settings=plan.optimising, seed=seed, runtime=runtime, card=self.card)
        self.renderer = renderer_of(self.card.base)

    def learn(self, prompts: Sequence[Prompt], rewards: Rewards, into: Path) -> PolicyTrained:
        """Train and save the policy.

        Raises DataError with the row's id if a prompt and its answer do not fit into the model, and BackendError if the
        KL is no number. Errors of `rewards` pass through.
        """
        set_seed(self.seed)
        model = trainable(self.policy, self.card, self.renderer, self.arguments)
        stop = StopsAtKl(self.plan.training.max_kl)
        kept = model.generation_config  # the trainer gets another one
        trainer = self._trainer(model, prompts, rewards, into / "trainer", stop)
        run(trainer, self.plan.optimising)
        model.generation_config = kept
        save(trainer, self.card, into)
        tokens = round(trainer.state.num_input_tokens_seen * self.plan.training.algorithm.passes)
        return PolicyTrained(tokens=tokens, kls=tuple(stop.kls), passed_bound=stop.passed)

    def _trainer(self, model: Any, prompts: Sequence[Prompt], rewards: Rewards, scratch: Path, stop: StopsAtKl) -> Any:
        training, new = self.plan.training, self.plan.max_new_tokens
        ids = [array("i", self.renderer.prompt(one.messages, one.id)) for one in prompts]
        check_fits(prompts, ids, new, max_positions(model))
        updates = training.steps * training.updates
        arguments = self.arguments.sampled(scratch, updates, max(map(len, ids)) + new)
        arguments |= arguments_of(training, new, arguments["gradient_accumulation_steps"])
        # What ends an answer is the same as in every other stage. TRL reads it from here.
        model.generation_config = GenerationConfig(
            eos_token_id=self.renderer.ends, pad_token_id=self.renderer.tokenizer.pad_token_id
        )
        tokenizer = tokenizer_of(self.renderer)
        parts = TrainerParts(
            model=model,
            arguments=arguments,
            rewards=_Sampled(self.renderer, prompts, rewards).rewards,
            dataset=_dataset(self.renderer, prompts, ids, tokenizer),
            tokenizer=tokenizer,
            callbacks=[*self.arguments.callbacks(len(prompts), updates), stop],
        )
        return trainer_of(training.algorithm, parts)


def tokenizer_of(renderer: Renderer) -> Any:
    """Return a copy of the tokenizer that turns a conversation of one message into the ids of the message alone."""
    # Ours is cached and used for other models, too, so its template must stay.
    own = copy.deepcopy(renderer.tokenizer)
    own.chat_template = AS_IT_IS
    return own


def _dataset(renderer: Renderer, prompts: Sequence[Prompt], ids: Sequence[Sequence[int]], tokenizer: Any) -> Dataset:
    """Return the prompts as TRL's trainers take them: they turn texts into ids themselves.

    Raises BackendError with the row's id if its ids are not those of burnish.
    """
    asked = [[{"role": "user", "content": renderer.prompt_text(one.messages, one.id)}] for one in prompts]
    theirs = tokenizer.apply_chat_template(asked, add_generation_prompt=True, tokenize=True, return_dict=True)
    for prompt, own, other in zip(prompts, ids, theirs["input_ids"], strict=True):
        if list(own) != list(other):
            raise BackendError(
                f"row {prompt.id}: TRL gives its prompt other tokens than burnish does, so that the policy would be "
                "trained on other prompts than it answers; report this with the name of the model"
            )
    return Dataset.from_list([{"prompt": one, "row": row} for row, one in enumerate(asked)])


class _Sampled:
    """Turns what TRL sampled into answers, and asks for their rewards."""

    def __init__(self, renderer: Renderer, prompts: Sequence[Prompt], rewards: Rewards) -> None:
        self.renderer, self.prompts, self.of = renderer, prompts, rewards
        self.ends = frozenset(renderer.ends)

    # TRL passes columns of the dataset and much more, all by name.
    def rewards(self, *, completion_ids: Sequence[Sequence[int]], row: Sequence[int], **_: Any) -> list[float | None]:
        """Return the rewards of the answers of a step."""
        seen: dict[int, int] = {}
        answers: list[Completion] = []
        for place, ids in zip(row, completion_ids, strict=True):
            # TRL cuts answers after their first end.
            finished = bool(ids) and ids[-1] in self.ends
            kept = ids[: len(ids) - finished]
            sample = seen.get(place, 0)
            seen[place] = sample + 1
            answers.append(
                Completion(
                    id=self.prompts[place].id,
                    sample=sample,
                    text=self.renderer.text(kept),
                    finished=finished,
                    tokens=len(ids),
                )
            )
        return list(self.of(answers))


class StopsAtKl(TrainerCallback):
    """Takes the KL of each step, in nats for an answer, and stops the training when it is above a bound."""

    def __init__(self, bound: float | None) -> None:
        self.bound = bound
        self.kls: list[float] = []
        self.passed = False

    def on_log(self, args: Any, state: Any, control: Any, logs: Any = None, **_: Any) -> Any:
        """Read the step's KL, and tell the trainer whether to stop. Raises BackendError if the KL is no number."""
        if "completions/mean_length" not in logs:  # the last line of the log sums up the training
            return control
        # The trainers log the mean of a token. All tokens of an answer, its end among them, count.
        kl = math.nan if logs["kl"] is None else logs["kl"] * logs["completions/mean_length"]
        if not math.isfinite(kl):
            raise BackendError(
                f"the KL of step {len(self.kls) + 1} is {kl}, which is no number; lower learning_rate or raise beta"
            )
        self.kls.append(kl)
        self.passed = self.bound is not None and kl > self.bound
        control.should_training_stop = control.should_training_stop or self.passed
        return control
