"""How much an experiment asks of servers, before it asks: for the estimate of a dry run, and to say what is sent."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from burnish.annotators.llm.questions import CallEstimate, estimate, mean_characters, summed
from burnish.config import Config, EmbeddingServerDiffers, JudgeConfig, MethodSettings
from burnish.errors import BurnishError
from burnish.lab.inputs import ANNOTATOR, JUDGE, ExperimentInputs, server_judges
from burnish.lab.learned import half_u
from burnish.report.text import plural
from burnish.services.elsewhere import host_elsewhere, sent_words
from burnish.store.runners import StageRecord
from burnish.tasks import make_task

REWARDED = ("train_policy", "reward_samples")
"""The stages in which the annotator may reward the answers of a policy."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """The comparisons that one judge on a server is still to make, at most. `references`: one of the two answers is the
    reference. `characters` is the mean length of a request and its two answers together."""

    judge: JudgeConfig
    field: str
    comparisons: int
    characters: float
    references: bool


def asked(config: Config, inputs: ExperimentInputs, records: Sequence[StageRecord]) -> list[Asked] | None:
    """Return what judges on servers are asked, as an upper bound.

    Answers are assumed to be as long as the references. Returns None if the data cannot be loaded.
    """
    if not server_judges(config):
        return []
    try:
        data = make_task(inputs.task).load()
        refined = half_u(inputs, data.train, config.seeds)
    except BurnishError:  # for example a hub dataset without a network: the plan is still useful without this line
        return None
    # A training with RL can ask the annotator for the rewards of its answers.
    waiting = [record for record in records if _asks(record) and not record.reused]
    rates = {record.fingerprint for record in records if record.stage.name == "versus"}
    # Judgements for win rates and those of the annotator are both stages named `judge`. Their input tells them apart.
    compared = [record.stage.inputs["comparisons"] for record in waiting if record.stage.name == "judge"]
    of_rates = sum(one.fingerprint in rates for one in compared)
    found: list[Asked] = []
    if isinstance(config.judge, JudgeConfig) and of_rates:
        count, length = len(data.test) * of_rates, mean_characters(data.test)
        found.append(Asked(judge=config.judge, field=JUDGE, comparisons=count, characters=length, references=True))
    if len(waiting) > of_rates:
        # Only half U is refined.
        count = sum(_comparisons(method, len(rows)) for rows in refined.values() for method in config.methods)
        length = mean_characters(data.train)
        found += [
            Asked(judge=judge, field=ANNOTATOR, comparisons=count, characters=length, references=False)
            for judge in _annotating(config)
        ]
    return found


def _comparisons(method: MethodSettings, rows: int) -> int:
    """Return the most comparisons that a method makes with one seed, with the refinement that comes before it."""
    in_round = method.comparisons_per_row * rows + method.comparisons_per_round
    return in_round * method.last_round + (0 if method.before is None else _comparisons(method.before, rows))


def _asks(record: StageRecord) -> bool:
    """Say whether a stage asks a judge."""
    return record.stage.name == "judge" or (record.stage.outside and record.stage.name in REWARDED)


def calls_of(found: Sequence[Asked] | None) -> CallEstimate | None:
    """Return an upper bound on the calls, or None if no server is asked or nothing is known."""
    return summed([estimate(one.judge, one.comparisons, one.characters) for one in found or ()])


def sent_elsewhere(config: Config, found: Sequence[Asked] | None, records: Sequence[StageRecord]) -> tuple[str, ...]:
    """Return a line for each server that is not on this machine: the host, and what is sent there at most."""
    lines = [*_judges(config, found), _embeddings(config, records)]
    return tuple(dict.fromkeys(line for line in lines if line is not None))


def any_elsewhere(config: Config) -> bool:
    """Say whether an experiment names a server that is not on this machine."""
    addresses = [judge.base_url for judge in server_judges(config)]
    if isinstance(config.differs, EmbeddingServerDiffers):
        addresses.append(config.differs.base_url)
    return any(host_elsewhere(address) is not None for address in addresses)


def _judges(config: Config, found: Sequence[Asked] | None) -> Iterator[str | None]:
    """Yield what each judge is sent."""
    if found is not None:
        for one in found:
            what = f"the prompts and both answers of at most {plural(one.comparisons, 'comparison')}"
            yield sent_words(one.judge.base_url, one.field, what, one.references)
        return
    # The data could not be loaded, so there is no number.
    for judge in _annotating(config):
        yield sent_words(judge.base_url, ANNOTATOR, "the prompts and both answers of the comparisons")
    if isinstance(config.judge, JudgeConfig):
        what = "the prompts and both answers of the comparisons with references"
        yield sent_words(config.judge.base_url, JUDGE, what, references=True)


def _annotating(config: Config) -> list[JudgeConfig]:
    """Return the judges on servers that are the experiment's annotator, or vote in it."""
    return [judge for judge in config.supervision.annotator.members if isinstance(judge, JudgeConfig)]


def _embeddings(config: Config, records: Sequence[StageRecord]) -> str | None:
    """Return what a server of embeddings is sent, or None if there is none or nothing is left to measure."""
    rounds = sum(record.stage.name == "distance" and not record.reused for record in records)
    if not isinstance(config.differs, EmbeddingServerDiffers) or not rounds:
        return None
    what = f"both answers of the compared training rows, without their prompts, in {plural(rounds, 'round')}"
    return sent_words(config.differs.base_url, "differs", what)
