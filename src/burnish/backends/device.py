"""Chooses the device, the number format and the number of threads."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, field

import torch

from burnish.backends import Progress
from burnish.backends.resident import Resident
from burnish.backends.tracking import Tracking
from burnish.config import DType, Execution, ModelConfig
from burnish.errors import BackendError


@dataclass(frozen=True, slots=True, kw_only=True)
class Runtime:
    """Where models run, where progress is reported, and who gets metrics (None if nobody does).

    `sources` maps the content of a base model to its place.
    """

    device: torch.device
    execution: Execution
    progress: Progress
    sources: Mapping[str, ModelConfig]
    tracking: Tracking | None = None
    resident: Resident = field(default_factory=Resident)
    """The base model that stays in memory."""


def choose_device(wanted: str) -> torch.device:
    """Return the device that `wanted` names. For `auto` it is CUDA if available, else MPS, else the CPU.

    Raises BackendError if the device is not available.
    """
    there = {"cuda": torch.cuda.is_available(), "mps": torch.backends.mps.is_available(), "cpu": True}
    if wanted == "auto":
        return torch.device(next(name for name, available in there.items() if available))
    if not there[wanted]:
        raise BackendError(f"execution.device: {wanted!r} is not available here; set it to auto or cpu")
    return torch.device(wanted)


def choose_dtype(device: torch.device) -> DType:
    """Return bfloat16 if matrix products in it are fast on this device, else float32.

    On CPUs with AMX or AVX512-BF16, large products are about four times as fast in bfloat16 as in float32. On other
    CPUs they are slower.
    """
    match device.type:
        case "cuda":
            return DType.BFLOAT16 if torch.cuda.is_bf16_supported() else DType.FLOAT32
        # torch has no public function for this. Its own compiler calls this one, too.
        case "cpu" if torch.ops.mkldnn._is_mkldnn_bf16_supported():
            return DType.BFLOAT16
        case _:
            return DType.FLOAT32


def torch_dtype(dtype: DType) -> torch.dtype:
    """Return torch's type for a number format. The format must not be `auto`."""
    match dtype:
        case DType.FLOAT32:
            return torch.float32
        case DType.BFLOAT16:
            return torch.bfloat16
        case DType.AUTO:
            raise AssertionError("auto is resolved before a fingerprint is taken")


def processes() -> int:
    """Return the number of processes that train together. torchrun starts them and sets WORLD_SIZE."""
    return int(os.environ.get("WORLD_SIZE", "1"))


def is_first() -> bool:
    """Say whether this process is the one that writes files and shows progress. torchrun sets RANK."""
    return os.environ.get("RANK", "0") == "0"


def set_threads(execution: Execution) -> None:
    """Set the number of CPU threads. Training is reproducible bit for bit only with a fixed number of threads."""
    if execution.threads != "auto":
        torch.set_num_threads(execution.threads)
