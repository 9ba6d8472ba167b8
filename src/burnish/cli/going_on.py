"""The command that continues a run after a pause."""

from __future__ import annotations

from collections.abc import Sequence

LIMITS = {"--max-calls": 100, "--max-cost": 1}
"""Options that limit spending. The number is the value that is proposed where the old limit was 0."""


def going_on(words: Sequence[str], message: str) -> list[str]:
    """Return the words of the command that continues a run which paused with this message.

    It is the command that the user gave (`words`). If a limit was reached, the same command would only pause again, so
    the proposed command has twice the limit.
    """
    for option, least in LIMITS.items():
        # The message of the pause says which limit was reached. It names the option, or the field of the config.
        if f"raise {option} " in message:
            return _doubled(words, option, least)
        setting = f"execution.{option.removeprefix('--').replace('-', '_')}"
        if f"raise {setting} " in message and (spent := _number_after(message, setting)) is not None:
            # Appended and not replaced: where --set names a field twice, the last one counts.
            return [*words, "--set", f"{setting}={_twice(spent, least)}"]
    return list(words)


def _doubled(words: Sequence[str], option: str, least: int) -> list[str]:
    """Double the value of an option. The option may be written as two words or as one with `=`."""
    doubled: list[str] = []
    for word in words:
        if doubled and doubled[-1] == option:
            doubled.append(_twice(word, least))
        elif word.startswith(f"{option}="):
            doubled.append(f"{option}={_twice(word.partition('=')[2], least)}")
        else:
            doubled.append(word)
    return doubled


def _number_after(message: str, setting: str) -> str | None:
    """Return the limit from words such as `(execution.max_calls 4)`, or None if they are not in the message."""
    _, separator, rest = message.partition(f"({setting} ")
    return rest.partition(")")[0] if separator else None


def _twice(number: str, least: int) -> str:
    """Return the doubled number as text, or `least` if it is not above 0. A text that is not a number stays as it
    is."""
    try:
        # `g` writes 200 and not 200.0: --max-calls takes whole numbers only.
        return f"{float(number) * 2:.15g}" if float(number) > 0 else str(least)
    except ValueError:
        return number
