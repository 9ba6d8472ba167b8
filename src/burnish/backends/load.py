"""Loads models from directories: base models, adapters, full weights, models cut to their first layers, GGUF files."""

from __future__ import annotations

import pickle
import struct
from collections.abc import Generator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from transformers import (
    AutoConfig,
    AutoModelForCausalLM,
    AutoModelForSequenceClassification,
    AutoTokenizer,
    GenerationConfig,
    GgufConfig,
)
from transformers.utils import logging as transformers_logging

from burnish.backends.device import torch_dtype
from burnish.backends.placing import HOST, Placement, settled
from burnish.backends.render import Renderer
from burnish.backends.resident import Resident, attached
from burnish.config import AdapterUse, DType, ModelConfig, Template, expanded
from burnish.errors import BackendError, ConfigError
from burnish.models import location
from burnish.models.adapter import adapter_of, beneath
from burnish.models.card import ModelCard, Weights, read_card

# burnish shows its own bars and warnings. Those of the library would also go into logs.
transformers_logging.set_verbosity_error()  # type: ignore[no-untyped-call]
transformers_logging.disable_progress_bar()  # type: ignore[no-untyped-call]


@dataclass(frozen=True, slots=True)
class Loaded:
    """A model on its device, with its renderer and its card."""

    model: Any
    renderer: Renderer
    card: ModelCard


def renderer_of(base: ModelConfig) -> Renderer:
    """Return the renderer of a base model. It is cached, because reading a large tokenizer takes a second.

    Raises BackendError if the tokenizer cannot be loaded or has no end-of-sequence token, and ConfigError if the
    setting `end` is not one of its tokens.
    """
    return _renderer(base.model_dump_json())


@cache
def _renderer(described: str) -> Renderer:
    base = ModelConfig.model_validate_json(described)
    source, where = _arguments(_with_tokenizer(base))
    with _readable(base):
        tokenizer: Any = AutoTokenizer.from_pretrained(source, **where)
    if tokenizer.eos_token_id is None:
        raise BackendError(f"{base.source}: the tokenizer names no end-of-sequence token; burnish needs one")
    if tokenizer.pad_token_id is None:
        # Our batches mask the padding by position, so it may be a token that also occurs in rows. The heads of
        # transformers compare ids instead. With such a tokenizer they read a row at the token before its end, in
        # training and later.
        tokenizer.pad_token = tokenizer.eos_token
    # The user's own template replaces the tokenizer's template everywhere: in training, generation, scoring and the
    # delivered folder.
    if base.chat_template is not None:
        tokenizer.chat_template = base.chat_template
    # The built-in models were trained on plain word problems and know no roles. So they have a template of their own,
    # unless the user gives another one.
    builtin = base.source.startswith(location.BUILTIN) and base.template is Template.AUTO and base.chat_template is None
    return Renderer(tokenizer, Template.EMBEDDED if builtin else base.template, base.end, base.source)


def _arguments(base: ModelConfig) -> tuple[str, dict[str, Any]]:
    path = location.find(base)
    if path is None:
        # A model's folder may contain Python code. It is never run.
        return expanded(base.source, "model"), {"revision": base.revision, "trust_remote_code": False}
    if path.suffix == ".gguf":
        # transformers wants a GGUF file's folder and name as two arguments. It reads the tokenizer from the same file.
        return str(path.parent), {"gguf_file": path.name}
    return str(path), {"trust_remote_code": False}


def _with_tokenizer(base: ModelConfig) -> ModelConfig:
    """Return the model whose folder has the tokenizer: an adapter's own folder if it has one there, else its base."""
    adapter = adapter_of(base)
    if adapter is None or (adapter / "tokenizer_config.json").is_file():
        return base
    return beneath(base, adapter)


def _merged(model: Any, adapter: Path) -> Any:
    """Return a model with an adapter merged into it."""
    from peft import PeftModel  # noqa: PLC0415 it is slow to import, and a look at the chat template needs none

    adapted: Any = PeftModel.from_pretrained(model, str(adapter))
    return adapted.merge_and_unload()


def base_of(card: ModelCard, dtype: torch.dtype, place: Placement, resident: Resident) -> Any:
    """Return the language model to which an adapter belongs that stays beside it. It is read if it is not resident.

    Raises as `load_base` does.
    """
    key = f"{card.content} {card.base.model_dump_json()} {dtype} {place}"
    return resident.base(key, lambda: settled(beneath_adapter(card.base, dtype, None, place), place))


