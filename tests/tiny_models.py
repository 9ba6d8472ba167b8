"""Tiny models with real architectures and chat templates in the style of known ones, made without network."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

torch: Any = pytest.importorskip("torch")
transformers: Any = pytest.importorskip("transformers")
tokenizers: Any = pytest.importorskip("tokenizers")

GEMMA = (
    "{{ bos_token }}"
    "{% if messages[0]['role'] == 'system' %}{{ raise_exception('System role not supported') }}{% endif %}"
    "{% for message in messages %}"
    "{% if (message['role'] == 'user') != (loop.index0 % 2 == 0) %}"
    "{{ raise_exception('Conversation roles must alternate user/assistant/user/assistant/...') }}{% endif %}"
    "{% set role = 'model' if message['role'] == 'assistant' else message['role'] %}"
    "{{ '<start_of_turn>' + role + '\n' + message['content'] | trim + '<end_of_turn>\n' }}"
    "{% endfor %}{% if add_generation_prompt %}{{ '<start_of_turn>model\n' }}{% endif %}"
)
PHI = (
    "{% for message in messages %}{{ '<|' + message['role'] + '|>\n' + message['content'] + '<|end|>\n' }}{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|assistant|>\n' }}{% else %}{{ eos_token }}{% endif %}"
)
CHATML = (
    "{% for message in messages %}"
    "{{ '<|im_start|>' + message['role'] + '\n' + message['content'] + '<|im_end|>' + '\n' }}{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}"
)
LLAMA = (
    "{% for message in messages %}"
    "{% if message['role'] == 'user' %}{{ bos_token + '[INST] ' + message['content'] + ' [/INST]' }}"
    "{% else %}{{ ' ' + message['content'] + ' ' + eos_token }}{% endif %}{% endfor %}"
)
STYLES: dict[str, tuple[str, tuple[str, ...], str, str]] = {
    "gemma": (GEMMA, ("<bos>", "<eos>", "<start_of_turn>", "<end_of_turn>"), "<eos>", "<end_of_turn>"),
    "phi": (
        PHI,
        ("<s>", "<|endoftext|>", "<|user|>", "<|assistant|>", "<|system|>", "<|end|>"),
        "<|endoftext|>",
        "<|end|>",
    ),
    "qwen": (CHATML, ("<|endoftext|>", "<|im_start|>", "<|im_end|>"), "<|endoftext|>", "<|im_end|>"),
    "smollm": (CHATML, ("<|im_start|>", "<|im_end|>"), "<|im_end|>", "<|im_end|>"),
    "llama": (LLAMA, ("<s>", "</s>"), "</s>", "</s>"),
}
"""By style: the template, the special tokens, the tokenizer's end of a sequence, and the token that ends a turn."""


def tokenizer(style: str | None = None, template: str | None = None) -> Any:
    """Return a tokenizer of bytes with a style's special tokens and template, or with another template."""
    shown, special, eos, _ = STYLES[style] if style else (None, ("<s>", "</s>"), "</s>", "</s>")
    alphabet = sorted(tokenizers.pre_tokenizers.ByteLevel.alphabet())
    vocabulary = {token: number for number, token in enumerate([*special, *alphabet])}
    made = tokenizers.Tokenizer(tokenizers.models.BPE(vocab=vocabulary, merges=[]))
    made.pre_tokenizer = tokenizers.pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)
    made.decoder = tokenizers.decoders.ByteLevel()
    made.add_special_tokens(list(special))
    fast = transformers.PreTrainedTokenizerFast(
        tokenizer_object=made, bos_token=special[0], eos_token=eos, pad_token=eos, extra_special_tokens=list(special)
    )
    fast.chat_template = shown if template is None else template
    return fast


def tiny_model(where: Path, style: str | None = None, template: str | None = None, kind: str = "llama") -> Path:
    """Write a model of two layers with random weights and its tokenizer into the folder `where`; returns it."""
    words = tokenizer(style, template)
    torch.manual_seed(0)
    sizes: dict[str, Any] = {"vocab_size": len(words), "eos_token_id": words.eos_token_id, "bos_token_id": None}
    if kind == "gpt2":
        config = transformers.GPT2Config(n_embd=16, n_layer=2, n_head=2, n_positions=512, **sizes)
    else:
        config = transformers.LlamaConfig(
            hidden_size=16,
            intermediate_size=32,
            num_hidden_layers=2,
            num_attention_heads=2,
            max_position_embeddings=512,
            **sizes,
        )
    transformers.AutoModelForCausalLM.from_config(config).save_pretrained(where)
    words.save_pretrained(where)
    return where


def special_ids(words: Any, tokens: Sequence[str]) -> list[int]:
    """Return the ids of special tokens."""
    return [int(words.convert_tokens_to_ids(token)) for token in tokens]
