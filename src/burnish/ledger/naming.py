"""What models, annotators and methods are called in reports and cards: without addresses or folders of this machine."""

from __future__ import annotations

import ipaddress
import os
import re
from collections.abc import Sequence
from pathlib import Path
from urllib.parse import urlsplit

from burnish.config import CommandConfig, JudgeConfig, MajorityConfig, OracleConfig, looks_like_hub_id
from burnish.config.annotators import AnnotatorSettings
from burnish.config.methods import MethodSettings
from burnish.models.location import BUILTIN

_INTERPRETER = re.compile(r"(python|node|ruby|perl|bash|sh|deno|Rscript)[\d.]*(\.exe)?$")


def is_hub_id(source: str) -> bool:
    """Say whether a source is a hub id: not a file or folder here, nor a built-in model."""
    return looks_like_hub_id(source) and not os.path.exists(os.path.expanduser(source))


def public_name(source: str) -> str:
    """Return what a source is called, without where it lies on this machine."""
    return source if is_hub_id(source) or source.startswith(BUILTIN) else f"{Path(source).name} (local)"


def method_words(method: MethodSettings) -> str:
    """Say a method with its settings, sorted by name."""
    values = method.model_dump(mode="json", exclude={"kind", "name", "checker"})
    settings = [f"{key} {value}" for key, value in sorted(values.items())]
    settings += [f"checked by the program {program_name(method.program)}"] if method.program else []
    return f"{method.kind} ({', '.join(settings)})"


def annotator_words(annotator: AnnotatorSettings | None) -> str:
    """Say who compared, without addresses of this machine, arguments of programs or fields that may hold a key."""
    if annotator is None:
        return "nobody"
    if isinstance(annotator, MajorityConfig):
        return "a vote of " + "; ".join(annotator_words(one) for one in annotator.of)
    match annotator:
        case JudgeConfig():
            host = public_host(annotator.base_url)
            return f"judge, the model {annotator.model}{f' at {host}' if host else ''}; criteria: {annotator.criteria}"
        case CommandConfig():
            return f"command, the program {program_name(annotator.command)}"
        case OracleConfig(column=str(column)):
            return f"oracle, right answers in the column {column}"
        case _:  # other packages may add kinds
            model = annotator.base_model
            return annotator.kind if model is None else f"{annotator.kind}, the model {public_name(model.source)}"


def program_name(command: Sequence[str]) -> str:
    """Return a program's name without its folder: the script's, where an interpreter runs one."""
    script = next((word for word in command[1:] if Path(word).suffix and not word.startswith("-")), None)
    return Path(script if script and _INTERPRETER.match(Path(command[0]).name) else command[0]).name


def public_host(address: str) -> str:
    """Return the host of a public server, "" for one on this machine or in a private network."""
    host = urlsplit(address).hostname or ""
    try:
        return host if ipaddress.ip_address(host).is_global else ""
    except ValueError:
        private = "." not in host or host.endswith((".local", ".internal", ".lan", ".localhost"))
        return "" if private else host
