"""Finds a model's chat template and the token with which it ends an answer."""

from __future__ import annotations

from collections.abc import Sequence

from burnish.backends.load import renderer_of
from burnish.backends.render import Renderer
from burnish.config import ModelConfig, Template
from burnish.models.chat import ChatTemplate, Turn

ANSWER = "MMMM"
"""A trial answer. No template writes this text by itself."""
_ASKED = ({"role": "user", "content": "Hello"}, {"role": "assistant", "content": ANSWER})
# Some templates refuse a conversation without a system turn. Others (Gemma's) refuse one with a system turn. So both
# conversations are tried, and the one without it comes first.
_TOLD = ({"role": "system", "content": "Be brief."}, *_ASKED)


def end_of(model: ModelConfig) -> str | None:
    """Return the token that ends an answer, or None if it is the tokenizer's own end-of-sequence token.

    The setting `end` comes first. Without it, it is the token that the chat template writes after an answer. Raises
    ConfigError if the setting is not one token, or if the chat template fails on every conversation. Raises
    BackendError if the tokenizer cannot be loaded.
    """
    renderer = renderer_of(model)
    if model.end is not None:
        return None if renderer.end == renderer.eos else model.end
    if renderer.template is not Template.CHAT:
        return None
    end = _ending(renderer)
    return None if end == renderer.eos else str(renderer.tokenizer.convert_ids_to_tokens(end))


def chat_of(model: ModelConfig) -> ChatTemplate | None:
    """Return the chat template through which a model reads prompts, or None if it reads them in another way.

    Raises ConfigError if the settings ask for a chat template and the tokenizer has none. Raises BackendError if the
    tokenizer cannot be loaded.
    """
    renderer = renderer_of(model)
    return renderer.chat if renderer.template is Template.CHAT else None


def _ending(renderer: Renderer) -> int:
    """Return the first special token after an answer, or the tokenizer's end-of-sequence token if there is none."""
    for conversation in (_ASKED, _TOLD):
        after = _after_answer(renderer, conversation)
        if after is not None:
            ids: list[int] = renderer.tokenizer(after, add_special_tokens=False)["input_ids"]
            # After an answer there may be white space or other text besides the special token. In `<end_of_turn>\n`,
            # only the first part ends the answer.
            return next((id_ for id_ in ids if id_ in _special(renderer)), renderer.eos)
    return renderer.eos


def _after_answer(renderer: Renderer, conversation: Sequence[Turn]) -> str | None:
    """Return what a template writes after an answer, or None if it refuses the conversation or drops the answer."""
    text = renderer.chat.render(conversation, ask=False)
    if not isinstance(text, str) or ANSWER not in text:
        return None
    return text.rpartition(ANSWER)[2]


def _special(renderer: Renderer) -> set[int]:
    """Return the ids of all special tokens."""
    # A token such as `<|im_end|>` is often neither BOS, EOS nor pad. Then only its entry in the vocabulary says that it
    # is special.
    added = {id_ for id_, token in renderer.tokenizer.added_tokens_decoder.items() if token.special}
    return added | set(renderer.tokenizer.all_special_ids)
