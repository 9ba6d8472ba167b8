"""Where the weights of a model go while they are read, and whether they are kept in 4 bits."""

from __future__ import annotations

import functools
import importlib.util
import os
from dataclasses import dataclass
from typing import Any

import torch
from accelerate import DistributedType
from accelerate.state import AcceleratorState, PartialState

from burnish.backends.device import processes
from burnish.config import Execution, ModelConfig
from burnish.errors import BackendError


@dataclass(frozen=True, slots=True, kw_only=True)
class Placement:
    """Where a model goes: onto one device, or over all of them if it is `spread`."""

    device: torch.device
    spread: bool = False

    def arguments(self, base: ModelConfig, dtype: torch.dtype) -> dict[str, Any]:
        """Return the arguments with which transformers puts the weights there.

        Raises BackendError if the model is to be kept in 4 bits, or its attention needs flash-attn, and the library or
        the device is missing.
        """
        found: dict[str, Any] = {}
        if base.attention is not None:
            check_attention(base, self.device)
            found["attn_implementation"] = base.attention
        if self.spread:
            found["device_map"] = "auto"
        elif self.device.type == "cuda":
            # The weights go from the file to the GPU, and never lie in the machine's memory as a whole.
            found["device_map"] = {"": self.device}
        if base.quantise is not None:
            check_quantised(base, self.device)
            from transformers import BitsAndBytesConfig  # noqa: PLC0415 few runs need it

            # Dettmers et al. (2023), section 3: NormalFloat with double quantisation.
            found["quantization_config"] = BitsAndBytesConfig(
                load_in_4bit=True,
                bnb_4bit_quant_type=base.quantise,
                bnb_4bit_use_double_quant=True,
                bnb_4bit_compute_dtype=dtype,
            )
        return found


HOST = Placement(device=torch.device("cpu"))
"""The machine's memory."""


def place_of(device: torch.device, execution: Execution) -> Placement:
    """Return where the models of a backend go."""
    if device.type == "cuda" and processes() > 1:
        # torchrun gives each process of a machine a number, which is also that of its GPU.
        device = torch.device("cuda", int(os.environ.get("LOCAL_RANK", "0")))
    return Placement(device=device, spread=execution.device_map == "auto")


def settled(model: Any, place: Placement) -> Any:
    """Return a model on its device. One that was put in its place while it was read stays there."""
    return model if getattr(model, "hf_device_map", None) is not None else model.to(place.device)


def check_quantised(base: ModelConfig, device: torch.device) -> None:
    """Raise BackendError if a model cannot be kept in 4 bits here."""
    if importlib.util.find_spec("bitsandbytes") is None:
        raise BackendError(
            f"model {base.source!r}: quantise: {base.quantise} needs bitsandbytes; install it with "
            "pip install 'burnish[qlora]', or leave quantise out"
        )
    if device.type not in {"cuda", "cpu"}:
        raise BackendError(
            f"model {base.source!r}: quantise: {base.quantise} works on CUDA GPUs and CPUs, and models run on "
            f"{device.type} here; leave quantise out, or set execution.device: cpu"
        )


def check_attention(base: ModelConfig, device: torch.device) -> None:
    """Raise BackendError if a model's attention cannot be computed here in the way that its settings say."""
    if base.attention != "flash_attention_2":
        return
    if device.type != "cuda":
        raise BackendError(
            f"model {base.source!r}: attention: {base.attention} works on CUDA GPUs, and models run on {device.type} "
            "here; set attention to sdpa or eager, or leave it out"
        )
    if importlib.util.find_spec("flash_attn") is None:
        raise BackendError(
            f"model {base.source!r}: attention: {base.attention} needs flash-attn; install it with pip install "
            "flash-attn, set attention to sdpa or eager, or leave it out"
        )


def check_split(device: torch.device, execution: Execution) -> None:
    """Raise BackendError if a training would be said to be split over processes, and would not be.

    accelerate passes over FSDP without a word on MPS and in a single process: each process would then train the whole
    model.
    """
    if execution.split_training == "none":
        return
    if device.type not in {"cuda", "cpu"}:
        raise BackendError(
            f"execution.split_training: fsdp2 found, and the device is {device.type}: models are split over CUDA GPUs, "
            "or over CPU processes to try it; leave it out"
        )
    if processes() < 2:
        raise BackendError(
            "execution.split_training: fsdp2 found, but there is one process; set execution.needs: {train: "
            "{processes: 2}}, or start a program that trains through burnish.backends with torchrun "
            "(docs/training.md), or leave it out"
        )
    if device.type == "cpu":
        split_on_cpus()


@functools.cache
def split_on_cpus() -> None:
    """Let accelerate split models over processes on CPUs in this process, as it does over GPUs.

    PyTorch can do it (with gloo), and accelerate passes over the setting without a word. It serves to try a training
    without GPUs.
    """
    original: Any = AcceleratorState.__init__

    def initialised(self: Any, *args: Any, fsdp_plugin: Any = None, **kwargs: Any) -> None:
        original(self, *args, fsdp_plugin=fsdp_plugin, **kwargs)
        if fsdp_plugin is not None and self.distributed_type is DistributedType.MULTI_CPU:
            self.distributed_type, self.fsdp_plugin = DistributedType.FSDP, fsdp_plugin
            # As accelerate does for GPUs.
            PartialState._shared_state["distributed_type"] = DistributedType.FSDP  # pyright: ignore[reportPrivateUsage]

    AcceleratorState.__init__ = initialised
