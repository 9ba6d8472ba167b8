"""Records what burnish and a real vLLM said to each other, as a small file of JSON."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any
from urllib.parse import urlsplit

from burnish.services import endpoint
from burnish.services.bounded import bounded_client
from burnish.types import Artifact, Prompt

VOLATILE = {"id", "created", "system_fingerprint", "permission"}
"""Fields of replies that say when and by which process they were made."""
ADAPTER = "FOLDER OF THE ADAPTER"
"""Stands for the path of the adapter."""


class Recorder:
    """`with Recorder() as recorder:` records the requests of clients that are made before or in the block."""

    def __init__(self) -> None:
        self.lines: list[dict[str, Any]] = []

    def __enter__(self) -> Recorder:
        listeners.append(self)
        return self

    def __exit__(self, *_: type[BaseException] | BaseException | TracebackType | None) -> None:
        listeners.remove(self)


listeners: list[Recorder] = []
"""Who records now."""


def _recording(timeout: float) -> Any:
    client: Any = bounded_client(timeout)
    send = client.send

    def noted(request: Any, **options: Any) -> Any:
        response = send(request, **options)
        line = {
            "method": request.method,
            "path": urlsplit(str(request.url)).path,
            "body": json.loads(request.content) if request.content else None,
            "status": response.status_code,
            "reply": _reply(response.text),
        }
        for recorder in listeners:
            recorder.lines.append(line)
        return response

    client.send = noted
    return client


# The client of burnish takes its HTTP client from here. So what is recorded is what goes over the wire.
endpoint.bounded_client = _recording


def _reply(text: str) -> Any:
    try:
        return _steady(json.loads(text))
    except ValueError:
        return text


def _steady(value: Any) -> Any:
    """Return a reply without the fields that are different each time, and without empty ones."""
    if isinstance(value, dict):
        # The id of a model, which also has a root, is its name. Only the id of a reply is new each time.
        return {
            n: _steady(v)
            for n, v in value.items()
            if v is not None and (n not in VOLATILE or (n == "id" and "root" in value))
        }
    return [_steady(one) for one in value] if isinstance(value, list) else value


def conversation(
    recorder: Recorder,
    renderer: Any,
    prompts: Sequence[Prompt],
    parts: Sequence[Mapping[str, Any]],
    adapter: Artifact,
    into: Path,
) -> None:
    """Write a conversation: what was asked in tokens, what burnish made of the replies, and requests with replies."""
    lines = json.loads(json.dumps(recorder.lines).replace(str(Path(adapter.path).resolve()), ADAPTER))
    for line in lines:
        for model in line["reply"].get("data", []) if line["path"].endswith("/models") else []:
            model.pop("root", None)
    found = {
        "what": "requests of burnish to a real vLLM, and its replies; `make vllm` records them",
        "end": renderer.end,
        "ends": renderer.ends,
        "prompts": [{"id": p.id, "text": p.messages[0].content, "ids": renderer.prompt(p.messages)} for p in prompts],
        "completion": {"text": "The answer is 5.", "ids": renderer.tokenizer("The answer is 5.")["input_ids"]},
        "parts": [_plain(part) for part in parts],
        "adapter": {"fingerprint": adapter.fingerprint, "name": _name_in(lines)},
        "folder": ADAPTER,
        "lines": lines,
    }
    into.write_text(_by_lines(found), encoding="utf-8")


def _by_lines(found: Mapping[str, Any]) -> str:
    """Return JSON with one line for each field, and one for each request."""
    values = {name: json.dumps(value) for name, value in found.items()}
    values["lines"] = "[\n" + ",\n".join(map(json.dumps, found["lines"])) + "\n]"
    return "{\n" + ",\n".join(f'"{name}": {value}' for name, value in values.items()) + "\n}\n"


def _plain(part: Mapping[str, Any]) -> dict[str, Any]:
    if "answers" not in part:
        return dict(part)
    return dict(part) | {"answers": {id_: dataclasses.asdict(one) for id_, one in part["answers"].items()}}


def _name_in(lines: Sequence[Mapping[str, Any]]) -> str:
    return next(line["body"]["lora_name"] for line in lines if line["path"].endswith("/load_lora_adapter"))