def load_base(
    base: ModelConfig, dtype: torch.dtype, labels: int | None, fresh: bool = True, place: Placement = HOST
) -> Any:
    """Return the base model in `dtype`, cut to its first layers if the settings say so, in its `place`.

    With `labels` it has a head of that many outputs. A `fresh` head is made new, to be trained. Otherwise the model
    must have a trained head. If the model is an adapter's folder, the adapter is merged into its own base. Raises
    BackendError if the model cannot be loaded or put in its place, or if its head is missing, and ConfigError if it has
    too few layers, if a weight is NaN, or if its pad token does not fit.
    """
    adapter = adapter_of(base)
    whole = base if adapter is None else beneath(base, adapter)
    # An adapter for a head has the head's weights itself, so the base below it needs none.
    model = _whole(whole, dtype, labels, fresh or adapter is not None, place)
    if adapter is not None:
        with _readable(base):
            model = _merged(model, adapter)
    # This comes after the merge and before the cut, so that it checks all weights that were read.
    check_weights(model, base, renderer_of(base).tokenizer.pad_token_id)
    if base.layers is not None:
        _cut(model, base)
    return model


def beneath_adapter(base: ModelConfig, dtype: torch.dtype, labels: int | None, place: Placement = HOST) -> Any:
    """Return the model to which an adapter that was trained from `base` belongs.

    If training continued the adapter in the folder `base`, it is that adapter's own base model. Otherwise it is the
    model that `load_base` loads. Raises as `load_base` does.
    """
    adapter = continued(base, labels)
    return load_base(base if adapter is None else beneath(base, adapter), dtype, labels, place=place)


def continued(base: ModelConfig, labels: int | None) -> Path | None:
    """Return the adapter that training continues, or None if training begins with a new one.

    Training of a head for comparisons or rewards always begins with a new one.
    """
    return adapter_of(base) if base.adapter is AdapterUse.CONTINUE and not labels else None


def _whole(base: ModelConfig, dtype: torch.dtype, labels: int | None, fresh: bool, place: Placement) -> Any:
    source, where = _arguments(base)
    where |= place.arguments(base, dtype)
    if "gguf_file" in where:
        # The weights of a GGUF file are quantised. They are turned back into ordinary numbers, so that the model can be
        # trained.
        where["quantization_config"] = GgufConfig(dequantize=True)
    kind: Any = AutoModelForSequenceClassification if labels else AutoModelForCausalLM
    if labels:
        # Without `ignore_mismatched_sizes`, loading a head of another size ends with an error about shapes. With it,
        # such a head is made new and `found` names it, so that the check below can say what is wrong.
        where |= {"num_labels": labels, "ignore_mismatched_sizes": True}
    with _readable(base):
        model, found = kind.from_pretrained(source, dtype=dtype, output_loading_info=True, **where)
    if labels and not fresh and (lacking := found["missing_keys"] or {name for name, *_ in found["mismatched_keys"]}):
        raise BackendError(
            f"model {base.source!r} has no trained head of that size ({min(lacking)} is missing or has another shape), "
            f"so its scores would be noise; give a sequence classifier with {labels} label{'s' if labels > 1 else ''}"
        )
    return model


_UNREADABLE = (
    *(OSError, ValueError, KeyError, IndexError, TypeError, AttributeError, RuntimeError, EOFError),
    *(SafetensorError, pickle.UnpicklingError, struct.error),
)
"""The errors that the libraries raise for damaged files. They document none of them."""


@contextmanager
def _readable(base: ModelConfig) -> Generator[None, None, None]:
    try:
        yield
    except _UNREADABLE as error:
        first = (str(error).splitlines() or [type(error).__name__])[0]
        raise BackendError(
            f"model {base.source!r} cannot be loaded: {first}; check that it is a causal language model's folder, GGUF "
            "file or hub id, with its tokenizer"
        ) from error


def _cut(model: Any, base: ModelConfig) -> None:
    """Keep only the first layers of a model."""
    there = model.config.num_hidden_layers
    if base.layers is None or base.layers > there:
        raise ConfigError(
            f"models: layers: {base.layers} asked for, {base.source} has {there}; ask for at most {there}"
        )
    # The list of layers is found by its length, because its name differs: `layers` in Llama, `h` in GPT-2. Two lists of
    # the same length (an encoder and a decoder) are refused.
    lists = [(name, part) for name, part in model.base_model.named_modules() if _holds_layers(part, there)]
    if len(lists) != 1:
        raise ConfigError(
            f"models: layers: {base.layers} asked for, but {base.source!r} ({type(model).__name__}) has {len(lists)} "
            f"lists of {there} layers, and burnish cannot tell what to cut; leave layers out"
        )
    ((name, part),) = lists
    owner, _, own_name = name.rpartition(".")
    setattr(model.base_model.get_submodule(owner), own_name, part[: base.layers])
    model.config.num_hidden_layers = base.layers
    # Models that mix kinds of attention (Gemma 3) have a list with the kind of each layer. transformers refuses a
    # config in which this list has another length than the number of layers.
    if getattr(model.config, "layer_types", None):
        model.config.layer_types = model.config.layer_types[: base.layers]


def _holds_layers(part: Any, count: int) -> bool:
    return isinstance(part, torch.nn.ModuleList) and len(part) == count


