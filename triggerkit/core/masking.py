"""Secrets that stand in locators, URLs and messages about them, masked before anybody sees them.

Masked are the user information of URLs (`http://user:password@host`), external ids, and what query strings call a
token, a signature, a password and the like. URLs inside URLs are found, percent-encoded or not.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from functools import lru_cache
from typing import Final
from urllib.parse import unquote

MASK: Final = "***"

_COLON, _SLASH, _AT = r"(?::|%(?:25)*3a)", r"(?:/|%(?:25)*2f)", r"(?:@|%(?:25)*40)"
_QUESTION = r"(?:[?&;]|%(?:25)*(?:3f|26|3b))"
_QUOTE_AT_END = r"['\"`](?:[\s,;:.)\]}]|$)"
_IN_URL = rf"(?!{_QUOTE_AT_END})[^\s<>]"
_SENSITIVE = (
    r"(?:[a-z0-9_.\-]{0,64}(?:external[_\-]?id|token|passw(?:or)?d|passphrase|pwd|secret|signature|credential"
    r"|api[_\-]?key|access[_\-]?key(?:[_\-]?id)?|authorization)s?|x-amz-[a-z0-9\-]{1,64}|sig|auth)"
)
_NAME: Final = re.compile(_SENSITIVE, re.IGNORECASE)
_MAY_HOLD_ONE: Final = re.compile(r"[@%=]|['\"]\s*:")
_SHORT: Final = 512
_USER: Final = re.compile(
    # up to the last @ of the authority, or to any @ for a password with a slash in it
    rf"(?P<before>{_COLON}{_SLASH}{{2}}|(?<=[a-z]{{2}}):/)"  # a path has lost one of two
    rf"(?:(?:(?!{_SLASH}|{_QUESTION}|#){_IN_URL}){{0,256}}{_AT}"
    rf"|(?:(?!{_SLASH}|{_QUESTION}|{_COLON}|#){_IN_URL}){{1,256}}{_COLON}(?!\d{{1,5}}(?:{_SLASH}|{_QUESTION}))"
    rf"(?:{_IN_URL}){{0,256}}{_AT})",
    re.IGNORECASE,
)
_PARAMETER: Final = re.compile(
    rf"(?P<before>(?:{_QUESTION}|(?<![a-z0-9_.\-])){_SENSITIVE})"
    r"(?:(?P<is>=['\"]?)[^\s'\"<>`&#,;)\]}]+"
    r"|(?P<coded>%(?:25)*3d)(?:(?!%(?:25)*(?:26|23))[^\s'\"<>`&#,;)\]}])+)",
    re.IGNORECASE,
)
_MEMBER: Final = re.compile(
    rf"(?P<before>(?P<quote>[\"']){_SENSITIVE}(?P=quote)\s*:\s*)(?P<value>[\"'])(?:(?!(?P=value)).)*(?P=value)",
    re.IGNORECASE,
)


def masked(text: str) -> str:
    """The text with `***` in place of each secret that it may hold."""
    if not _MAY_HOLD_ONE.search(text):
        return text
    return _masked_short(text) if len(text) < _SHORT else _masked(text)


@lru_cache(1024)
def _masked_short(text: str) -> str:
    """Locators and ARNs come again and again."""
    return _masked(text)


def _masked(text: str) -> str:
    if "@" in text or "%" in text:
        text = _USER.sub(rf"\g<before>{MASK}@", text)
    if "=" in text or "%" in text:
        text = _PARAMETER.sub(_masked_parameter, text)
    if ":" in text and ("'" in text or '"' in text):
        text = _MEMBER.sub(rf"\g<before>\g<value>{MASK}\g<value>", text)
    return text


def masked_locator(text: str) -> str:
    """The text of a locator, readable or not: the keys that hold secrets are masked whole."""
    body, mark, query = text.partition("?")
    pairs = (_masked_pair(*pair.partition("=")) for pair in query.split("&"))
    return masked(body) + mark + "&".join(pairs)


def masked_value(value: object) -> object:
    """The same for each text of a JSON-like value; a member with the name of a secret is masked whole."""
    match value:
        case str():
            return masked(value)
        case Mapping():
            return {name: _masked_member(name, one) for name, one in value.items()}
        case list() | tuple():
            return [masked_value(one) for one in value]
        case _:
            return value


def _masked_parameter(match: re.Match[str]) -> str:
    return f"{match['before']}{match['is'] or match['coded']}{MASK}"


def _masked_pair(name: str, equals: str, value: str) -> str:
    is_secret = bool(value) and bool(_NAME.fullmatch(unquote(name)))
    return f"{name}{equals}{MASK if is_secret else masked(value)}"


def _masked_member(name: object, value: object) -> object:
    if isinstance(name, str) and isinstance(value, str) and value and _NAME.fullmatch(name):
        return MASK
    return masked_value(value)
