"""How models, annotators and methods are named in reports and cards: without addresses or folders of this machine."""

from __future__ import annotations

import ipaddress
import os
import re
from collections.abc import Sequence
from pathlib import Path
from typing import assert_never
from urllib.parse import urlsplit

from burnish.config import (
    CommandConfig,
    FileProposals,
    JudgeConfig,
    MajorityConfig,
    OracleConfig,
    RefineSettings,
    RouteConfig,
    ServerProposals,
    looks_like_hub_id,
)
from burnish.config.annotators import AnnotatorSettings
from burnish.config.methods import MethodSettings
from burnish.models.location import BUILTIN

_INTERPRETER = re.compile(r"(python|node|ruby|perl|bash|sh|deno|Rscript)[\d.]*(\.exe)?$")
"""Programs that run a script. The script's name says more than theirs."""


def is_hub_id(source: str) -> bool:
    """Say whether a source is a hub id, and not a file or folder on this machine or a built-in model."""
    # `data/rows` looks like a hub id. If there is such a file, it is the file that is meant.
    return looks_like_hub_id(source) and not os.path.exists(os.path.expanduser(source))


def public_name(source: str) -> str:
    """Return the name of a source, without its place on this machine."""
    return source if is_hub_id(source) or source.startswith(BUILTIN) else f"{Path(source).name} (local)"


def method_words(method: MethodSettings) -> str:
    """Return a method with its settings, sorted by name."""
    # The checker is a command with arguments, which may name places or keys: only the program's name is shown.
    values = method.model_dump(mode="json", exclude={"kind", "name", "checker"})
    settings = [f"{key} {value}" for key, value in sorted(values.items())]
    settings += [f"checked by the program {program_name(method.program)}"] if method.program else []
    return f"{method.kind} ({', '.join(settings)})"


def proposals_words(config: RefineSettings) -> str:
    """Say who proposed, without addresses of this machine."""
    match config.proposals:
        case FileProposals(path=path):
            return f"a file, {Path(path).name}"
        case ServerProposals(model=model, base_url=address):
            host = public_host(address)
            return f"the model {model} on a server{f' at {host}' if host else ''}"
        case None:
            assert config.model is not None, config
            return public_name(config.model.source)
        case _:
            assert_never(config.proposals)


def annotator_words(annotator: AnnotatorSettings | None) -> str:
    """Say who compared, without addresses of this machine, arguments of programs, or fields that may hold a key."""
    match annotator:
        case None:
            return "nobody"
        case MajorityConfig():
            # The members are named in the order in which they are configured.
            return "a vote of " + "; ".join(map(annotator_words, annotator.of))
        case RouteConfig():
            return (
                f"a route: {annotator_words(annotator.first)}; where it is not sure, {annotator_words(annotator.then)}"
            )
        case _:
            return _one_annotator_words(annotator)


def _one_annotator_words(annotator: AnnotatorSettings) -> str:
    match annotator:
        case JudgeConfig():
            host = public_host(annotator.base_url)
            return f"judge, the model {annotator.model}{f' at {host}' if host else ''}; criteria: {annotator.criteria}"
        case CommandConfig():
            return f"command, the program {program_name(annotator.command)}"
        case OracleConfig(column=str(column)):
            return f"oracle, right answers in the column {column}"
        case _:  # other packages may add kinds of annotators
            model = annotator.base_model
            return annotator.kind if model is None else f"{annotator.kind}, the model {public_name(model.source)}"


def program_name(command: Sequence[str]) -> str:
    """Return a program's name without its folder. If an interpreter runs a script, return the name of the script."""
    # The first argument with a suffix that is no option, as in `python -u judge.py`.
    script = next((word for word in command[1:] if Path(word).suffix and not word.startswith("-")), None)
    return Path(script if script and _INTERPRETER.match(Path(command[0]).name) else command[0]).name


def public_host(address: str) -> str:
    """Return the host of a public server, or an empty text for a server on this machine or in a private network."""
    host = urlsplit(address).hostname or ""
    try:
        # Raises ValueError where the host is a name and not a number.
        return host if ipaddress.ip_address(host).is_global else ""
    except ValueError:
        # Names without a dot, and these endings, exist in local networks alone.
        private = "." not in host or host.endswith((".local", ".internal", ".lan", ".localhost"))
        return "" if private else host
