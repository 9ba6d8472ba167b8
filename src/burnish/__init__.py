"""Better language models from bad supervision.

The verbs of the command line are functions here, with the same defaults. `refine`, `diff`, `show`, `revert` and `push`
work on a user's dataset. `run`, `run_suite` (several configs), `plan` (`--dry-run`), `grade`, `write_report` and
`write_joined` work on experiments. The last two are the verb `report`: the name `report` itself is the package that
holds them.

`register_algorithm`, `register_annotator`, `register_method`, `register_perturbation`, `register_reward` and
`register_task` let configs name your own kinds (docs/extending). `import burnish` is fast, because what a name needs is
imported when the name is first used.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from burnish.annotators import register_annotator
    from burnish.backends.algorithms import register_algorithm
    from burnish.config import Config
    from burnish.config.reading import read_config, read_sweep
    from burnish.errors import AnnotatorError, BackendError, BurnishError, ConfigError, DataError, Paused, StageError
    from burnish.lab.running import plan, run
    from burnish.lab.suite import run_suite
    from burnish.ledger.history import diff, show
    from burnish.ledger.pushing import push
    from burnish.ledger.reverting import revert
    from burnish.methods import register_method, register_reward
    from burnish.perturbations import register_perturbation
    from burnish.refinery.api import refine
    from burnish.report.joined import write_joined
    from burnish.report.page import write_report
    from burnish.tasks import register_task
    from burnish.tasks.grading import grade

__version__ = "0.1.0"

__all__ = [
    "AnnotatorError",
    "BackendError",
    "BurnishError",
    "Config",
    "ConfigError",
    "DataError",
    "Paused",
    "StageError",
    "__version__",
    "diff",
    "grade",
    "plan",
    "push",
    "read_config",
    "read_sweep",
    "refine",
    "register_algorithm",
    "register_annotator",
    "register_method",
    "register_perturbation",
    "register_reward",
    "register_task",
    "revert",
    "run",
    "run_suite",
    "show",
    "write_joined",
    "write_report",
]

# Where each public name is defined. `__getattr__` imports it when it is first used, which keeps `import burnish` fast;
# type checkers read the imports under TYPE_CHECKING instead.
_PLACES = {
    "Config": ("burnish.config", "Config"),
    "read_config": ("burnish.config.reading", "read_config"),
    "read_sweep": ("burnish.config.reading", "read_sweep"),
    "grade": ("burnish.tasks.grading", "grade"),
    "plan": ("burnish.lab.running", "plan"),
    "diff": ("burnish.ledger.history", "diff"),
    "refine": ("burnish.refinery.api", "refine"),
    "register_algorithm": ("burnish.backends.algorithms", "register_algorithm"),
    "register_annotator": ("burnish.annotators", "register_annotator"),
    "register_method": ("burnish.methods", "register_method"),
    "register_perturbation": ("burnish.perturbations", "register_perturbation"),
    "register_reward": ("burnish.methods", "register_reward"),
    "register_task": ("burnish.tasks", "register_task"),
    "show": ("burnish.ledger.history", "show"),
    "push": ("burnish.ledger.pushing", "push"),
    "revert": ("burnish.ledger.reverting", "revert"),
    "run": ("burnish.lab.running", "run"),
    "run_suite": ("burnish.lab.suite", "run_suite"),
    "write_joined": ("burnish.report.joined", "write_joined"),
    "write_report": ("burnish.report.page", "write_report"),
    **{
        name: ("burnish.errors", name)
        for name in (
            "AnnotatorError",
            "BackendError",
            "BurnishError",
            "ConfigError",
            "DataError",
            "Paused",
            "StageError",
        )
    },
}


def __getattr__(name: str) -> Any:
    """Import a public name when it is first used (PEP 562)."""
    if name not in _PLACES:
        raise AttributeError(f"module 'burnish' has no attribute {name!r}")
    module, attribute = _PLACES[name]
    return getattr(import_module(module), attribute)
