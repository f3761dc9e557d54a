"""What may be said in a shared result: numbers, words that are public anyway, and what is made of these. Pure but for the list of words.

A token is let through for what it is, never because it looks harmless: a host name, a user's name, a token or a serial number is no
word of `words.txt`, which holds what the harness, shipped recipes and engines' parsers themselves say (`tests/share/make_words.py`).
"""

from __future__ import annotations

import re
from functools import cache
from pathlib import Path

WORDS = Path(__file__).with_name("words.txt")
LEFT_OUT = "left out before sharing"
"""Stands where a sentence was that says anything else."""
LONGEST = 2000

_PART = re.compile(r"(?P<lead>\d{0,3})(?P<word>[a-z]+)(?P<number>\d{0,6})")
_NUMBER = re.compile(r"[-+~]?(?:\d{1,10}|\d{1,3}(?:,\d{3}){1,4})(?:\.\d{1,20})?(?:e[-+]?\d{1,3})?")
_VERSION = re.compile(r"v?\d{1,4}\.\d{1,5}\.\d{1,6}|20\d\d-\d\d-\d\d")
_NOT_IN_WORDS = re.compile(r"[-_./:=,+·×%°²@|'’]")
_WORDS = re.compile(r"[^\s()\[\]{}<>\"`…→;!?*#&$≥≤±–~]+")
_EDGE = ".,:;'’+=-"
PLAIN = ("127.0.0.1", "0.0.0.0", "localhost", "::1")  # noqa: S104  names of every machine


@cache
def words() -> frozenset[str]:
    """Lower case."""
    return frozenset(WORDS.read_text(encoding="utf-8").split())


def is_number(text: str) -> bool:
    """Of at most ten digits before the point: longer ones are serial and telephone numbers."""
    return _NUMBER.fullmatch(text.lower()) is not None


def is_word(text: str) -> bool:
    """One public word, with a number before or behind it perhaps: `fp8`, `gpu0`, `64k`, `pp2048`."""
    low = text.lower()
    if low in words() or (len(low) == 1 and low.isascii()):
        return True
    found = _PART.fullmatch(low)
    return found is not None and (found["word"] in words() or len(found["word"]) == 1)


def is_plain(text: str) -> bool:
    """A number, a word, or several tied together: `tok/s`, `max-model-len`, `0.32.0`, `d0-pp2048-tg128-c1`. Of bare numbers at most two,
    else addresses would pass."""
    if not text.isascii() and not re.fullmatch(r"[\w°²×·%/.,-]+", text):
        return False
    if len(text) > LONGEST or is_number(text) or is_word(text) or text in PLAIN:
        return len(text) <= LONGEST
    if _VERSION.fullmatch(text):
        return True
    parts = [part for part in _NOT_IN_WORDS.split(re.sub(r"(?<=[a-z])(?=[A-Z][a-z])", "-", text)) if part]
    if "::" in text or sum(part.isdigit() for part in parts) > 2 or not parts:
        return False
    return all((part.isdigit() and len(part) <= 10) or is_word(part) for part in parts)


def tokens(text: str) -> list[str]:
    """Of a sentence, without the punctuation around them."""
    return [token for word in _WORDS.findall(text) if (token := word.rstrip(_EDGE + "/").lstrip(":;'’+=-,"))]


def version(text: str) -> str:
    """As much of it as is one: `0.32.0+cpu`, `xllamacpp 2026.10.11549`; of `6.8-acme-3` the number. Empty: it is none."""
    parts = re.split(r"[ .+_~-]", text)
    numbers = 0
    for part in parts:
        numbers += part.isdigit()
        known = (
            (part.isdigit() and len(part) <= 8)
            or is_word(part)
            or re.fullmatch(r"g?[0-9a-f]{7,10}|\d+(rc|dev|post|a|b)\d*", part)
        )
        if not known or numbers > 5:
            break
    else:
        if len(text) <= 80 and not re.fullmatch(r"\d+(\.\d+){3}", text):
            return text
    found = re.match(r"v?\d{1,4}(\.\d{1,6}){0,2}(?![\w.])|v?\d{1,4}\.\d{1,6}", text)
    return found[0] if found else ""


_KERNEL = re.compile(
    r"(\d+\.\d+(?:\.\d+)?)(?:-\d+(?:\.\d+)?)?(?:-(?:generic|nvidia|azure|aws|gcp|oracle|amd64|arm64)(?:-64k)?)?"
)


def kernel(text: str) -> str:
    """Of one that somebody built for themselves only the number."""
    found = _KERNEL.match(text)
    return "" if found is None else found[0] if found[0] == text else found[1]


_TIME = re.compile(r"(\d{4}-\d\d-\d\d)[T ](\d\d:\d\d:\d\d)(?:\.\d+)?(Z|[+-]\d\d:\d\d)?")


def second(text: str) -> str:
    """RFC 3339 to the second: when it was measured is part of a measurement. The offset, which tells where, was UTC all along."""
    found = _TIME.fullmatch(text)
    return f"{found[1]}T{found[2]}+00:00" if found and found[3] in (None, "Z", "+00:00") else day(text)


def day(text: str) -> str:
    found = re.match(r"20\d\d-\d\d-\d\d", text)
    return found[0] if found else ""
