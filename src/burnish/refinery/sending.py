"""What a refinement sends to servers that are not on this machine. It is said before anything is sent."""

from __future__ import annotations

from collections.abc import Iterator

from burnish.config import EmbeddingServerDiffers, JudgeConfig, RefineConfig, ServerProposals
from burnish.refinery.estimate import comparisons_of
from burnish.report.text import plural
from burnish.services.elsewhere import sent_words


def sent_elsewhere(config: RefineConfig, usable: int) -> Iterator[str]:
    """Yield a line for each server that is not on this machine: the host, and at most how much of the rows it gets.

    `usable` is the number of rows that can be refined. Files for people and programs on this machine are not sent.
    """
    lines = [_prompts(config, usable), *_judges(config, usable), _embeddings(config, usable)]
    # Two judges of a vote can be on one host. A line is said once.
    yield from dict.fromkeys(line for line in lines if line is not None)


def _prompts(config: RefineConfig, usable: int) -> str | None:
    """Return what a model on a server that proposes is sent, or None if there is none."""
    if not isinstance(config.proposals, ServerProposals):
        return None
    what = f"the prompts of at most {plural(usable, 'row')}, without their labels"
    return sent_words(config.proposals.base_url, "proposals", what)


def _judges(config: RefineConfig, usable: int) -> Iterator[str | None]:
    """Yield what each judge on a server is sent."""
    # The methods that ask no annotator leave a configured one unasked.
    if not config.method.asks_annotator:
        return
    comparisons = comparisons_of(config, usable)
    what = f"the prompts and both answers of at most {plural(comparisons, 'comparison')}"
    what += f" (at most {plural(min(usable, comparisons), 'row')})"
    if not config.selftest.skip and all(annotator.self_tested for annotator in config.annotators):
        tested = plural(min(usable, config.selftest.pairs), "row")
        what += f", and for the self-test at most {tested} with answers and altered answers"
    for annotator in config.annotators:
        if isinstance(annotator, JudgeConfig):
            yield sent_words(annotator.base_url, "annotator", what)


def _embeddings(config: RefineConfig, usable: int) -> str | None:
    """Return what a server of embeddings is sent, or None if there is none."""
    if not isinstance(config.differs, EmbeddingServerDiffers):
        return None
    # An upper bound: rows whose texts are equal are not sent, but how many there are is not known yet.
    answers = plural(2 * usable * config.method.last_round, "answer")
    what = f"at most {answers} (of at most {plural(usable, 'row')}) without their prompts"
    return sent_words(config.differs.base_url, "differs", what)
