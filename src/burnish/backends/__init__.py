"""Backends: the only code that imports torch. It is imported when a run first needs a model."""

from __future__ import annotations

import importlib
import importlib.util
import io
import os
from collections.abc import Iterable, Mapping
from contextlib import redirect_stdout
from typing import TYPE_CHECKING, Protocol

from burnish.config import DType, Execution, ModelConfig
from burnish.config.executors import LocalExecutor, most_processes
from burnish.errors import BackendError
from burnish.models.chat import ChatTemplate
from burnish.models.memory import Shape
from burnish.protocols import Backend
from burnish.types import TrainingRow

if TYPE_CHECKING:
    from burnish.backends.limits import TokenLimits
    from burnish.backends.preview import Rendered
    from burnish.backends.tracking import Tracking

INSTALL = "pip install 'burnish[train]'"


class Progress(Protocol):
    """Takes a backend's reports of how far its work is."""

    def start(self, label: str, total: int, done: int = 0) -> None:
        """Report that a piece of work begins. It has `total` units, of which an earlier run did `done`."""
        ...

    def advance(self, amount: int) -> None:
        """Report that `amount` more units are done."""
        ...


def open_backend(
    execution: Execution,
    progress: Progress,
    sources: Mapping[str, ModelConfig],
    tracking: Tracking | None = None,
) -> Backend:
    """Return the backend on transformers, PEFT and TRL. `sources` maps the content of a base model to its place.

    `tracking` says who gets the metrics of trainings.

    Raises BackendError with the install command if a library is missing, if the device is not available, or if torchrun
    started several processes.
    """
    # Only training can be shared by processes. In a run, all but one of them would wait for the lock of the first
    # stage, and that one for the others.
    started = os.environ.get("WORLD_SIZE", "1")
    if started != "1":
        raise BackendError(
            f"WORLD_SIZE: {started} processes were started together (by torchrun?), but burnish runs in one; start one "
            "process, and unset WORLD_SIZE"
        )
    _quiet()
    # torch is imported when a model is needed, not before.
    if most_processes(execution.needs)[0] > 1:
        from burnish.backends.together import TrainsTogether as Opened  # noqa: PLC0415
    else:
        from burnish.backends.hf import HfBackend as Opened  # noqa: PLC0415

    return Opened(execution, progress, sources, tracking)


def fast_dtype(execution: Execution) -> DType:
    """Return the number format that `dtype: auto` means on this machine's device.

    Raises BackendError if a library is missing, or if the device is not available.
    """
    _quiet()
    from burnish.backends.device import choose_device, choose_dtype  # noqa: PLC0415

    return choose_dtype(choose_device(execution.device))


def check_loading(model: ModelConfig, execution: Execution) -> None:
    """Raise BackendError if a library or the device is missing for 4 bits or for a model's attention."""
    if model.quantise is None and model.attention is None:
        return
    _quiet()
    from burnish.backends.device import choose_device  # noqa: PLC0415
    from burnish.backends.placing import check_attention, check_quantised  # noqa: PLC0415

    device = choose_device(execution.device)
    check_attention(model, device)
    if model.quantise is not None:
        check_quantised(model, device)


def speed(execution: Execution) -> float | None:
    """Return how many floating-point operations a second this machine does in matrix products.

    Returns None if a library is missing, or if the device is not available.
    """
    try:
        dtype = fast_dtype(execution)
    except BackendError:
        return None
    # Imported after the check above: this module imports torch at its top.
    from burnish.backends.preview import speed as measured  # noqa: PLC0415

    return measured(execution, dtype)  # pyright: ignore[reportArgumentType] a frozen model has a hash


def rendered(model: ModelConfig, row: TrainingRow) -> Rendered:
    """Return a row as the model will see it. Raises BackendError if the tokenizer or a library is missing."""
    # Not called `render`: the module of that name would take its place in this package once it is imported.
    _quiet()
    from burnish.backends.preview import rendered as as_text  # noqa: PLC0415

    return as_text(model, row)


def answer_lengths(model: ModelConfig, answers: Iterable[str]) -> list[int]:
    """Return how many tokens a model would have to write for each answer. The token that ends the answer counts.

    Raises BackendError if the tokenizer or a library is missing.
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


def reads_before_end(model: ModelConfig) -> bool:
    """Say whether a reward model's head is read at the token before the end of an answer, because its pad token is its
    end, too. Its weights are not loaded.

    Raises BackendError where the model or a library is missing.
    """
    _quiet()
    from burnish.backends.load import reads_before_end as found  # noqa: PLC0415

    return found(model)


def shape_of(model: ModelConfig) -> Shape | None:
    """Return the sizes of a model, or None if it is no decoder of the usual form. Its weights are not loaded.

    Raises BackendError where the model or a library is missing.
    """
    _quiet()
    from burnish.backends.shapes import shape_of as found  # noqa: PLC0415

    return found(model)


def limits_of(model: ModelConfig, parameters: int, execution: Execution) -> TokenLimits:
    """Return how many tokens go through a model of so many parameters together.

    Raises BackendError if the device or a library is missing.
    """
    _quiet()
    from burnish.backends.shapes import limits_of as found  # noqa: PLC0415

    return found(model, parameters, execution)


def keeps_holes(execution: Execution) -> bool:
    """Say whether memory that models have freed is kept, because they run on a CPU with glibc as it is.

    Raises BackendError if the device or a library is missing.
    """
    _quiet()
    from burnish.backends import allocator  # noqa: PLC0415
    from burnish.backends.device import choose_device  # noqa: PLC0415

    # Only workers on this machine are started without glibc's caches.
    started = not execution.alone and isinstance(execution.executor, LocalExecutor)
    return choose_device(execution.device).type == "cpu" and allocator.keeps_holes(alone=not started)


def end_of(model: ModelConfig) -> str | None:
    """Return the token that ends a model's answers, or None if it is the tokenizer's own end-of-sequence token.

    Raises ConfigError if the setting `end` or the chat template is wrong, and BackendError if the tokenizer or a
    library is missing.
    """
    _quiet()
    from burnish.backends.turns import end_of as found  # noqa: PLC0415

    return found(model)


def chat_of(model: ModelConfig) -> ChatTemplate | None:
    """Return the chat template through which a model reads prompts, or None if it reads them in another way.

    Raises ConfigError if the settings ask for a chat template and the model has none. Raises BackendError if the
    tokenizer or a library is missing.
    """
    _quiet()
    from burnish.backends.turns import chat_of as found  # noqa: PLC0415

    return found(model)


def _quiet() -> None:
    """Check that the libraries are installed, and switch off their progress bars.

    burnish shows its own bars, and only on a terminal. The libraries' bars would also go into logs. This must happen
    before a library is imported, because tqdm reads its environment variables when it is imported.
    """
    require()
    os.environ.setdefault("TQDM_DISABLE", "1")
    if os.environ.get("WANDB_MODE") == "offline":
        # transformers then prints a line on stdout, which is for data, when this module is imported.
        with redirect_stdout(io.StringIO()):
            importlib.import_module("transformers.integrations.integration_utils")


def require() -> None:
    """Check that the libraries of the `train` extra are installed.

    Raises BackendError with the install command if one is missing.
    """
    for name in ("torch", "transformers", "trl", "peft", "datasets"):
        # Only looked for and not imported: importing all five takes seconds.
        if importlib.util.find_spec(name) is None:
            raise BackendError(f"{name} is not installed and is needed to train and run models; install: {INSTALL}")
