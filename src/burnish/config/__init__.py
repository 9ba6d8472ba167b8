"""All settings that a user can write in a config. This package does not import torch.

Settings that change results (semantic settings) are kept apart from settings that do not (`execution`). The defaults
come from the paper (arXiv 2501.07886), and the descriptions cite it. Every settings class is frozen and refuses
unknown keys.
"""

from __future__ import annotations

# Importing these modules also registers the kinds of annotators, methods and tasks that come with burnish.
from burnish.config.annotators import (
    ANNOTATORS,
    AnnotatorSettings,
    CommandConfig,
    MajorityConfig,
    MixedConfig,
    OracleConfig,
    OwnConfig,
    PeopleConfig,
    RefineAnnotator,
    WantedModel,
    WantedProgram,
)
from burnish.config.base import Settings, expanded, looks_like_hub_id
from burnish.config.differs import (
    AnswerDiffers,
    CommandDiffers,
    Differs,
    EmbeddingDiffers,
    EmbeddingServerDiffers,
    NumberDiffers,
    TaskDiffers,
    TextDiffers,
)
from burnish.config.judge import JudgeConfig, Prices, ReferenceJudgeConfig
from burnish.config.kinds import Kinds, OneOf, load_plugins
from burnish.config.lab import Budget, Compat, Config, Execution, Supervision
from burnish.config.local_judges import ClassifierConfig, LikelihoodConfig, MisledOracleConfig, RewardModelConfig
from burnish.config.method_settings import ComparingMethod, GatedMethod, MethodRole, MethodSettings
from burnish.config.methods import (
    METHODS,
    Cap,
    ClearMethod,
    DpoMethod,
    IlrMethod,
    NaiveMethod,
    PairsFrom,
    SftMethod,
    VerifiedMethod,
)
from burnish.config.models import (
    AdapterUse,
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
from burnish.config.proposals import FileProposals, Proposals, ServerProposals
from burnish.config.refiners import DropMethod, MajorityMethod, RestEmMethod, RobustFtMethod, TournamentMethod
from burnish.config.refinery import AuditConfig, Columns, DataConfig, RefineConfig, RefineSettings, SelftestConfig
from burnish.config.route import RouteConfig
from burnish.config.tasks import (
    TASKS,
    AnyTask,
    Gsm8kTask,
    InstructionsTask,
    SumsTask,
    TaskSettings,
    TextToSqlTask,
    WordProblemsTask,
)

__all__ = [
    "ANNOTATORS",
    "METHODS",
    "TASKS",
    "AdapterUse",
    "AnnotatorSettings",
    "AnswerDiffers",
    "AnyTask",
    "AuditConfig",
    "Budget",
    "Cap",
    "ClassifierConfig",
    "ClearMethod",
    "Columns",
    "CommandConfig",
    "CommandDiffers",
    "ComparingMethod",
    "Compat",
    "Config",
    "DType",
    "DataConfig",
    "Decoding",
    "Differs",
    "DpoMethod",
    "DropMethod",
    "EmbeddingDiffers",
    "EmbeddingServerDiffers",
    "Execution",
    "FileProposals",
    "GatedMethod",
    "Gsm8kTask",
    "IlrMethod",
    "InstructionsTask",
    "JudgeConfig",
    "Kinds",
    "LikelihoodConfig",
    "LoraConfig",
    "Loss",
    "MajorityConfig",
    "MajorityMethod",
    "MethodRole",
    "MethodSettings",
    "MisledOracleConfig",
    "MixedConfig",
    "Model",
    "ModelConfig",
    "Models",
    "NaiveMethod",
    "NumberDiffers",
    "Objective",
    "OneOf",
    "Optimizer",
    "OracleConfig",
    "OwnConfig",
    "PairsFrom",
    "PeopleConfig",
    "Prices",
    "Proposals",
    "ReferenceJudgeConfig",
    "RefineAnnotator",
    "RefineConfig",
    "RefineSettings",
    "RestEmMethod",
    "RewardModelConfig",
    "RobustFtMethod",
    "RouteConfig",
    "Schedule",
    "SelftestConfig",
    "ServerProposals",
    "Settings",
    "SftMethod",
    "SumsTask",
    "Supervision",
    "TaskDiffers",
    "TaskSettings",
    "Template",
    "TextDiffers",
    "TextToSqlTask",
    "TournamentMethod",
    "TrainSettings",
    "VerifiedMethod",
    "WantedModel",
    "WantedProgram",
    "WordProblemsTask",
    "expanded",
    "load_plugins",
    "looks_like_hub_id",
]