def check_weights(model: Any, base: ModelConfig, pad: int | None) -> None:
    """Check a model's weights and the id `pad` of its pad token.

    Raises ConfigError if a weight is NaN, or if the embedding has no row for the pad token.
    """
    # A sum is NaN if one of its parts is NaN. Unlike isnan, it makes no copy of the weights. An infinite weight makes
    # the sum infinite, too. Only NaN is refused, so weights with such a sum are then checked one by one.
    odd = (name for name, one in model.named_parameters() if not torch.isfinite(one.sum(dtype=torch.float64)))
    if name := next((name for name in odd if torch.isnan(model.get_parameter(name)).any()), None):
        raise ConfigError(
            f"model {base.source!r}: the weights {name!r} hold NaN, which is no number; copy or download the model "
            "again, or give another one"
        )
    rows = model.get_input_embeddings().weight.shape[0]
    if pad is not None and pad >= rows:
        raise ConfigError(
            f"model {base.source!r}: its tokenizer's pad token has the id {pad}, but the embedding has {rows} rows; "
            "name a pad token that the model knows in tokenizer_config.json, such as its end of a sequence"
        )


def located(card: ModelCard, sources: Mapping[str, ModelConfig]) -> ModelCard:
    """Return the card with the place where this run found its base model. `sources` is {content: model}."""
    found = sources.get(card.content)
    if found is None:
        return card
    # The card has the place of the base model at the time of training. The same content may now be in another place.
    return card.model_copy(
        update={"base": card.base.model_copy(update={"source": found.source, "revision": found.revision})}
    )


def load(
    path: Path,
    where: torch.device | Placement,
    sources: Mapping[str, ModelConfig],
    resident: Resident | None = None,
    whole: bool = False,
) -> Loaded:
    """Return the model that a directory's card describes, ready for inference.

    `where` is a device or a place. `sources` maps the content of a base model to its place. `resident` may have the
    base in memory. With `whole`, an adapter is merged into a base of ordinary numbers, whatever the settings say.
    Raises as `load_base` does.
    """
    place = where if isinstance(where, Placement) else Placement(device=where)
    card, kept = located(read_card(path), sources), resident or Resident()
    if whole:
        merging = {"trained_adapter": "merge", "quantise": None}
        card = card.model_copy(update={"base": card.base.model_copy(update=merging)})
    if not card.base.attached or card.labels:
        kept.drop()
    dtype, renderer = torch_dtype(card.base.dtype), renderer_of(card.base)
    match card.weights:
        case Weights.BASE if card.base.attached and not card.labels and continued(card.base, None) is None:
            # It may be in memory already. Read again, it would be there twice.
            model = base_of(card, dtype, place, kept)
        case Weights.BASE:
            kept.drop()
            model = load_base(card.base, dtype, card.labels, fresh=False, place=place)
        case Weights.FULL:
            kind: Any = AutoModelForSequenceClassification if card.labels else AutoModelForCausalLM
            model = kind.from_pretrained(path, dtype=dtype, **place.arguments(card.base, dtype))
        case Weights.ADAPTER:
            merged = dtype if card.base.merged_dtype is None else torch_dtype(DType(card.base.merged_dtype))
            if not card.base.attached:
                model = _merged(beneath_adapter(card.base, merged, card.labels, place), path)
            elif card.labels:
                model = attached(beneath_adapter(card.base, dtype, card.labels, place), str(path))
            else:
                model = attached(base_of(card, dtype, place, kept), str(path))
    model.config.pad_token_id = renderer.tokenizer.pad_token_id if card.pad is None else card.pad
    if not card.labels:
        # A model's own defaults for generation (temperature, penalties) must not influence an experiment.
        model.generation_config = GenerationConfig(
            eos_token_id=renderer.ends, pad_token_id=renderer.tokenizer.pad_token_id
        )
    return Loaded(settled(model, place).eval(), renderer, card)


def max_positions(model: Any) -> int:
    """Return the most tokens that a row may have for this model. It is 2**31 if the model names no limit."""
    return _positions(model.config)


def positions_of(base: ModelConfig) -> int:
    """Return the most tokens that a row may have for a base model, as its config says. No weights are read."""
    return _positions(config_of(base))


def config_of(base: ModelConfig) -> Any:
    """Return the config of a base model, or of the base below an adapter. No weights are read.

    It is cached, so nobody may change it: reading it from a GGUF file takes seconds, and a plan asks for it at every
    stage. Raises BackendError if it cannot be read.
    """
    return _config(base.model_dump_json())


@cache
def _config(described: str) -> Any:
    base = ModelConfig.model_validate_json(described)
    adapter = adapter_of(base)
    source, where = _arguments(base if adapter is None else beneath(base, adapter))
    with _readable(base):
        return AutoConfig.from_pretrained(source, **where)


def reads_before_end(base: ModelConfig) -> bool:
    """Say whether a head of a base model is read at the token before the end of an answer. No weights are read.

    transformers reads a head at the last token that is not the pad token. So it passes over an end that is this token.
    """
    renderer = renderer_of(base)
    return renderer.tokenizer.pad_token_id == renderer.end


def _positions(config: Any) -> int:
    # Models without a table of positions, such as Mamba, name no limit.
    return int(getattr(config, "max_position_embeddings", None) or 2**31)
