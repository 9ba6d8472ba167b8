"""The command that goes on after a pause."""

from __future__ import annotations

from collections.abc import Sequence

LIMITS = {"--max-calls": 100, "--max-cost": 1}
"""Options that limit what is spent, and what is proposed in place of 0."""


def going_on(words: Sequence[str], message: str) -> list[str]:
    """Return the words of the command that goes on after a pause with this message.

    It is the same command. Where a limit is spent, the same one would only wait again, so it is doubled.
    """
    for option, least in LIMITS.items():
        if f"raise {option} " in message:
            return _doubled(words, option, least)
        setting = f"execution.{option.removeprefix('--').replace('-', '_')}"
        if f"raise {setting} " in message and (spent := _number_after(message, setting)) is not None:
            return [*words, "--set", f"{setting}={_twice(spent, least)}"]  # the last one counts
    return list(words)


def _doubled(words: Sequence[str], option: str, least: int) -> list[str]:
    """Double the value of an option, written as two words or with `=`."""
    found: list[str] = []
    for word in words:
        if found and found[-1] == option:
            found.append(_twice(word, least))
        elif word.startswith(f"{option}="):
            found.append(f"{option}={_twice(word.partition('=')[2], least)}")
        else:
            found.append(word)
    return found


def _number_after(message: str, setting: str) -> str | None:
    """Find the limit in words such as `(execution.max_calls 4)`."""
    _, there, rest = message.partition(f"({setting} ")
    return rest.partition(")")[0] if there else None


def _twice(number: str, least: int) -> str:
    try:
        return f"{float(number) * 2:.15g}" if float(number) > 0 else str(least)
    except ValueError:
        return number
