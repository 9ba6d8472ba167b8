"""What a user can set. What changes results (semantic) is apart from what does not (`execution`).

Defaults come from the paper (arXiv 2501.07886) and cite it. Every model is frozen and refuses unknown keys.
"""

from __future__ import annotations

from burnish.config.base import Settings, expanded
from burnish.config.experiment import Budget, Compat, Config, Execution
from burnish.config.methods import DpoMethod, IlrMethod, MethodConfig, NaiveMethod, PairsFrom, SftMethod
from burnish.config.models import (
    Decoding,
    DType,
    LoraConfig,
    Loss,
    Model,
    ModelConfig,
    Models,
    Objective,
    Optimizer,
    Schedule,
    Template,
    TrainSettings,
)
from burnish.config.supervision import (
    AnnotatorConfig,
    ClassifierConfig,
    LikelihoodConfig,
    MixedConfig,
    OracleConfig,
    Supervision,
)
from burnish.config.tasks import Gsm8kTask, SumsTask, TaskConfig, WordProblemsTask

__all__ = [
    "AnnotatorConfig",
    "Budget",
    "ClassifierConfig",
    "Compat",
    "Config",
    "DType",
    "Decoding",
    "DpoMethod",
    "Execution",
    "Gsm8kTask",
    "IlrMethod",
    "LikelihoodConfig",
    "LoraConfig",
    "Loss",
    "MethodConfig",
    "MixedConfig",
    "Model",
    "ModelConfig",
    "Models",
    "NaiveMethod",
    "Objective",
    "Optimizer",
    "OracleConfig",
    "PairsFrom",
    "Schedule",
    "Settings",
    "SftMethod",
    "SumsTask",
    "Supervision",
    "TaskConfig",
    "Template",
    "TrainSettings",
    "WordProblemsTask",
    "expanded",
]
