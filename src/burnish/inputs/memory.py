"""What the trainings, answers and scores of a plan need in memory, as an upper bound."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

from burnish import backends
from burnish.config import Decoding, DType, Execution, ModelConfig, PolicyTraining, TrainSettings
from burnish.config.executors import needs_of
from burnish.errors import BackendError
from burnish.models.location import BUILTIN
from burnish.models.memory import Memory, PassSize, Shape, answering, reinforcing, scoring, training
from burnish.report.text import memory
from burnish.store import identity
from burnish.store.runners import StageRecord

TRAINED = {
    "train": "finetuning",
    "train_preferences": "preference training",
    "train_classifier": "training of a classifier",
    "train_rewards": "training of a reward model",
}
"""{stage that trains: what it is called}"""
ANSWERED = "answer"
REINFORCED = "train_policy"
READ = {"score": "log-probabilities", "judge": "comparisons", "reward": "rewards"}
"""{stage that reads rows with a model: what it is called}"""
WORK = TRAINED | {ANSWERED: "answers", REINFORCED: "reinforcement learning"} | READ
"""{stage that is planned for: what it is called}"""
UP = ("base", "policy", "model", "judge")
"""The inputs through which a stage has its model."""
PAIRED = {"train_preferences": 2, "train_classifier": 2, "train_rewards": 2}
"""{stage: rows of a forward pass for each of its items} where these are more than one."""


@dataclass(frozen=True, slots=True, kw_only=True)
class MemoryNeed:
    """What work of one kind with one model needs if its passes are full. `total` and `parts` are bytes on each
    device."""

    work: str
    model: str
    total: int
    parts: Memory


def memory_words(needs: Sequence[MemoryNeed]) -> Iterator[str]:
    """Yield the needs as lines for a terminal."""
    if needs:
        yield "memory of a device if its passes are full, calculated (libraries not counted: docs/scale.md):"
    for need in needs:
        parts = {
            "weights": need.parts.weights,
            "optimiser": need.parts.optimizer,
            "gradients": need.parts.gradients,
            "activations": need.parts.activations,
            "cache": need.parts.cache,
            "or while sampling": need.parts.sampling,
            "holes": need.parts.holes,
        }
        shown = ", ".join(f"{name} {memory(size)}" for name, size in parts.items() if size)
        yield f"{memory(need.total):>12}  {need.work} with {need.model} ({shown})"


def not_built_in(sources: Mapping[str, ModelConfig]) -> dict[str, ModelConfig]:
    """Return the models that are not built in. Those are tiny, and to read their configs takes seconds of imports."""
    return {content: model for content, model in sources.items() if not model.source.startswith(BUILTIN)}


def memory_needs(
    records: Sequence[StageRecord], sources: Mapping[str, ModelConfig], execution: Execution
) -> tuple[MemoryNeed, ...]:
    """Return what each kind of training, answering and scoring needs that is still to run, the largest first.

    `sources` maps the content of a base model to its settings. A model whose config cannot be read has no need. The
    passes are taken to be full, and all of their tokens to be learned.
    """
    by_fingerprint = {record.fingerprint: record for record in records}
    # By work and model. Of several trainings of one kind, the largest counts.
    found: dict[tuple[str, str], MemoryNeed] = {}
    for record in records:
        if record.reused or record.stage.name not in WORK:
            continue
        chain = list(_chain(record, by_fingerprint))
        model = _base(chain, sources)
        if model is None:
            continue
        try:
            parts = _needed(chain, model, execution, _reward_models(record, by_fingerprint, sources))
            if parts is not None and not backends.keeps_holes(execution):
                parts = replace(parts, holes=0)
        except BackendError:  # the model, the device or a library is not here; the rest of the plan is still useful
            continue
        if parts is None:
            continue
        need = MemoryNeed(work=WORK[record.stage.name], model=model.source, total=parts.with_holes, parts=parts)
        known = found.get((need.work, need.model))
        if known is None or known.total < need.total:
            found[need.work, need.model] = need
    return tuple(sorted(found.values(), key=lambda need: (-need.total, need.work, need.model)))


def _chain(record: StageRecord, records: Mapping[str, StageRecord]) -> Iterator[StageRecord]:
    """Yield a stage and those from which its model comes, down to the base model if it is in the plan."""
    current: StageRecord | None = record
    while current is not None:
        yield current
        above = next((current.stage.inputs[name] for name in UP if name in current.stage.inputs), None)
        current = None if above is None else records.get(above.fingerprint)


def _base(chain: Sequence[StageRecord], sources: Mapping[str, ModelConfig]) -> ModelConfig | None:
    """Return the settings of the base model at the end of a chain, or None if its config cannot be read."""
    if chain[-1].stage.name != "base":
        return None
    weights = chain[-1].stage.inputs["weights"].fingerprint
    # The hub did not answer when the model was looked up. Asking it again for the config would take minutes.
    return None if identity.unresolved([weights]) else sources.get(weights)


def _reward_models(
    record: StageRecord, records: Mapping[str, StageRecord], sources: Mapping[str, ModelConfig]
) -> list[ModelConfig]:
    """Return the reward models that a stage asks while it trains."""
    found: list[ModelConfig] = []
    for name, artifact in record.stage.inputs.items():
        above = records.get(artifact.fingerprint) if name.endswith("reward_model") else None
        if above is not None and (model := _base(list(_chain(above, records)), sources)) is not None:
            found.append(model)
    return found


def _needed(
    chain: Sequence[StageRecord], model: ModelConfig, execution: Execution, reward_models: Sequence[ModelConfig]
) -> Memory | None:
    """Return what the first stage of a chain needs, or None if a model is of an unusual form."""
    shape = backends.shape_of(model)
    if shape is None:
        return None
    stage, limits = chain[0].stage, backends.limits_of(model, shape.parameters, execution)
    if stage.name == REINFORCED:
        return _reinforced(chain, model, shape, execution, reward_models)
    if stage.name in TRAINED:
        settings = _trained_with(chain)
        size = _pass_size(stage.name, settings, model, execution, limits.passed)
        shared = needs_of(execution.needs, stage.name).processes if execution.split_training != "none" else 1
        return training(shape, settings, model.dtype, size, quantised=model.quantise is not None, split_over=shared)
    dtype = _run_in(chain, model)
    if stage.name == ANSWERED:
        decode = Decoding.model_validate(stage.config["decode"])
        # Every row has at least its new tokens in the cache.
        rows = max(1, limits.cached // decode.max_new_tokens)
        return answering(shape, dtype, limits.cached, limits.cached, rows)
    # A head gives a few numbers a row and no logits.
    head = stage.name == "reward" or stage.config.get("kind", "likelihood") != "likelihood"
    return scoring(shape, dtype, limits.scored, 0 if head else min(limits.scored, limits.logits // shape.vocabulary))


def _reinforced(
    chain: Sequence[StageRecord],
    model: ModelConfig,
    shape: Shape,
    execution: Execution,
    reward_models: Sequence[ModelConfig],
) -> Memory | None:
    """Return what a training with RL needs, or None if a reward model is of an unusual form.

    Prompts are taken to be as long as the rows of the finetuning may be: `train.max_tokens`, or what fits into the
    model.
    """
    config, settings = chain[0].stage.config, _trained_with(chain)
    policy, new = PolicyTraining.model_validate(config["policy"]), int(str(config["max_new_tokens"]))
    positions = backends.max_positions(model)
    row = min(positions, (settings.max_tokens or positions) + new)
    passed = backends.limits_of(model, shape.parameters, execution).passed
    fitting = max(1, passed // row) if execution.micro_batch == "auto" else execution.micro_batch
    rows = min(settings.batch_size, fitting)
    # All answers of a step are sampled at once.
    sampled = answering(shape, model.dtype, policy.answers * row, policy.answers * max(0, row - new), policy.answers)
    rewarding = 0
    for one in reward_models:
        if (other := backends.shape_of(one)) is None:
            return None
        rewarding += scoring(other, one.dtype, 0, 0).weights
    size = PassSize(tokens=rows * row, supervised=rows * min(new, row))
    return reinforcing(shape, settings, model.dtype, size, sampled, rewarding)


def _trained_with(chain: Sequence[StageRecord]) -> TrainSettings:
    """Return the settings with which the first stage of a chain trains."""
    settings = TrainSettings.model_validate(chain[0].stage.config["train"])
    if chain[0].stage.name not in {"train_preferences", REINFORCED}:
        return settings
    # It reads no `lora`: it trains what the finetuning before it made.
    first = next(one for one in reversed(chain) if one.stage.name == "train").stage.config["train"]
    return settings.model_copy(update={"lora": TrainSettings.model_validate(first).lora})


def _pass_size(name: str, settings: TrainSettings, model: ModelConfig, execution: Execution, most: int) -> PassSize:
    """Return the size of a full pass of a training. `most` is how many tokens go into a pass if nothing else is set."""
    row = PAIRED.get(name, 1) * (settings.max_tokens or backends.max_positions(model))
    if execution.micro_batch != "auto":
        tokens = row * min(execution.micro_batch, settings.batch_size)
    else:
        tokens = min(most, row * settings.batch_size)
    # A head for comparisons or rewards gives a few numbers a row and no logits.
    return PassSize(tokens=tokens, supervised=tokens if name in {"train", "train_preferences"} else 0)


def _run_in(chain: Sequence[StageRecord], model: ModelConfig) -> DType:
    """Return the number format in which the model of a chain answers and scores."""
    trained = any(one.stage.name in TRAINED for one in chain)
    return model.dtype if model.merged_dtype is None or not trained else DType(model.merged_dtype)
