"""Backends: the only code that imports torch, looked up when a run first needs a model."""

from __future__ import annotations

import importlib.util
import os
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Protocol

from burnish.config import DType, Execution, ModelConfig
from burnish.errors import BackendError
from burnish.models.chat import ChatTemplate
from burnish.protocols import Backend
from burnish.types import TrainingRow

if TYPE_CHECKING:
    from burnish.backends.preview import Rendered

INSTALL = "pip install 'burnish[train]'"


class Progress(Protocol):
    """Where a backend reports how far it is."""

    def start(self, label: str, total: int, done: int = 0) -> None:
        """A piece of work of `total` units begins, of which `done` were done by an earlier run."""
        ...

    def advance(self, amount: int) -> None:
        """So many units more are done."""
        ...


def open_backend(execution: Execution, progress: Progress, sources: Mapping[str, ModelConfig]) -> Backend:
    """Return the transformers + PEFT + TRL backend; `sources` says where base models are, by their content.

    Raises BackendError with the install line where a library is missing.
    """
    _quiet()
    from burnish.backends.hf import HfBackend  # noqa: PLC0415 (torch is imported when a model is needed, not before)

    return HfBackend(execution, progress, sources)


def fast_dtype(execution: Execution) -> DType:
    """Return the number format that `dtype: auto` means on this machine's device."""
    _quiet()
    from burnish.backends.device import choose_device, choose_dtype  # noqa: PLC0415

    return choose_dtype(choose_device(execution.device))


def speed(execution: Execution) -> float | None:
    """Return the floating-point operations a second of this machine's matrix products; None without torch."""
    try:
        dtype = fast_dtype(execution)
    except BackendError:
        return None
    # Imported after the check above: this module imports torch at its top.
    from burnish.backends.preview import speed as measured  # noqa: PLC0415

    return measured(execution, dtype)


def rendered(model: ModelConfig, row: TrainingRow) -> Rendered:
    """Return a row as the model will see it. Raises BackendError where the tokenizer or a library is missing."""
    # Not called `render`: the module of that name would take its place in this package once it is imported.
    _quiet()
    from burnish.backends.preview import rendered as as_text  # noqa: PLC0415

    return as_text(model, row)


def answer_lengths(model: ModelConfig, answers: Iterable[str]) -> list[int]:
    """Return how many tokens a model would have to write for each answer, its end included.

    Raises BackendError where the tokenizer or a library is missing.
    """
    _quiet()
    from burnish.backends.preview import answer_lengths as counted  # noqa: PLC0415

    return counted(model, answers)


def row_lengths(model: ModelConfig, rows: Iterable[TrainingRow]) -> list[tuple[int, int]]:
    """Return for each row how many tokens its prompt has, and how many the whole row with its end.

    Raises BackendError where the tokenizer or a library is missing.
    """
    _quiet()
    from burnish.backends.preview import row_lengths as counted  # noqa: PLC0415

    return counted(model, rows)


def max_positions(model: ModelConfig) -> int:
    """Return how many tokens a model takes at most, prompt and answer together. Its weights are not loaded.

    Raises BackendError where the model or a library is missing.
    """
    _quiet()
    from burnish.backends.load import positions_of  # noqa: PLC0415

    return positions_of(model)


def end_of(model: ModelConfig) -> str | None:
    """Return the token that ends a model's answers; None where it is the tokenizer's own end of a sequence.

    Raises ConfigError where the setting `end` or the chat template is wrong, BackendError where the tokenizer or a
    library is missing.
    """
    _quiet()
    from burnish.backends.turns import end_of as found  # noqa: PLC0415

    return found(model)


def chat_of(model: ModelConfig) -> ChatTemplate | None:
    """Return the chat template through which a model reads prompts; None where it reads them in another way.

    Raises ConfigError where the model is told to use a chat template and has none, BackendError where the tokenizer or
    a library is missing.
    """
    _quiet()
    from burnish.backends.turns import chat_of as found  # noqa: PLC0415

    return found(model)


def _quiet() -> None:
    """Check that the libraries are there; bars are ours, on a terminal alone, where theirs would also go into logs.

    Before any of them is imported: tqdm reads its variables at its import.
    """
    require()
    os.environ.setdefault("TQDM_DISABLE", "1")


def require() -> None:
    """Raise BackendError with the install line if a library of the `train` extra is missing."""
    for name in ("torch", "transformers", "trl", "peft", "datasets"):
        # Only looked for and not imported: importing all five takes seconds.
        if importlib.util.find_spec(name) is None:
            raise BackendError(f"{name} is not installed and is needed to train and run models; install: {INSTALL}")
