"""Which device, number format and how many threads."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import torch

from burnish.backends import Progress
from burnish.config import DType, Execution, ModelConfig
from burnish.errors import BackendError


@dataclass(frozen=True, slots=True, kw_only=True)
class Runtime:
    """Where models run, how progress is told, and where base models are by their content."""

    device: torch.device
    execution: Execution
    progress: Progress
    sources: Mapping[str, ModelConfig]


def choose_device(wanted: str) -> torch.device:
    """Return the device asked for; `auto` takes CUDA, then MPS, then the CPU."""
    there = {"cuda": torch.cuda.is_available(), "mps": torch.backends.mps.is_available(), "cpu": True}
    if wanted == "auto":
        return torch.device(next(name for name, available in there.items() if available))
    if not there[wanted]:
        raise BackendError(f"execution.device: {wanted!r} is not available here; set it to auto or cpu")
    return torch.device(wanted)


def choose_dtype(device: torch.device) -> DType:
    """Return bfloat16 where its matrix products are fast, else float32.

    On CPUs with AMX or AVX512-BF16 large products are about four times as fast as in float32; elsewhere slower.
    """
    match device.type:
        case "cuda":
            return DType.BFLOAT16 if torch.cuda.is_bf16_supported() else DType.FLOAT32
        # torch has no public function that says this. Its own compiler asks this one, too.
        case "cpu" if torch.ops.mkldnn._is_mkldnn_bf16_supported():
            return DType.BFLOAT16
        case _:
            return DType.FLOAT32


def torch_dtype(dtype: DType) -> torch.dtype:
    """Return torch's name of a resolved number format."""
    match dtype:
        case DType.FLOAT32:
            return torch.float32
        case DType.BFLOAT16:
            return torch.bfloat16
        case DType.AUTO:
            raise AssertionError("auto is resolved before a fingerprint is taken")


def set_threads(execution: Execution) -> None:
    """Fix the number of CPU threads: training is reproducible bit for bit only with a fixed one."""
    if execution.threads != "auto":
        torch.set_num_threads(execution.threads)
