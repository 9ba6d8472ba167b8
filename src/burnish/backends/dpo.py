"""Preference training with transformers' Trainer, which is only configured. None of its methods is overridden.

The reference model is the policy itself before the first step. Its log-probabilities are computed once at the start, so
that no second model has to stay in memory. Models that supervised.py does not serve are trained by TRL's DPOTrainer.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, TypeAlias

import torch
from transformers import Trainer, TrainingArguments

from burnish.backends.arguments import Arguments, on_one_device, run
from burnish.backends.device import Runtime
from burnish.backends.load import located, max_positions, renderer_of
from burnish.backends.policies import save, trainable
from burnish.backends.preferences import PairTokens, PreferenceLoss, TakesPoints
from burnish.backends.render import Renderer
from burnish.backends.supervised import Supervised, serves
from burnish.config import Objective, TrainSettings
from burnish.models.card import Weights, read_card
from burnish.protocols import Trained, TrainingPoint
from burnish.types import PreferenceRow, TrainingRow

POINTS = 20
"""Number of points of the training curve."""
_Done: TypeAlias = tuple[Any, tuple[TrainingPoint, ...]]
"""A trainer after its training, and the training curve."""


class PreferenceTraining:
    """One training of a policy on preferences, whose result is written into a directory.

    If the policy is an adapter, only the adapter is trained further. If it has all weights, all weights are trained.
    """

    def __init__(
        self, policy: Path, settings: TrainSettings, objective: Objective, seed: int, runtime: Runtime
    ) -> None:
        self.policy, self.settings, self.objective = policy, settings, objective
        self.card = located(read_card(policy), runtime.sources)
        # The reference of DPO is the policy of the previous round (as in the released code), never the base model.
        assert self.card.weights is not Weights.BASE, f"{policy}: a policy is a finetuned model"
        self.arguments = Arguments(settings=settings, seed=seed, runtime=runtime, card=self.card)
        self.renderer = renderer_of(self.card.base)

    def optimize(self, rows: Sequence[PreferenceRow], into: Path) -> Trained:
        """Train, save the policy, and return the number of tokens and the training curve.

        Raises DataError with the row's id if a row is too long, and BackendError if several processes cannot train as
        one does.
        """
        model = self._model()
        pairs = self.tokens(model, rows)
        train = self._by_the_plain_trainer if serves(model) else self._by_trl
        trainer, curve = train(model, pairs, into / "trainer")
        save(trainer, self.card, into)
        return Trained(tokens=round(self.settings.epochs * sum(pair.total for pair in pairs)), curve=curve)

    def tokens(self, model: Any, rows: Sequence[PreferenceRow]) -> list[PairTokens]:
        """Return the rows as token ids. Raises DataError with the row's id if a row is too long."""
        # If a row were cut, it would lose the token that ends the answer.
        limit = self.settings.max_tokens or max_positions(model)
        return [pair_tokens(self.renderer, row, limit) for row in rows]

    def _by_the_plain_trainer(self, model: Any, pairs: Sequence[PairTokens], scratch: Path) -> _Done:
        # As with TRL. The reference is measured without dropout, so the policy must be, too.
        for part in model.modules():
            if isinstance(part, torch.nn.Dropout):
                part.p = 0.0
        # A pair is two rows of a forward pass.
        lengths = [2 * pair.longest for pair in pairs]
        arguments, steps = self.arguments.planned(scratch, lengths)
        items: Any = [(one, sum(map(len, step))) for step in steps for one in step]
        with Supervised(model) as supervised:
            loss = PreferenceLoss(self.objective, pairs, self.renderer.tokenizer.pad_token_id, supervised)
            curve = TakesPoints(loss, self._every(len(pairs)))
            trainer = Trainer(
                model=model,
                args=on_one_device(TrainingArguments(**arguments)),
                train_dataset=items,
                data_collator=lambda batch: loss.batch(*batch[0]),
                compute_loss_func=loss,
                callbacks=[*self.arguments.callbacks(len(pairs)), curve],
            )
            curve.accelerator = trainer.accelerator
            loss.measure_reference(trainer, self.arguments.limit.passes(range(len(pairs)), lengths))
            run(trainer, self.settings)
        return trainer, tuple(curve.points)

    def _by_trl(self, model: Any, pairs: Sequence[PairTokens], scratch: Path) -> _Done:
        # Imported here, because few models need it and importing TRL takes 0.3 seconds.
        from burnish.backends.trl_dpo import curve_of  # noqa: PLC0415

        trainer = self.trl(model, pairs, scratch)
        run(trainer, self.settings)
        return trainer, curve_of(trainer)

    def trl(self, model: Any, pairs: Sequence[PairTokens], scratch: Path) -> Any:
        """Return TRL's DPOTrainer, configured."""
        from burnish.backends.trl_dpo import trl_trainer  # noqa: PLC0415

        arguments = self.arguments.drawn(scratch, len(pairs), 2 * max(pair.longest for pair in pairs))
        arguments |= {"logging_strategy": "steps", "logging_steps": self._every(len(pairs))}
        callbacks = self.arguments.callbacks(len(pairs))
        return trl_trainer(model, arguments, self.objective, pairs, self.renderer.tokenizer, callbacks)

    def _every(self, pairs: int) -> int:
        """Return the number of steps from one point of the curve to the next."""
        return max(1, self.arguments.steps(pairs) // POINTS)

    def _model(self) -> Any:
        return trainable(self.policy, self.card, self.renderer, self.arguments)


def pair_tokens(renderer: Renderer, row: PreferenceRow, limit: int) -> PairTokens:
    """Render both answers in the same way as every other row. `limit` is the most tokens that a row may have.

    Raises DataError with the row's id if a row is longer.
    """
    chosen, rejected = (
        renderer.row(TrainingRow(id=row.id, prompt=row.prompt, completion=text), limit)
        for text in (row.chosen, row.rejected)
    )
    # Both rows begin with the same ids, because the prompt is turned into tokens alone, never together with an answer.
    cut = chosen.prompt_length
    return PairTokens(prompt=chosen.ids[:cut], chosen=chosen.ids[cut:], rejected=rejected.ids[cut:])
