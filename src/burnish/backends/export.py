"""Writes a finetuned model so that other programs can load it: weights, tokenizer and chat template in one folder."""

from __future__ import annotations

import copy
from collections.abc import Mapping
from pathlib import Path

from transformers import GenerationConfig

from burnish.backends.device import torch_dtype
from burnish.backends.load import load, load_base, located, renderer_of
from burnish.backends.placing import HOST
from burnish.backends.render import Renderer
from burnish.config import ModelConfig, Template
from burnish.models.adapter import ADAPTER_CONFIG, name_base, stands_alone
from burnish.models.card import CARD, Weights, copy_model, read_card
from burnish.models.location import TRY_IT

# Of all this, transformers, vLLM and others read only the chat template. With it, they render prompts exactly as
# training did. Tests compare the token ids of both.
PAPER_CHAT = (
    "{% for message in messages %}{% if message['role'] == 'assistant' %}"
    "{{ 'ASSISTANT:' + message['content'] + '\n\n' }}{% else %}"
    "{{ message['role'] | upper + ':\n' + message['content'] + '\n\n' }}{% endif %}{% endfor %}"
    "{% if add_generation_prompt %}{{ 'ASSISTANT:' }}{% endif %}"
)
EMBEDDED_CHAT = "{{ 'task : ' + messages | map(attribute='content') | join(' ') + ' answer :' }}"
"""Chat templates that write the same prompts as render.py: the paper's way, and the way of the built-in models."""
_PROGRAM = '''\
"""Asks the finetuned model in this folder a question: python try_it.py "What is 2 + 2?"."""

import sys
from pathlib import Path

{library}
from transformers import AutoTokenizer

place = Path(__file__).resolve().parent
tokenizer = AutoTokenizer.from_pretrained(place)
model = {loader}.from_pretrained(place)
turns = [{{"role": "user", "content": " ".join(sys.argv[1:]) or "What is 2 + 2?"}}]
text = tokenizer.apply_chat_template(turns, tokenize=False, add_generation_prompt=True)
ids = tokenizer(text, return_tensors="pt", add_special_tokens=False)["input_ids"]
answer = model.generate(
    input_ids=ids, max_new_tokens=256, do_sample=False, eos_token_id={ends}, pad_token_id={pad}
)
print(tokenizer.decode(answer[0, ids.shape[1] :], skip_special_tokens=True).strip())
'''
_README = """\
# A model that burnish finetuned

`python {program} "Your question"` in this folder asks it a question. The tokenizer has the chat template with which
it was trained, and an answer ends with the token `{end}`.{base}
"""
_ON_A_BASE = """

These are the weights of an adapter. `adapter_config.json` says where its base model is."""


def export(model: Path, into: Path, sources: Mapping[str, ModelConfig], merge: bool = False) -> None:
    """Write a model's folder with its tokenizer, the chat template that it was trained with, and a program to try it.

    An adapter is written as an adapter if other programs can load its base model by its name alone (see stands_alone).
    The folder then names that base. Otherwise, or if `merge` is true, the whole weights are written. `sources` maps the
    content of a base model to its place.
    """
    card = located(read_card(model), sources)
    renderer = renderer_of(card.base)
    if card.weights is Weights.FULL or (stands_alone(card.base) and not merge):
        copy_model(model, into)
        (into / CARD).unlink(missing_ok=True)
        name_base(into, card.base)
    else:
        # `load` merges an adapter into its base, so whole weights are saved. The CPU is enough for that.
        load(model, HOST, sources, whole=True).model.save_pretrained(into)
    _write_tokenizer(renderer, into)
    adapter = (into / ADAPTER_CONFIG).is_file()
    pad = renderer.tokenizer.pad_token_id
    if not adapter and renderer.end != renderer.eos:  # the base's own settings may not stop where this model does
        GenerationConfig(eos_token_id=renderer.ends, pad_token_id=pad).save_pretrained(into)
    loader = "AutoPeftModelForCausalLM" if adapter else "AutoModelForCausalLM"
    library = f"from {'peft' if adapter else 'transformers'} import {loader}"
    program = _PROGRAM.format(library=library, loader=loader, ends=renderer.ends, pad=pad)
    (into / TRY_IT).write_text(program, encoding="utf-8")
    # This replaces PEFT's README, which names the base by the path from which it was loaded.
    readme = _README.format(program=TRY_IT, end=renderer.end_text, base=_ON_A_BASE if adapter else "")
    (into / "README.md").write_text(readme, encoding="utf-8")


def save_base(base: ModelConfig, into: Path) -> None:
    """Write a base model as it is loaded, whole and in its number format, so that other programs can load it."""
    load_base(base, torch_dtype(base.dtype), None).save_pretrained(into)
    _write_tokenizer(renderer_of(base), into)


def _write_tokenizer(renderer: Renderer, into: Path) -> None:
    """Write the tokenizer with a chat template that renders a prompt as training rendered it."""
    tokenizer = copy.deepcopy(renderer.tokenizer)  # the renderer is kept and used again, so its own must not change
    match renderer.template:
        case Template.CHAT:
            tokenizer.chat_template = renderer.chat.text
        case Template.EMBEDDED:
            tokenizer.chat_template = EMBEDDED_CHAT
        case Template.PAPER | Template.AUTO:
            # In training, `_with_bos` puts this token before a prompt. The template has to write it itself, because
            # programs add no special tokens when they encode the text of a chat template.
            tokenizer.chat_template = ("{{ bos_token }}" if renderer.adds_bos else "") + PAPER_CHAT
    tokenizer.save_pretrained(into)
