r"""Text from outside, made safe for a terminal and for JSON.

Items, keys, names, error messages and files may hold characters that a terminal obeys instead of showing: escape
sequences, line breaks that forge a line, marks that turn the order of letters around, letters that nobody can see.
Each is shown by its JSON escape, such as `\u001b`, so that JSON text passed through here is the same document.
"""

from __future__ import annotations

import re
import shlex
from typing import Final

_C0: Final = "\x00-\x1f"
_C0_IN_LINES: Final = "\x00-\x08\x0b-\x1f"
_UNSAFE: Final = (
    f"{_C0}\x7f-\x9f"  # control characters: C0, DEL, C1
    "\u00ad\u034f\u061c\u115f\u1160\u17b4\u17b5\u180b-\u180f"  # invisible
    "\u200b-\u200f\u2028-\u202e\u2060-\u206f"  # zero width, line separators, bidirectional marks
    "\u3164\ud800-\udfff\ufe00-\ufe0d\ufeff\uffa0\ufff0-\ufffb"  # invisible, lone surrogates
    "\U0001bca0-\U0001bca3\U0001d173-\U0001d17a\U000e0000-\U000e0fff"  # shorthand, music, tags
)
_IN_LINE: Final = re.compile(f"[{_UNSAFE}]")
_IN_LINES: Final = re.compile(f"[{_UNSAFE.replace(_C0, _C0_IN_LINES, 1)}]")
_LINE_END: Final = re.compile(r"\r\n|[\n\r\x0b\x0c\x85\u2028\u2029]")
_COLOUR: Final = re.compile(r"\x1b\[[0-9;:]*m")
_NO_COLOUR: Final = "\x1b[0m"
_SHORT: Final = {"\n": "\\n", "\r": "\\r", "\t": "\\t"}


def safe(value: object) -> str:
    """A value as one line that a terminal only shows; a line break becomes a backslash and `n`."""
    text = value if isinstance(value, str) else _as_text(value)
    return text if text.isascii() and text.isprintable() else _IN_LINE.sub(_escaped, text)


def safe_lines(text: str, indent: str = "") -> str:
    """Text of several lines: line breaks and tabs stay, and `indent` begins each line but the first."""
    if text.isascii() and text.isprintable():
        return text
    if indent:
        text = f"\n{indent}".join(_LINE_END.split(text))
    return _IN_LINES.sub(_escaped, text.replace("\r\n", "\n"))


def safe_block(text: str, indent: str = "  ") -> str:
    """Text of several lines, a traceback say, with `indent` before each of them, so that none can pose as ours."""
    return indent + safe_lines(text.rstrip("\n"), indent)


def safe_with_colours(text: str, *, colours: bool) -> str:
    """Text of several lines that may set colours: they stay where `colours` are wanted, else they go.

    Colours end with their line.
    """
    if "\x1b" not in text:
        return safe_lines(text)
    return "\n".join(
        _coloured(line, colours=colours) for line in text.replace("\r\n", "\n").split("\n")
    )


def without_colours(text: str) -> str:
    """The text without sequences that set colours."""
    return _COLOUR.sub("", text)


def shell_word(text: str) -> str:
    """The text as one word of a command line for people to copy; what `safe` would change is in bash's `$'...'`."""
    word = shlex.quote(text)
    if safe(word) == word:
        return word
    return f"$'{''.join(map(_in_bash, text))}'"


def _in_bash(character: str) -> str:
    if character in "\\'":
        return f"\\{character}"
    if not _IN_LINE.match(character):
        return character
    units = character.encode(
        "utf-8", "surrogateescape" if "\udc80" <= character <= "\udcff" else "surrogatepass"
    )
    return "".join(f"\\x{unit:02x}" for unit in units)


def _coloured(line: str, *, colours: bool) -> str:
    if not colours:
        return safe_lines(without_colours(line))
    plain, codes = _COLOUR.split(line), _COLOUR.findall(line)
    shown = safe_lines(plain[0])
    shown += "".join(code + safe_lines(text) for code, text in zip(codes, plain[1:], strict=True))
    is_open = bool(codes) and codes[-1] not in (_NO_COLOUR, "\x1b[m")
    return shown + _NO_COLOUR if is_open else shown


def _escaped(match: re.Match[str]) -> str:
    character = match[0]
    if character in _SHORT:
        return _SHORT[character]
    units = character.encode("utf-16-be", "surrogatepass")
    return "".join(f"\\u{units[i : i + 2].hex()}" for i in range(0, len(units), 2))


def _as_text(value: object) -> str:
    try:
        return str(value)
    except Exception:  # noqa: BLE001 - an object of the user's may refuse
        return f"<{type(value).__name__} that cannot be shown>"
