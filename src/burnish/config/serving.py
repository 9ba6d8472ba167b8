"""Which server answers and scores in a model's place. Training stays in burnish."""

from __future__ import annotations

from enum import StrEnum

from pydantic import JsonValue, field_validator, model_validator

from burnish.config.addresses import checked_address
from burnish.config.base import Count, PositiveFloat, Retries, Settings

OWNED = frozenset(
    {
        *("--host", "--port", "--served-model-name", "--model", "--dtype", "--generation-config", "--config"),
        *(
            "--enable-lora",
            "--max-lora-rank",
            "--lora-modules",
            "--lora-target-modules",
            "--api-key",
            "--hf-token",
            "--root-path",
        ),
    }
)
"""The options of `vllm serve` that burnish sets itself, or that could hold a key."""


class ServingEngine(StrEnum):
    """The program that answers. `vllm`: vLLM's own server, which also scores and takes adapters. `openai`: any other
    server with OpenAI's `/v1/completions`, which can only answer with the model as it is."""

    VLLM = "vllm"
    OPENAI = "openai"


class ServeConfig(Settings):
    """A server that answers and scores with this model, and with the adapters that are trained on it, in the place of
    transformers. See docs/scale.md."""

    engine: ServingEngine
    """`vllm` or `openai`. `openai` stands for all other servers. They answer only with a model that is not trained
    further, and they do not score."""
    base_url: str | None = None
    """The address of a server that you started, up to `/v1`, such as http://localhost:8000/v1."""
    model: str | None = None
    """The model's name on that server. It must be there with the same weights as `source`: burnish cannot check it."""
    environment: str | None = None
    """In the place of `base_url`: a Python environment with vLLM (its folder, or its program `vllm`). burnish starts
    `vllm serve` from it on this machine when a stage needs it, and stops it before each training and at the end."""
    arguments: tuple[str, ...] = ()
    """More arguments of `vllm serve`, such as [--max-model-len, "4096"]. They are part of the identity of answers and
    scores."""
    api_key_env: str | None = None
    """The environment variable that holds the API key of the server at `base_url`. The key itself is not written to any
    file."""
    concurrency: Count = 64
    """How many requests may be under way at the same time (does not change results, except by rounding)."""
    timeout: PositiveFloat = 600.0
    """The most seconds that a request may take (does not change results)."""
    retries: Retries = 8
    """How often a failed request is sent again. The wait before each retry grows (does not change results)."""

    @field_validator("base_url")
    @classmethod
    def _an_address(cls, value: str | None) -> str | None:
        return None if value is None else checked_address(value)

    @model_validator(mode="after")
    def _one_place(self) -> ServeConfig:
        if (self.base_url is None) == (self.environment is None):
            found = "neither is" if self.base_url is None else "both are"
            raise ValueError(
                f"base_url and environment: {found} given; give base_url for a server that you started, or environment "
                "to let burnish start one"
            )
        if self.environment is not None:
            self._check_started()
        elif self.model is None:
            raise ValueError("model: none is given; give the model's name on the server at base_url")
        elif self.arguments:
            raise ValueError(f"arguments: {list(self.arguments)} found, but burnish does not start this server")
        return self

    def _check_started(self) -> None:
        if self.engine is not ServingEngine.VLLM:
            raise ValueError(f"environment: found with engine: {self.engine}; burnish starts only vllm")
        if unread := [name for name in ("model", "api_key_env") if getattr(self, name) is not None]:
            raise ValueError(f"{unread[0]}: found with environment; leave it out, since burnish starts the server")
        names = [word.partition("=")[0].replace("_", "-") for word in self.arguments]
        if owned := [name for name in names if name in OWNED]:
            raise ValueError(f"arguments: {owned[0]} cannot be set here; remove it")

    def identity(self, version: str) -> dict[str, JsonValue]:
        """Return what identifies the engine of a stage. `version` is the version that the server reports."""
        if self.engine is ServingEngine.OPENAI:  # such servers report no version, so the place has to do
            return {"engine": str(self.engine), "base_url": self.base_url, "model": self.model}
        arguments: dict[str, JsonValue] = {"arguments": list(self.arguments)} if self.arguments else {}
        return {"engine": str(self.engine), "version": version, **arguments}
