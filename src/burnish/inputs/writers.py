"""Makes what lets a model on a server write, for sources of worse answers."""

from __future__ import annotations

from burnish.annotators.llm.purse import Purse
from burnish.annotators.llm.writer import ChatWriter, check_writer
from burnish.config import ChatServerSettings
from burnish.inputs.context import RunContext
from burnish.perturbations.resources import Writes


def writer_of(context: RunContext, settings: ChatServerSettings) -> Writes:
    """Return a function that lets the server answer prompts. Nothing is sent before it is called.

    The calls are kept in the store's cache and count against the budget of the run. Raises ConfigError if the key or
    needed prices are missing, and AnnotatorError if the package openai is not installed.
    """
    check_writer(settings, context.budget)

    purse = Purse(calls=context.calls(), run=context.run, budget=context.budget)
    return ChatWriter(settings, purse, context.terminal.say, loss="no worse answer").completions
