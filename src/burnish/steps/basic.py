"""The basic steps of every method that need a model: base, train, answer, score. Each is a stage.

Nothing here reads an artifact while stages are planned, because a dry run makes the same calls without any results.
Artifacts are read only inside the `run` functions.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Mapping
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from burnish.config import Decoding, ModelConfig, Objective, TrainSettings
from burnish.errors import DataError
from burnish.models.card import ModelCard, Weights, copy_model, take_files, write_card
from burnish.protocols import Grader, Learns, SamplingKey
from burnish.steps.answering import Answering, Scoring
from burnish.steps.artifacts import (
    CURVE,
    DEMONSTRATIONS,
    SCORES,
    TRAINING,
    Rows,
    read_chosen,
    read_demonstrations,
)
from burnish.steps.data import SHARED, DataSteps, Handling
from burnish.steps.engines import Engines
from burnish.steps.hosts import Hosts
from burnish.steps.lazy import preference_rows, training_rows
from burnish.steps.orders import RowOrder
from burnish.store.files import pretty, write_atomic, write_rows
from burnish.store.keyed_rows import KeyedRows, LazyRows
from burnish.store.keys import texts_of
from burnish.store.listings import write_listings
from burnish.store.runners import Runner
from burnish.store.shards import Shard
from burnish.store.stages import Division, Work
from burnish.tasks.answers import matchers
from burnish.types import (
    Artifact,
    Demonstration,
    DemonstrationSource,
    Example,
    Head,
    TrainingRow,
)


class Steps(DataSteps):
    """Builds and runs all basic stages of one seed: those of `DataSteps`, and those that need a model.

    `engines` are what trains, generates and scores.
    """

    def __init__(
        self,
        runner: Runner,
        engines: Engines,
        task: Grader,
        task_kind: str,
        seed: int,
        learned_kind: str | None = None,
    ) -> None:
        super().__init__(runner, task, task_kind, seed, learned_kind)
        self.engines, self.order = engines, RowOrder(seed)
        self.hosts = Hosts()
        # How to train each model once more, by the model's fingerprint.
        self._trained: dict[str, Callable[[Steps], Artifact]] = {}

    def reordered(self, order: int) -> Steps:
        """Return the same steps, except that trainings take their rows in another order. Order 0 is the usual one."""
        other = copy.copy(self)
        other.order, other._trained = RowOrder(self.seed, order), {}
        other.label = f"{self.label} order {order + 1}"
        return other

    def again(self, model: Artifact, order: int) -> Artifact | None:
        """Train a model once more as these steps trained it, but in another order of rows.

        After preference optimisation only the last training is repeated, from the same policy. Returns None if these
        steps did not train the model.
        """
        train = self._trained.get(model.fingerprint)
        return None if train is None else train(self.reordered(order))

    def remember(self, model: Artifact, train: Callable[[Steps], Artifact]) -> None:
        """Remember how a model was trained, for `again`."""
        self._trained[model.fingerprint] = train

    def base(self, model: ModelConfig, weights: Artifact, head: Head = Head.NONE) -> Artifact:
        """Describe a base model. It is identified by the content of its weights, so moving its folder changes nothing.

        A model with a trained `head` is a classifier or a reward model.
        """
        # Who serves it says nothing about the model.
        model = model.model_copy(update={"serve": None})

        def run(work: Work) -> None:
            card = ModelCard(
                base=model,
                content=weights.fingerprint,
                weights=Weights.BASE,
                classifier=head is Head.CLASSIFIER,
                reward=head is Head.REWARD,
            )
            write_card(work.path, card)

        # The weights' fingerprint replaces source and revision. An unset template is left out, so that base stages from
        # before that setting keep their fingerprint.
        left_out = {"source", "revision"} | ({"chat_template"} if model.chat_template is None else set[str]())
        config = model.model_dump(mode="json", exclude=left_out) | (
            {"head": str(head)} if head is not Head.NONE else {}
        )
        # All seeds start from the same base model.
        return self.stage("base", config, {"weights": weights}, run, model.source, SHARED)

    def _learned(self, examples: Mapping[str, Example]) -> Callable[[str, str, bool], bool]:
        """Return a function that takes an example id, an answer and whether it is finished, and says whether there is
        something to learn.

        An answer that was cut at the token limit has nothing to learn.
        """
        task = self.task
        # Some tasks have a rule of their own for what is worth learning. For all others a final answer is needed. The
        # question takes longer than the rule, so it is asked once for all rows.
        if isinstance(task, Learns):
            return lambda _, text, finished: finished and task.learned(text) is not None
        # Nothing is executed: a task that executes answers finds them without it.
        matcher_of = matchers(task, lambda: examples, ())
        return lambda id_, text, finished: finished and matcher_of(id_).extract(text) is not None

    def _learnable(
        self, examples: KeyedRows[Example], current: KeyedRows[Demonstration]
    ) -> tuple[NDArray[np.bool_], LazyRows[TrainingRow]]:
        """Return which of the N examples have a demonstration with an answer to learn, and the rows to learn."""
        learned, place_N = self._learned(examples), current.places(examples.sorted_keys)
        answers = current.fields_at(place_N, "example_id", "completion", "finished")
        fits_N = np.fromiter((learned(*answer) for answer in answers), dtype=np.bool_)
        chosen_M = np.flatnonzero(fits_N)
        return fits_N, training_rows(examples, current, chosen_M, place_N[chosen_M])

    def train(
        self,
        base: Artifact,
        rows: Rows,
        demonstrations: Artifact,
        settings: TrainSettings,
        label: str,
        checkpoints: int = 0,
        same: Artifact | None = None,
    ) -> Artifact:
        """Finetune from the base model on these rows' demonstrations.

        A demonstration without an answer is left out and counted. `checkpoints` is the number of intermediate models to
        keep. `same` is this training with checkpoints: if it is finished, its last model is taken. The stage raises
        DataError if no demonstration has an answer to learn.
        """

        def run(work: Work) -> None:
            if same is not None and self._taken(same, work):
                return
            # References stay out of reach here: no training can use them by mistake.
            examples, current = rows.prompts_only(), read_demonstrations(demonstrations)
            fits_N, training = self._learnable(examples, current)
            if not len(training):
                raise DataError(
                    f"{self.label} {label}: none of {len(examples)} demonstrations has an answer to learn. "
                    "Every answer was cut or has no final answer; train the model that wrote them longer, or raise "
                    "decode.max_new_tokens"
                )
            tokens = self.engines.trainer().train(
                base, training, settings, self.order.training_seed, work.path, checkpoints
            )
            # `check_cross_label` reads this record later.
            trained_on, without = texts_of(examples.sorted_keys[fits_N]), len(examples) - len(training)
            write_listings(work.path / TRAINING, {"trained_on": trained_on, "without_answer": without})
            work.count(rows=len(training), tokens=tokens)

        config = {
            "train": settings.semantic(),
            "seed": self.seed,
            "checkpoints": checkpoints,
            "task": self.learned_kind,  # it decides which demonstrations have an answer to learn
            **self.order.identity,
            **rows.config,
        }
        inputs = {"base": base, "demonstrations": demonstrations, **rows.inputs}
        trained = self.stage("train", config, inputs, run, label, Handling(after=() if same is None else (same,)))
        self.hosts.inherit(trained, base, settings.lora is not None)
        self._trained[trained.fingerprint] = lambda steps: steps.train(base, rows, demonstrations, settings, label)
        return trained

    def _taken(self, same: Artifact, work: Work) -> bool:
        """Take the files of the same training, and say whether it is finished."""
        # The number of checkpoints changes no weights. So these are the files that the training would write.
        done = self.runner.store.done(same.kind, same.fingerprint)
        if done is not None:
            take_files(done.path, work.path)
            work.count(**done.counts)
        return done is not None

    def train_preferences(
        self,
        policy: Artifact,
        rows: Rows,
        preferred: Artifact,
        settings: TrainSettings,
        objective: Objective,
        label: str,
    ) -> Artifact:
        """Train a policy further on preferences.

        If the round kept no preference, the policy is copied as it is.
        """

        def run(work: Work) -> None:
            examples, chosen = rows.prompts_only(), read_chosen(preferred)
            training = preference_rows(examples, chosen)
            if training:
                trained = self.engines.trainer().train_preferences(
                    policy, training, settings, objective, self.order.training_seed, work.path
                )
                write_rows(work.path / CURVE, trained.curve)
                work.count(rows=len(training), tokens=trained.tokens)
            else:
                # A stage must have a model as its result, because the next round trains it.
                copy_model(Path(policy.path), work.path)
            ids = sorted({row.example_id for row in chosen})
            write_atomic(work.path / TRAINING, pretty({"trained_on": ids, "without_answer": 0, "pairs": len(chosen)}))

        config = {
            # `lora` is not read: whether an adapter or all weights are trained depends on the policy alone.
            "train": settings.semantic(exclude={"lora"}),
            "objective": objective.semantic(),
            "seed": self.seed,
            **self.order.identity,
            **rows.config,
        }
        inputs = {"policy": policy, "preferred": preferred, **rows.inputs}
        trained = self.stage("train_preferences", config, inputs, run, label)
        self.hosts.inherit(trained, policy)
        self._trained[trained.fingerprint] = lambda steps: steps.train_preferences(
            policy, rows, preferred, settings, objective, label
        )
        return trained

    def score(self, model: Artifact, rows: Rows, answers: Artifact, label: str, leave_long: bool = False) -> Artifact:
        """Compute log p(answer and end | prompt) for these rows' answers, in nats.

        An answer that was cut has no end, so it has no score. With `leave_long`, an answer that does not fit into the
        model has none either; without it, the stage raises DataError, which names the row. It also raises DataError if
        a log-probability is NaN or infinite. Raises ConfigError if the model's server cannot score.
        """

        scoring = Scoring(
            scorer=lambda: self.hosts.scorer(model, self.engines),
            model=model,
            rows=rows,
            answers=answers,
            leave_long=leave_long,
        )
        inputs = {"model": model, "answers": answers, **rows.inputs}
        # Stages from before `leave_long` keep their identity.
        config = rows.config | ({"too_long": "left_out"} if leave_long else {}) | self.hosts.scoring(model)
        handling = self._in_parts(model, SCORES, scoring.run)
        return self.stage("score", config, inputs, scoring.run, f"log-probabilities {label}", handling)

    def answer(
        self,
        model: Artifact,
        rows: Rows,
        decode: Decoding,
        purpose: str,
        source: DemonstrationSource,
        round_: int = 0,
        samples: int = 1,
    ) -> Artifact:
        """Let a model answer these rows' prompts, each `samples` times.

        If the run is killed, finished batches are kept. Raises ConfigError if the model's server cannot answer in this
        way.
        """
        # Purpose and round are part of the key, so that test answers and proposals have draws of their own.
        key = SamplingKey(seed=self.seed, stage=purpose, round=round_)

        answering = Answering(
            generator=lambda: self.hosts.generator(model, self.engines),
            model=model,
            rows=rows,
            decode=decode,
            key=key,
            source=source,
            samples=samples,
        )
        config = {
            "decode": decode.model_dump(mode="json"),
            # Greedy and beam search draw nothing, so all seeds share their answers.
            "seed": self.seed if decode.temperature > 0 else None,
            "purpose": purpose,
            "source": str(source),
            "round": round_,
            "samples": samples,
            **self.hosts.answering(model, decode),
            **rows.config,
        }
        inputs = {"model": model, **rows.inputs}
        handling = self._in_parts(model, DEMONSTRATIONS, answering.run)
        return self.stage("answer", config, inputs, answering.run, f"answers for {purpose} {round_}", handling)

    def _in_parts(self, model: Artifact, file: str, run: Callable[[Work, Shard | None], None]) -> Handling:
        """Return how a stage is run that writes the rows of `file` in batches."""
        # A server shares out its work itself.
        division = Division(file=file, run=run) if self.hosts.of(model) is None else None
        return Handling(resumable=True, division=division)


def checkpoint(model: Artifact, number: int) -> Artifact:
    """Return an intermediate model of a training as an artifact of its own.

    `number` counts from 1. The fingerprint is the training's, followed by the name of the checkpoint's folder.
    """
    # A checkpoint lies inside its training's folder and has no manifest of its own.
    name = f"checkpoint-{number:02d}"
    return Artifact(path=str(Path(model.path) / name), kind="train", fingerprint=f"{model.fingerprint}/{name}")
