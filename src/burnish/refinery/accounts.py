"""The accounts of the servers of a refinement. A judge and a proposer have one budget, but prices of their own."""

from __future__ import annotations

import dataclasses

from burnish.annotators.llm.judge import check_server
from burnish.annotators.llm.writer import check_writer
from burnish.config import JudgeConfig, Prices, RefineConfig, RefineSettings, ServerProposals
from burnish.errors import ConfigError
from burnish.services.calls import Account, CallBudget
from burnish.types import short_hash


def proposals_run(run: str) -> str:
    """Return the name under which the calls for proposals of a run are counted."""
    return short_hash("proposals", run)


def judges_of(config: RefineSettings) -> list[JudgeConfig]:
    """Return the judges on servers that a refinement asks."""
    return [judge for judge in config.annotators if isinstance(judge, JudgeConfig)]


def judge_prices(config: RefineSettings) -> Prices | None:
    """Return the prices of the judges. Several judges in a vote share one account, and the first one's prices are
    used."""
    return next((judge.prices for judge in judges_of(config)), None)


def judges_budget(config: RefineConfig, run: str, budget: CallBudget) -> CallBudget:
    """Return the budget of a run's judges. What the proposals cost counts, too."""
    server = config.proposals
    if not isinstance(server, ServerProposals):
        return budget
    return dataclasses.replace(budget, others=(Account(run=proposals_run(run), prices=server.prices),))


def proposer_budget(config: RefineConfig, run: str, budget: CallBudget) -> CallBudget:
    """Return the budget of a run's proposer. What the judges cost counts, too."""
    others = (Account(run=run, prices=judge_prices(config)),) if judges_of(config) else ()
    return dataclasses.replace(budget, others=others)


def check_servers(config: RefineConfig, budget: CallBudget) -> None:
    """Check that the proposer and the judges can be asked, before either is paid. Nothing is sent.

    A refinement without a proposer on a server is not checked: its judge is checked when it is made. Raises ConfigError
    if a key or needed prices are missing, or if money is limited and the prices are in two currencies, and
    AnnotatorError if the package openai is not installed.
    """
    server = config.proposals
    if not isinstance(server, ServerProposals):
        return
    check_writer(server, budget)
    for judge in judges_of(config):
        check_server(judge, budget)
        if budget.max_cost is None or judge.prices is None or server.prices is None:
            continue
        if judge.prices.currency != server.prices.currency:
            raise ConfigError(
                f"proposals.prices: the currency {server.prices.currency!r} found, but the judge's is "
                f"{judge.prices.currency!r}, so one limit --max-cost cannot hold for both; give both in one currency"
            )
