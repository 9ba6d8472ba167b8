"""The layers of the built-in reward model (train_rewarder.py): those of a language model, and two new ones on top."""

from __future__ import annotations

import math
from itertools import islice
from typing import Any

import torch
from pretrain_embedded import WORD_IDS
from rewarder_rows import SEED, padded, pairs
from transformers import LlamaConfig, LlamaForCausalLM, LlamaForSequenceClassification

from burnish.tasks.sums_world import EOS, MAX_NUMBER, NUMBERS

NEW_LAYERS = 2
HEADS = 3
UNITS = 176
"""The units between the two matrices of a layer. The language model has 256; those that do least are left out."""
TURNING = 10000.0
"""The base of the positions' angles, as in the language model."""
DIRECTIONS = 24
"""In how many directions the expected and the given word are compared. With 24 of 64, `strong-long` prefers the same
words."""
SPARE = 8
COPIED = 0.3
"""The scale of the copy of each word, and the constant beside it. Both are small, so that the language model's norms
hardly change."""
LARGE = 500.0
"""A constant in all rows, after which the norm of a row hardly depends on the row."""
OTHERS = 6.0
"""By how much the language model's own numbers are divided where new layers read them. They are of this size."""


def make_model(
    start: LlamaForCausalLM, threshold: torch.Tensor, compares: bool = True
) -> LlamaForSequenceClassification:
    """Return the layers of a language model with two new layers and a new head of one number.

    The rows are wider than those of the language model. The new places hold a copy of the word in `DIRECTIONS`
    directions, the word that was expected here in the same directions, and some single numbers. If the model does not
    compare, its new layers begin as layers that do nothing, and its head at random.
    """
    torch.manual_seed(SEED)
    old, layers = start.config.hidden_size, start.config.num_hidden_layers
    width = old + 2 * DIRECTIONS + SPARE
    kept = ("vocab_size", "head_dim", "max_position_embeddings", "pad_token_id", "bos_token_id", "eos_token_id")
    model = LlamaForSequenceClassification(
        LlamaConfig(
            hidden_size=width,
            intermediate_size=UNITS,
            num_hidden_layers=layers + NEW_LAYERS,
            num_attention_heads=HEADS,
            num_key_value_heads=HEADS,
            **{"num_labels": 1},
            **{name: getattr(start.config, name) for name in kept},
        )
    )
    ids, _, _, mask = padded([right for right, _ in islice(pairs(SEED), 60)])
    with torch.no_grad():
        _copy_language_model(model, start, ids, mask)
        for layer in model.model.layers[layers:]:
            layer.self_attn.o_proj.weight.zero_()
            layer.mlp.down_proj.weight.zero_()
        if compares:
            _compare_words(model, start, threshold, ids, mask)
    return model


def _directions(start: LlamaForCausalLM) -> torch.Tensor:
    """The directions in which the words of answers differ most, one a row."""
    words = [*NUMBERS[: MAX_NUMBER + 1], "+", "-", "=", ";", "####", EOS]
    embedded = start.lm_head.weight[[WORD_IDS[word] for word in words]]
    return torch.linalg.svd(embedded, full_matrices=False)[2][:DIRECTIONS]


class Places:
    """Where the parts of a row are: those of the language model, two words in `DIRECTIONS` directions, and numbers."""

    def __init__(self, start: LlamaForCausalLM) -> None:
        self.old = start.config.hidden_size
        self.word = slice(self.old, self.old + DIRECTIONS)
        """A copy of the given word."""
        self.expected = slice(self.word.stop, self.word.stop + DIRECTIONS)
        """What the language model said at the word before."""
        first = self.expected.stop
        self.constant, self.large, self.task, self.answer, self.answered, self.logit, self.lowest = range(
            first, first + 7
        )
        """A small constant, `LARGE`, marks of the words `task` and `answer`, whether `answer` came already, the logit
        of the given word, and the lowest logit of the answer."""


