"""A model's chat template, and the token with which it ends an answer."""

from __future__ import annotations

from collections.abc import Sequence

from burnish.backends.load import renderer_of
from burnish.backends.render import Renderer
from burnish.config import ModelConfig, Template
from burnish.models.chat import ChatTemplate, Turn

ANSWER = "MMMM"
"""An answer that no template writes by itself."""
_ASKED = ({"role": "user", "content": "Hello"}, {"role": "assistant", "content": ANSWER})
# Some templates refuse a conversation without a system turn. Others (Gemma's) refuse one with a system turn, so that
# the plain conversation is tried first.
_TOLD = ({"role": "system", "content": "Be brief."}, *_ASKED)


def end_of(model: ModelConfig) -> str | None:
    """Return the token that ends an answer; None where it is the tokenizer's own end of a sequence.

    The setting `end` comes first, then what the chat template writes after an answer. Raises ConfigError where the
    setting names no token, or where the chat template fails on any conversation.
    """
    renderer = renderer_of(model)
    if model.end is not None:
        return None if renderer.end == renderer.eos else model.end
    if renderer.template is not Template.CHAT:
        return None
    end = _ending(renderer)
    return None if end == renderer.eos else str(renderer.tokenizer.convert_ids_to_tokens(end))


def chat_of(model: ModelConfig) -> ChatTemplate | None:
    """Return the chat template through which a model reads prompts; None where it reads them in another way."""
    renderer = renderer_of(model)
    return renderer.chat if renderer.template is Template.CHAT else None


def _ending(renderer: Renderer) -> int:
    """Return the first special token after an answer. A template that writes none leaves it to the tokenizer."""
    for conversation in (_ASKED, _TOLD):
        after = _after_answer(renderer, conversation)
        if after is not None:
            ids: list[int] = renderer.tokenizer(after, add_special_tokens=False)["input_ids"]
            # What follows an answer may begin with white space, or with text that is no mark. In `<end_of_turn>\n` only
            # the first part ends the answer.
            return next((id_ for id_ in ids if id_ in _special(renderer)), renderer.eos)
    return renderer.eos


def _after_answer(renderer: Renderer, conversation: Sequence[Turn]) -> str | None:
    """Return what a template writes after an answer, None where it refuses the conversation or drops the answer."""
    text = renderer.chat.render(conversation, ask=False)
    if not isinstance(text, str) or ANSWER not in text:
        return None
    return text.rpartition(ANSWER)[2]


def _special(renderer: Renderer) -> set[int]:
    """Return the tokens that are marks and no text."""
    # A mark such as `<|im_end|>` is often neither BOS, EOS nor pad. Then only its entry in the vocabulary says that it
    # is special.
    added = {id_ for id_, token in renderer.tokenizer.added_tokens_decoder.items() if token.special}
    return added | set(renderer.tokenizer.all_special_ids)
