"""How much memory models need: the sum of weights, optimiser, gradients, activations and cache.

All figures are bytes on each device. Every process of a training has the whole model, so more processes do not make
them smaller. docs/scale.md has the formulas and how far they are from what was measured.

Symbols, as in the equations of the docs: L layers, h hidden numbers of a token, i inner numbers of the feed-forward
part, a numbers of all query heads together, k of all key heads together, V tokens of the vocabulary, r the rank of an
adapter, T tokens of a pass (padding included), N supervised tokens of a pass.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from burnish.config import DType, Optimizer, TrainSettings

FLOAT32, BFLOAT16 = 4, 2
"""Bytes of a number."""
NF4 = (4 + 8 / 64 + 32 / (64 * 256)) / 8
"""Bytes of a weight in 4 bits: each 64 weights share a scale of 8 bits, and each 256 scales share one of 32 bits
(Dettmers et al., 2023, section 3)."""
OF_OPTIMIZER = {Optimizer.ADAMW: 8, Optimizer.RMSPROP: 4, Optimizer.ADAFACTOR: 0}
"""Bytes that an optimiser keeps for each trained number. Adafactor keeps sums of rows and columns, which are few."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Shape:
    """The sizes of a decoder like Llama, Mistral, Gemma or Qwen. `head` is the number of numbers of a head, and `tied`
    means that the embedding is also the output layer."""

    layers: int
    hidden: int
    inner: int
    heads: int
    key_heads: int
    head: int
    vocabulary: int
    tied: bool

    @property
    def queries(self) -> int:
        """a: the numbers of all query heads of a token together."""
        return self.heads * self.head

    @property
    def keys(self) -> int:
        """k: the numbers of all key heads of a token together. There are as many values."""
        return self.key_heads * self.head

    @property
    def linear(self) -> tuple[tuple[int, int], ...]:
        """The linear parts of a layer, as (numbers in, numbers out): q, k, v, o, gate, up, down."""
        h, a, k, i = self.hidden, self.queries, self.keys, self.inner
        return (h, a), (h, k), (h, k), (a, h), (h, i), (h, i), (i, h)

    @property
    def in_layers(self) -> int:
        """The number of weights of the linear parts of all layers."""
        return self.layers * sum(into * out for into, out in self.linear)

    @property
    def parameters(self) -> int:
        """The number of weights. Biases are left out: they are less than a thousandth."""
        tables = self.vocabulary * self.hidden * (1 if self.tied else 2)
        return self.in_layers + (2 * self.layers + 1) * self.hidden + tables

    def adapter(self, rank: int) -> int:
        """The number of weights of LoRA adapters on all linear parts of the layers."""
        return self.layers * sum(rank * (into + out) for into, out in self.linear)


@dataclass(frozen=True, slots=True, kw_only=True)
class PassSize:
    """The tokens that go through a model together: all with padding, and those whose next token is learned."""

    tokens: int
    supervised: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Memory:
    """Bytes on each device, by what needs them. `sampling` is what reinforcement learning needs while it samples. It is
    freed before the gradients and activations are needed. `holes` is what glibc keeps in addition on a CPU, if its
    caches for small blocks are not switched off."""

    weights: int
    optimizer: int = 0
    gradients: int = 0
    activations: int = 0
    cache: int = 0
    sampling: int = 0
    holes: int = 0

    @property
    def total(self) -> int:
        """The most that is needed together: at the end of the forward pass of a step that has several passes, or while
        answers are sampled."""
        learning = self.gradients + self.activations
        return self.weights + self.optimizer + max(learning, self.sampling) + self.cache

    @property
    def with_holes(self) -> int:
        """The same with the holes."""
        return self.total + self.holes


def training(
    shape: Shape,
    settings: TrainSettings,
    dtype: DType,
    size: PassSize,
    quantised: bool = False,
    split_over: int = 1,
) -> Memory:
    """Return what one training needs.

    Weights that are trained are float32. With an adapter, the frozen weights have the format `dtype`, or 4 bits in
    the layers if they are `quantised`. With bfloat16 as `dtype`, the arithmetic is in bfloat16 through autocast. FSDP2
    may have `split_over` several devices all but the activations, which are those of each device's own pass.
    """
    base, rank = shape.parameters, settings.lora.r if settings.lora else 0
    trained = shape.adapter(rank) if rank else base
    frozen = _frozen(shape, dtype, quantised) if rank else 0
    weights = frozen + FLOAT32 * trained
    return Memory(
        weights=weights // split_over + _together(shape, weights, dtype, quantised, split_over),
        optimizer=OF_OPTIMIZER[settings.optimizer] * trained // split_over,
        gradients=FLOAT32 * trained // split_over,
        activations=_activations(shape, rank, dtype, size, settings.gradient_checkpointing),
        # Each pass leaves the blocks of its activations behind, also those that checkpointing computes again.
        holes=_activations(shape, rank, dtype, size, checkpointing=False),
    )


