"""Annotators: one file for each source of comparisons."""

from __future__ import annotations

from typing import assert_never

from burnish.annotators import classifier, likelihood, oracle
from burnish.annotators.mixed import mixed
from burnish.annotators.plan import Supply
from burnish.annotators.unswapped import unswapped
from burnish.config import AnnotatorConfig, ClassifierConfig, LikelihoodConfig, MixedConfig, OracleConfig
from burnish.steps.judging import AnnotatorPlan, judge

__all__ = ["AnnotatorPlan", "Supply", "judge", "plan_annotator", "unswapped"]


def plan_annotator(config: AnnotatorConfig, supply: Supply) -> AnnotatorPlan:
    """Run or plan the stages that make the configured annotator."""
    match config:
        case OracleConfig():
            return oracle.plan(supply)
        case LikelihoodConfig():
            return likelihood.plan(supply, config)
        case ClassifierConfig():
            return classifier.plan(supply, config)
        case MixedConfig():
            other = plan_annotator(config.other, supply)
            return mixed(oracle.plan(supply), other, config.oracle_share, supply.steps.seed)
        case _:
            assert_never(config)
