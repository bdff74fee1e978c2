"""Replaces values of items by pseudonyms; the same value has the same pseudonym within one recording.

The pseudonym is a keyed hash of the value; the key is random, is never written, and dies with the
process, so nobody can try out values against a file. A value keeps its type, and text that is an e-mail
address, a UUID or a number in digits stays one; neither length nor size says anything about the value.
Names of attributes stay, also inside maps.
"""

from __future__ import annotations

import base64
import re
import uuid
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from hashlib import blake2b
from typing import Any, Final, TypeAlias

from triggerkit.core.item_json import Wire, image_size_bytes, number_text, with_map_types
from triggerkit.errors import UsageError

_Paths: TypeAlias = Sequence[tuple[str, str]]
"""As given, and what is left of it at this level."""

SALT_BYTES: Final = 32
_IMAGES: Final = ("Keys", "NewImage", "OldImage")
_UUID: Final = re.compile(r"[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}")
_EMAIL: Final = re.compile(r"[^@\s]+@[^@\s]+\.[^@\s]+")
_DIGITS: Final = re.compile(r"[0-9]+")
_FEWEST_DIGITS: Final = {"S": 10**15, "N": 10**14}
"""16 digits of text; 15 of a number, which every language holds exactly."""


@dataclass(frozen=True, slots=True)
class Redaction:
    """What is replaced: `redact`, or unless `keep` is None everything else than that.

    A text that begins with one of `prefixes` keeps it.
    """

    redact: tuple[str, ...] = ()
    keep: tuple[str, ...] | None = None
    prefixes: tuple[str, ...] = ()

    @property
    def is_any(self) -> bool:
        """Whether anything is replaced."""
        return bool(self.redact) or self.keep is not None


def read_redaction(
    redact: Iterable[str], keep: Iterable[str], prefixes: Iterable[str]
) -> Redaction:
    """What `--redact`, `--redact-all-but` and `--keep-prefix` ask for.

    Raises:
        UsageError: the first two contradict each other, a path is empty, or nothing is redacted.
    """
    paths = {
        "--redact": _cut(redact, "--redact"),
        "--redact-all-but": _cut(keep, "--redact-all-but"),
    }
    if all(paths.values()):
        raise UsageError(
            "--redact and --redact-all-but contradict each other", hint="give one of them"
        )
    kept = _cut(prefixes, "--keep-prefix")
    if kept and not any(paths.values()):
        raise UsageError("--keep-prefix without --redact", hint="say what is to be redacted")
    return Redaction(paths["--redact"], paths["--redact-all-but"] or None, kept)


def _cut(given: Iterable[str], flag: str) -> tuple[str, ...]:
    parts = [part.strip() for text in given for part in text.split(",")]
    for part in parts:
        if not part or any(not name for name in part.split(".")):
            raise UsageError(
                f"{flag}: {part!r} is no path", hint=f"write {flag} email,address.street"
            )
    return tuple(dict.fromkeys(parts))


@dataclass(slots=True)
class Redactor:
    """Redacts the records of one recording. `salt` is the key of its pseudonyms."""

    redaction: Redaction
    salt: bytes = field(repr=False)
    _met: set[str] = field(default_factory=set)

    @property
    def unmet(self) -> tuple[str, ...]:
        """The paths that no record had, in the order given."""
        asked = self.redaction.redact or self.redaction.keep or ()
        return tuple(path for path in asked if path not in self._met)

    def redacted(self, record: Mapping[str, Any]) -> Wire:
        """A record as GetRecords answers it, with other values; its size is computed again."""
        change = dict(record["dynamodb"])
        for name in _IMAGES:
            if change.get(name) is not None:
                change[name] = self._item(with_map_types(change[name]), self._paths())
        if "SizeBytes" in change:
            images = [change[name] for name in _IMAGES if change.get(name) is not None]
            change["SizeBytes"] = sum(map(image_size_bytes, images))
        return {**record, "dynamodb": change}

    def _paths(self) -> _Paths:
        asked = self.redaction.redact or self.redaction.keep or ()
        return [(path, path) for path in asked]

    def _item(self, item: Mapping[str, Any], paths: _Paths) -> Wire:
        return {name: self._attribute(name, value, paths) for name, value in item.items()}

    def _attribute(self, name: str, value: Wire, paths: _Paths) -> Wire:
        found = [path for path, rest in paths if rest == name]
        self._met.update(found)
        below = [
            (path, rest[len(name) + 1 :]) for path, rest in paths if rest.startswith(f"{name}.")
        ]
        if found:
            return self._replaced(value) if self.redaction.keep is None else value
        return self._below(value, below)

    def _below(self, value: Wire, paths: _Paths) -> Wire:
        """Into maps, and through lists into each element."""
        match value:
            case {"M": inner} if paths:
                return {"M": self._item(inner, paths)}
            case {"L": inner} if paths:
                return {"L": [self._below(one, paths) for one in inner]}
            case _:
                return value if self.redaction.keep is None else self._replaced(value)

    def _replaced(self, value: Wire) -> Wire:
        ((kind, inner),) = value.items()
        match kind:
            case "S" | "N" | "B":
                return {kind: self._pseudonym(kind, inner)}
            case "SS" | "NS" | "BS":
                return {kind: sorted(self._pseudonym(kind[0], one) for one in inner)}
            case "M":
                return {"M": {name: self._replaced(one) for name, one in inner.items()}}
            case "L":
                return {"L": [self._replaced(one) for one in inner]}
            case "BOOL":
                return {"BOOL": False}
            case _:
                return value  # NULL says nothing

    def _pseudonym(self, kind: str, content: str) -> str:
        match kind:
            case "N":
                return _digits("N", self._hash("N", number_text(content)))
            case "B":
                return base64.b64encode(self._hash("B", content)).decode() if content else ""
            case _:
                return self._text(content)

    def _text(self, text: str) -> str:
        if not text:
            return text
        for prefix in self.redaction.prefixes:
            if text.startswith(prefix):
                return prefix + self._text(text[len(prefix) :])
        digest = self._hash("S", text)
        if _UUID.fullmatch(text):
            return str(uuid.UUID(bytes=digest, version=4))
        if _DIGITS.fullmatch(text):
            return _digits("S", digest)
        word = base64.b32encode(digest[:10]).decode().lower()
        return f"{word}@example.com" if _EMAIL.fullmatch(text) else word

    def _hash(self, kind: str, text: str) -> bytes:
        content = text.encode("utf-8", "surrogatepass")
        return blake2b(content, digest_size=16, key=self.salt, person=kind.encode()).digest()


def _digits(kind: str, digest: bytes) -> str:
    fewest = _FEWEST_DIGITS[kind]
    return str(fewest + int.from_bytes(digest, "big") % (9 * fewest))
