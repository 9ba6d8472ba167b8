"""What models, annotators and methods are called in reports and cards: without addresses or folders of this machine."""

from __future__ import annotations

import ipaddress
import os
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from burnish.config import looks_like_hub_id
from burnish.models.location import BUILTIN

_INTERPRETER = re.compile(r"(python|node|ruby|perl|bash|sh|deno|Rscript)[\d.]*(\.exe)?$")


def is_hub_id(source: str) -> bool:
    """Say whether a source is a hub id: not a file or folder here, nor a built-in model."""
    return looks_like_hub_id(source) and not os.path.exists(os.path.expanduser(source))


def public_name(source: str) -> str:
    """Return what a source is called, without where it lies on this machine."""
    return source if is_hub_id(source) or source.startswith(BUILTIN) else f"{Path(source).name} (local)"


def method_words(method: Mapping[str, Any]) -> str:
    """Say a method with its settings."""
    settings = [f"{key} {value}" for key, value in method.items() if key not in {"kind", "name", "checker"}]
    checker = method.get("checker")
    settings += [f"checked by the program {program_name(checker)}"] if checker else []
    return f"{method['kind']} ({', '.join(settings)})"


def annotator_words(annotator: Mapping[str, Any] | None) -> str:
    """Say who compared, without addresses of this machine, arguments of programs or fields that may hold a key."""
    match annotator:
        case None:
            return "nobody"
        case {"kind": "majority", "of": members}:
            return "a vote of " + "; ".join(annotator_words(one) for one in members)
        case {"kind": "judge", "model": model, "criteria": criteria, "base_url": address}:
            host = public_host(str(address))
            return f"judge, the model {model}{f' at {host}' if host else ''}; criteria: {criteria}"
        case {"kind": kind, "model": model}:
            return f"{kind}, the model {public_name(str(model['source']))}"
        case {"kind": "command", "command": command}:
            return f"command, the program {program_name(command)}"
        case _:
            column = annotator.get("column")
            return f"{annotator['kind']}{f', right answers in the column {column}' if column else ''}"


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
