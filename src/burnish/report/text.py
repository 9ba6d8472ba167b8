"""How numbers and untrusted texts are written: percentages, signs, and control characters made visible."""

from __future__ import annotations

import re
import unicodedata

# A no-break space, so that a number and its unit stay on one line.
NBSP = "\u00a0"
# The minus sign, which is as wide as a plus; a hyphen is easily overlooked.
MINUS = "\u2212"
# What a table shows where there is no value.
NONE = "–"

# In this order: CSI sequences (colours, cursor), OSC sequences (titles, links) up to BEL or ST, other two-character
# escapes, and the 8-bit form of CSI.
_ESCAPES = re.compile(
    r"\x1b\[[0-?]*[ -/]*[@-~]|\x1b[\]PX^_].*?(?:\x07|\x1b\\|$)|\x1b[ -/]*[0-~]|\x9b[0-?]*[ -/]*[@-~]", re.S
)
# Unicode categories. Cc: control characters. Cf: format characters, whose bidi overrides change the order of the text.
# Cs: lone surrogates. Zl and Zp: unusual line breaks.
_HIDDEN = frozenset({"Cc", "Cf", "Cs", "Zl", "Zp"})
# Joiners are needed in emoji and in several scripts. A tab and a newline are harmless.
_KEPT = frozenset("\n\t\u200c\u200d")


def visible(text: str) -> str:
    """Return `text` with visible signs for control and format characters: ESC becomes ␛, U+202E becomes `\\u202e`."""
    # Line ends of Windows are ordinary text. A single carriage return is not: on a terminal it overwrites the line.
    text = text.replace("\r\n", "\n")
    return "".join(_shown(char) for char in text)


def _shown(char: str) -> str:
    """Return the visible form of a character."""
    if char in _KEPT or unicodedata.category(char) not in _HIDDEN:
        return char
    code = ord(char)
    if code < 0x20:
        return chr(0x2400 + code)  # Unicode's pictures of the control characters
    return f"\\u{code:04x}" if code <= 0xFFFF else f"\\U{code:08x}"


def terminal(text: str) -> str:
    """Return `text` on one line and without escape codes. It is safe to print, whoever wrote it."""
    return " ".join(lines(text).split())


def lines(text: str) -> str:
    """Return `text` with its lines and spaces but without escape codes. It is safe to print, whoever wrote it."""
    # Escape codes go first as a whole. Otherwise their letters would remain, as in "␛[31m".
    return visible(_ESCAPES.sub("", text))


def shortened(text: str, limit: int) -> str:
    """Return at most `limit` characters, and say how many were left out."""
    excess = len(text) - limit
    return text if excess <= 0 else f"{text[:limit].rstrip()} … ({excess:,} more characters)"


def percent(value: float) -> str:
    """Write a share as a percentage: 0.7 becomes "70.0 %"."""
    return f"{100 * value:.1f}{NBSP}%"


def percent_range(interval: tuple[float, float]) -> str:
    """Write an interval of shares as percentages: (0.67, 0.73) becomes "67.0 to 73.0"."""
    return f"{100 * interval[0]:.1f} to {100 * interval[1]:.1f}"


def signed_points(value: float) -> str:
    """Write a difference of shares in percentage points with its sign: 0.084 becomes "+8.4"."""
    text = f"{100 * value:+.1f}"
    # A difference that rounds to zero has no sign: "-0.0" would look like a loss.
    return "0.0" if text in {"+0.0", "-0.0"} else text.replace("-", MINUS)


def plural(count: int, noun: str) -> str:
    """Write a count with its noun: "1 seed", "5 seeds"."""
    return f"{count:,} {noun}{'' if count == 1 else 's'}"


def duration(seconds: float) -> str:
    """Write seconds in words: "3.2 s", "4 min 10 s", "2 h 05 min"."""
    if seconds < 60:
        return f"{seconds:.1f}{NBSP}s"
    # Round first: 119.7 s would otherwise become "1 min 60 s".
    minutes, rest = divmod(round(seconds), 60)
    if minutes < 60:
        return f"{minutes}{NBSP}min {rest:02d}{NBSP}s"
    return f"{minutes // 60}{NBSP}h {minutes % 60:02d}{NBSP}min"


def memory(size: int) -> str:
    """Write bytes in decimal units: 900000000 becomes "0.9 GB"."""
    return f"{size / 1e9:.1f}{NBSP}GB" if size >= 1e8 else f"{size / 1e6:.0f}{NBSP}MB"
