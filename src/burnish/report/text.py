"""How numbers and strangers' text are written: percentages, signs, and control characters made harmless."""

from __future__ import annotations

import re
import unicodedata

NBSP = "\u00a0"
MINUS = "\u2212"
NONE = "–"

# CSI (colours, cursor), OSC (titles, links) up to BEL or ST, other two-character escapes; then the 8-bit forms.
_ESCAPES = re.compile(
    r"\x1b\[[0-?]*[ -/]*[@-~]|\x1b[\]PX^_].*?(?:\x07|\x1b\\|$)|\x1b[ -/]*[0-~]|\x9b[0-?]*[ -/]*[@-~]", re.S
)
# Cc: control, Cf: format (bidi overrides reorder what is read), Cs: lone surrogates, Zl and Zp: odd line breaks.
_HIDDEN = frozenset({"Cc", "Cf", "Cs", "Zl", "Zp"})
# Joiners are needed in emoji and in several scripts; a tab and a newline show as what they are.
_KEPT = frozenset("\n\t\u200c\u200d")


def visible(text: str) -> str:
    """Return `text` with control and format characters replaced by visible ones: ESC becomes ␛, U+202E `\\u202e`."""
    text = text.replace("\r\n", "\n")
    return "".join(_shown(char) for char in text)


def _shown(char: str) -> str:
    if char in _KEPT or unicodedata.category(char) not in _HIDDEN:
        return char
    code = ord(char)
    if code < 0x20:
        return chr(0x2400 + code)
    return f"\\u{code:04x}" if code <= 0xFFFF else f"\\U{code:08x}"


def terminal(text: str) -> str:
    """Return `text` on one line without escape codes, safe to print whoever wrote it."""
    return " ".join(lines(text).split())


def lines(text: str) -> str:
    """Return `text` with its lines and spaces but without escape codes, safe to print whoever wrote it."""
    return visible(_ESCAPES.sub("", text))


def shortened(text: str, limit: int) -> str:
    """Return at most `limit` characters, and how many were left out."""
    rest = len(text) - limit
    return text if rest <= 0 else f"{text[:limit].rstrip()} … ({rest:,} more characters)"


def percent(value: float) -> str:
    """Write a share: 0.7 is "70.0 %"."""
    return f"{100 * value:.1f}{NBSP}%"


def percent_range(interval: tuple[float, float]) -> str:
    """Write an interval of shares: (0.67, 0.73) is "67.0 to 73.0"."""
    return f"{100 * interval[0]:.1f} to {100 * interval[1]:.1f}"


def signed_points(value: float) -> str:
    """Write a difference of shares in percentage points with its sign: 0.084 is "+8.4"."""
    text = f"{100 * value:+.1f}"
    return "0.0" if text in {"+0.0", "-0.0"} else text.replace("-", MINUS)


def plural(count: int, noun: str) -> str:
    """Write a count with its noun: "1 seed", "5 seeds"."""
    return f"{count:,} {noun}{'' if count == 1 else 's'}"


def duration(seconds: float) -> str:
    """Write seconds as people say them: "3.2 s", "4 min 10 s", "2 h 05 min"."""
    if seconds < 60:
        return f"{seconds:.1f}{NBSP}s"
    minutes, rest = divmod(round(seconds), 60)
    if minutes < 60:
        return f"{minutes}{NBSP}min {rest:02d}{NBSP}s"
    return f"{minutes // 60}{NBSP}h {minutes % 60:02d}{NBSP}min"


def memory(size: int) -> str:
    """Write bytes in decimal units: 900000000 is "0.9 GB"."""
    return f"{size / 1e9:.1f}{NBSP}GB" if size >= 1e8 else f"{size / 1e6:.0f}{NBSP}MB"