def reinforcing(
    shape: Shape, settings: TrainSettings, dtype: DType, size: PassSize, sampled: Memory, reward_models: int
) -> Memory:
    """Return what reinforcement learning needs. `sampled` is what the answers of a step need (see `answering`), and
    `reward_models` the bytes of all models that reward them.

    All of these models stay in memory. The reference is a copy of what is trained: an adapter, or all weights. The
    logits of all tokens of answers are computed, as TRL does.
    """
    trained = shape.adapter(settings.lora.r) if settings.lora else shape.parameters
    alone = training(shape, settings, dtype, size)
    return replace(
        alone,
        weights=alone.weights + FLOAT32 * trained + reward_models,
        sampling=sampled.cache + sampled.activations,
    )


def _frozen(shape: Shape, dtype: DType, quantised: bool) -> int:
    """Return the bytes of the frozen weights. Embedding, output layer and norms are never in 4 bits."""
    layers = NF4 if quantised else _bytes(dtype)
    return round(layers * shape.in_layers) + _bytes(dtype) * (shape.parameters - shape.in_layers)


def _together(shape: Shape, weights: int, dtype: DType, quantised: bool, split_over: int) -> int:
    """Return the bytes of weights that are made whole for a moment."""
    if quantised:  # one linear part at a time, as ordinary numbers
        return _bytes(dtype) * max(into * out for into, out in shape.linear)
    if split_over == 1:
        return 0
    # The layer that is computed, and the next one, which is fetched meanwhile. The output layer stays together.
    tables = weights * shape.vocabulary * shape.hidden // shape.parameters
    return 2 * (weights - tables * (1 if shape.tied else 2)) // shape.layers + tables


def answering(shape: Shape, dtype: DType, cached: int, read: int, rows: int) -> Memory:
    """Return what answers need. `cached` is the number of tokens in the cache, `read` of prompts that are read at once,
    and `rows` the number of rows of a batch, each beam counted."""
    # Keys and values of all layers, and once more those of the layer that grows by a column.
    cache = 2 * (shape.layers + 1) * shape.keys * _bytes(dtype) * cached
    # Either prompts are read, or a token is chosen for each row.
    # The cache grows by a column with each token, so that all of it moves to other blocks again and again.
    return replace(scoring(shape, dtype, read, rows), cache=cache, holes=cache)


def scoring(shape: Shape, dtype: DType, read: int, projected: int) -> Memory:
    """Return what log-probabilities need. `read` is the number of tokens that are read at once, and `projected` of
    those whose logits are computed. With a head for comparisons or rewards, `projected` is 0."""
    number = _bytes(dtype)
    # One layer at a time: its input and output, and the inner numbers before, in and after the gate.
    reading = read * number * (3 * shape.hidden + 3 * shape.inner)
    # The logits become float32, and then log-probabilities.
    logits = projected * shape.vocabulary * (number + 2 * FLOAT32)
    return Memory(weights=number * shape.parameters, activations=max(reading, logits))


def _bytes(dtype: DType) -> int:
    # `auto` is left only where no device is known: then the larger one is a bound.
    return BFLOAT16 if dtype is DType.BFLOAT16 else FLOAT32


def _activations(shape: Shape, rank: int, dtype: DType, size: PassSize, checkpointing: bool) -> int:
    """Return the bytes of what the forward pass keeps for the backward pass, when all of it is there."""
    half = dtype is DType.BFLOAT16
    layer = _layer_token(shape, rank, half) * size.tokens + (_copies(shape, rank) if half else 0)
    if checkpointing:
        # The input of each layer is kept. One layer at a time is computed again.
        kept = shape.layers * shape.hidden * (BFLOAT16 if half and rank else FLOAT32) * size.tokens
        layers = kept + layer
    else:
        layers = shape.layers * layer
    return layers + _head(shape, rank, half, size)


def _layer_token(shape: Shape, rank: int, half: bool) -> int:
    """Return the bytes that one layer keeps of one token."""
    h, a, k, i = shape.hidden, shape.queries, shape.keys, shape.inner
    # Both inputs of the norms, and if the norms are trained, both normed inputs. Two scales, and one number a head.
    norms = (2 if rank else 4) * h + 2 + shape.heads
    # Keys, values, queries, and the output of attention; the inner numbers before, in and after the gate.
    rest = 2 * a + 2 * k + 4 * i + 7 * rank
    if not half:
        return FLOAT32 * (norms + 2 * h + rest)
    # Autocast copies the inputs of q, k, v, gate and up for each of them, and with an adapter also attention's output.
    return FLOAT32 * norms + BFLOAT16 * (5 * h + rest + (a if rank else 0))


def _copies(shape: Shape, rank: int) -> int:
    """Return the bytes of the bfloat16 copies that autocast makes of a layer's trained weights and keeps."""
    return BFLOAT16 * sum(rank * (into + out) if rank else into * out for into, out in shape.linear)


def _head(shape: Shape, rank: int, half: bool, size: PassSize) -> int:
    """Return the bytes of the logits and of what the loss needs, for the supervised tokens."""
    # Log-probabilities and their gradient in float32; in bfloat16 also the gradient of the logits.
    logits = size.supervised * shape.vocabulary * (2 * FLOAT32 + (BFLOAT16 if half else 0))
    copy = BFLOAT16 * shape.vocabulary * shape.hidden if half and not rank else 0
    return logits + copy