def _copy_language_model(
    model: LlamaForSequenceClassification, start: LlamaForCausalLM, ids: torch.Tensor, mask: torch.Tensor
) -> None:
    """Put the language model into the lower layers, where it computes nearly what it did."""
    old, width = start.config.hidden_size, model.config.hidden_size
    places = Places(start)
    embedding, given = model.model.embed_tokens.weight, start.model.embed_tokens.weight
    embedding.zero_()
    embedding[:, :old].copy_(given)
    embedding[:, places.word].copy_(COPIED * given @ _directions(start).T)
    embedding[:, places.constant] = COPIED
    embedding[WORD_IDS["task"], places.task] = embedding[WORD_IDS["answer"], places.answer] = 1.0
    for layer, copied in zip(model.model.layers, start.model.layers, strict=False):
        used = _most_used(start, copied, ids, mask)
        weights: dict[str, torch.Tensor] = {**dict(copied.named_parameters())}
        for name in ("mlp.gate_proj.weight", "mlp.up_proj.weight"):
            weights[name] = weights[name][used]
        weights["mlp.down_proj.weight"] = weights["mlp.down_proj.weight"][:, used]
        for name, weight in layer.named_parameters():
            source = weights[name]
            if name.endswith("layernorm.weight"):
                # The mean of the squares is now over more places.
                weight[:old] = source * math.sqrt(old / width)
                continue
            # New heads and units read everything, and write nothing yet.
            silent = name.endswith(("o_proj.weight", "down_proj.weight"))
            weight[...] = 0.0 if silent else weight
            weight[: len(source)] = 0.0
            weight[: source.shape[0], : source.shape[1]] = source


