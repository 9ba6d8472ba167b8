"""Reads the sizes of a model from its config, without its weights."""

from __future__ import annotations

from burnish.backends.device import choose_device
from burnish.backends.limits import LOGITS, SMALL_MODEL, TokenLimits, batch_tokens, cached_tokens, pass_tokens
from burnish.backends.load import config_of
from burnish.config import Execution, ModelConfig
from burnish.models import location
from burnish.models.memory import Shape

NEEDED = ("num_hidden_layers", "hidden_size", "intermediate_size", "num_attention_heads", "vocab_size")


def shape_of(base: ModelConfig) -> Shape | None:
    """Return the sizes of a base model, or None if it is no decoder of the usual form, such as a mixture of experts.

    Raises BackendError if the config cannot be read.
    """
    config = config_of(base).get_text_config()
    unusual = hasattr(config, "output_router_logits") or getattr(config, "is_encoder_decoder", False)
    if unusual or any(getattr(config, name, None) is None for name in NEEDED):
        return None
    heads = config.num_attention_heads
    return Shape(
        layers=base.layers or config.num_hidden_layers,
        hidden=config.hidden_size,
        inner=config.intermediate_size,
        heads=heads,
        key_heads=getattr(config, "num_key_value_heads", None) or heads,
        head=getattr(config, "head_dim", None) or config.hidden_size // heads,
        vocabulary=config.vocab_size,
        tied=bool(config.tie_word_embeddings),
    )


def limits_of(base: ModelConfig, parameters: int, execution: Execution) -> TokenLimits:
    """Return how many tokens go through a model together on the device of `execution`.

    Raises BackendError if the device is not available.
    """
    device, small = choose_device(execution.device).type, parameters < SMALL_MODEL
    return TokenLimits(
        passed=pass_tokens(base.source.startswith(location.BUILTIN), device),
        cached=cached_tokens(execution, device, small),
        scored=batch_tokens(execution, device, small),
        logits=LOGITS,
    )