def _most_used(start: LlamaForCausalLM, layer: Any, ids: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
    """The units of a layer that write most, in their order."""
    seen: list[torch.Tensor] = []

    def keep(_: torch.nn.Module, inputs: tuple[torch.Tensor, ...]) -> None:
        seen.append(inputs[0])

    hook = layer.mlp.down_proj.register_forward_pre_hook(keep)
    start.model(input_ids=ids, attention_mask=mask.long())
    hook.remove()
    size = seen[0][mask].pow(2).mean(0).sqrt() * layer.mlp.down_proj.weight.norm(dim=0)
    return size.topk(UNITS).indices.sort().values


def _compare_words(
    model: LlamaForSequenceClassification,
    start: LlamaForCausalLM,
    threshold: torch.Tensor,
    ids: torch.Tensor,
    mask: torch.Tensor,
) -> None:
    """Let the first new layer compute the logit of each word, and the second one find the lowest one of the answer."""
    said = _look_back(model, start, ids, mask)
    _multiply(model, start, threshold, said)
    _find_lowest(model, start)


def _look_back(
    model: LlamaForSequenceClassification, start: LlamaForCausalLM, ids: torch.Tensor, mask: torch.Tensor
) -> torch.Tensor:
    """Let the heads of the first new layer carry what was said at the word before.

    Returns the standard deviation of what is said.
    """
    places, layers = Places(start), start.config.num_hidden_layers
    size = start.config.hidden_size // start.config.num_attention_heads
    directions, half = _directions(start), size // 2
    states = model.model(input_ids=ids, attention_mask=mask.long(), output_hidden_states=True).hidden_states[layers]
    normed = (states * torch.rsqrt(states.pow(2).mean(-1, keepdim=True) + 1e-6))[mask]
    layer = model.model.layers[layers]
    attention, norm = layer.self_attn, layer.input_layernorm.weight
    norm[: places.old] = start.model.norm.weight * math.sqrt(places.old / model.config.hidden_size)
    norm[places.word] = 1 / normed[:, places.word].std()
    norm[places.constant] = 1 / normed[:, places.constant].mean()
    for place in (places.task, places.answer):
        norm[place] = 1 / normed[normed[:, place] > 0, place].mean()
    for part in (attention.q_proj, attention.k_proj, attention.v_proj):
        part.weight.zero_()
    # The first head looks at the word before. Queries and keys are constants that the positions turn, so the score is a
    # sum of cosines of the distance. These three together are above 2.5 only at the distance of one word.
    turns = TURNING ** (-torch.arange(half) / half)
    shares = torch.zeros(half)
    shares[[0, half // 8, half // 4]], shares[-1] = 1.0, -2.5
    strength = math.sqrt(100.0 * math.sqrt(size))
    turned = torch.cat([shares * turns.cos(), -shares * turns.sin()])
    attention.q_proj.weight[:size, places.constant] = strength * turned
    attention.k_proj.weight[:half, places.constant] = strength
    attention.v_proj.weight[:DIRECTIONS, : places.old] = directions
    said = normed[:, : places.old] * norm[: places.old] @ directions.T
    attention.o_proj.weight[places.expected, :DIRECTIONS] = torch.eye(DIRECTIONS) / said.std()
    # The others look at the first word, and so write the same number everywhere, and at `answer`, if it came already.
    # They score through the numbers that positions hardly turn.
    for head, seen, written, value in (
        (1, places.task, places.large, LARGE),
        (2, places.answer, places.answered, 1.0),
    ):
        slow = head * size + half - 1
        attention.q_proj.weight[slow, places.constant] = attention.k_proj.weight[slow, seen] = 25.0
        attention.v_proj.weight[head * size, seen] = 1.0
        attention.o_proj.weight[written, head * size] = value
    return said.std()


def _multiply(
    model: LlamaForSequenceClassification, start: LlamaForCausalLM, threshold: torch.Tensor, said: torch.Tensor
) -> None:
    """Let the units of the first new layer multiply the expected word with the given one. The sum is the logit."""
    places, layers = Places(start), start.config.num_hidden_layers
    size, directions = start.config.hidden_size // start.config.num_attention_heads, _directions(start)
    layer, above = model.model.layers[layers : layers + 2]
    mlp = layer.mlp
    scale = LARGE / math.sqrt(model.config.hidden_size)
    after = layer.post_attention_layernorm.weight
    for one in (after, above.input_layernorm.weight, above.post_attention_layernorm.weight, model.model.norm.weight):
        one.fill_(scale / OTHERS)
        one[places.large] = scale / LARGE
        one[places.answered : places.lowest + 1] = scale
    after[places.expected] = scale
    words = (start.lm_head.weight @ directions.T).std()
    after[places.word] = scale / (COPIED * words)
    # silu(x) y + silu(-x) (-y) = x y.
    for direction in range(DIRECTIONS):
        for unit, sign in ((2 * direction, 1.0), (2 * direction + 1, -1.0)):
            for part, place in ((mlp.gate_proj, places.expected), (mlp.up_proj, places.word)):
                part.weight[unit] = 0.0
                part.weight[unit, place.start + direction] = sign
            mlp.down_proj.weight[places.logit, unit] = said * words
    # The second head's number is 1 before it is written.
    layer.self_attn.o_proj.weight[places.logit, size] = -threshold


def _find_lowest(model: LlamaForSequenceClassification, start: LlamaForCausalLM) -> None:
    """Let a head of the second new layer find the lowest logit of the answer, and the model's head read it."""
    places = Places(start)
    size = start.config.hidden_size // start.config.num_attention_heads
    above, half = model.model.layers[start.config.num_hidden_layers + 1], size // 2
    for part in (above.self_attn.q_proj, above.self_attn.k_proj, above.self_attn.v_proj):
        part.weight[:size] = 0.0
    above.self_attn.q_proj.weight[half - 1, places.large] = math.sqrt(size)
    above.self_attn.k_proj.weight[half - 1, places.logit] = -1.0
    above.self_attn.k_proj.weight[half - 1, places.answered] = 100.0
    above.self_attn.v_proj.weight[0, places.logit] = above.self_attn.o_proj.weight[places.lowest, 0] = 1.0
    model.score.weight.zero_()
    model.score.weight[0, places.lowest] = 1.0
