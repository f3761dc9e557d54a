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
_TIES = re.compile(r"[-_./:=,+~·×%°²@|'’]")
_TIED = re.compile(rf"(?:[A-Za-z0-9]|{_TIES.pattern})+")
_CAMEL = re.compile(r"(?<=[a-z])(?=[A-Z][a-z])")
CELL = re.compile(r"d\d{1,8}-(?:pp\d{1,8}-tg\d{1,8}|mix\d{1,4})(?:x\d{1,4})?-[cr]\d{1,8}(?:\.\d{1,6})?|trace-\d{1,9}")
"""The id of one without a variant."""
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
    """A number, a word, or several tied together: `tok/s`, `max-model-len`, `0.32.0`, `d0-pp2048-tg128-c1`. At most two parts may be bare
    numbers or numbers with a letter, else addresses would pass."""
    if len(text) > LONGEST or "::" in text or "//" in text or not _TIED.fullmatch(text):
        return text in PLAIN
    if is_number(text) or is_word(text) or text in PLAIN or _VERSION.fullmatch(text) or CELL.fullmatch(text):
        return True
    parts = [part for part in _TIES.split(_CAMEL.sub("-", text)) if part]
    if not parts or sum(any(c.isdigit() for c in part) and len(part.strip("0123456789")) < 2 for part in parts) > 2:
        return False
    return all((part.isdigit() and len(part) <= 10) or is_word(part) for part in parts)


def tokens(text: str) -> list[str]:
    """Of a sentence, without the punctuation around them."""
    return [
        token
        for word in _WORDS.findall(text)
        if (token := word.rstrip(_EDGE + "/").lstrip(":;'’+=-,")) and re.search(r"\w", token)
    ]


_RELEASE = re.compile(r"g?[0-9a-f]{7,10}|\d+(rc|dev|post|a|b)\d*|\d{1,6}|20\d{6}")


def version(text: str) -> str:
    """As much of it as is one: `0.32.0+cpu`, `xllamacpp 2026.10.11549`; of `6.8-acme-3` the number. Empty: it is none."""
    parts = re.split(r"[ .+_~-]", text)
    odd = [part for part in parts if not part.isdigit() and len(part.strip("0123456789")) < 2]
    known = all(_RELEASE.fullmatch(part) or is_word(part) for part in parts)
    if known and len(odd) < 2 and len(text) <= 80 and not re.search(r"\d+([.-]\d+){3}", text):
        return text
    found = re.match(r"v?\d{1,4}(\.\d{1,6}){0,2}(?![\w.])|v?\d{1,4}\.\d{1,6}", text)
    return found[0] if found and not re.match(r"\d+(\.\d+){3}", text) else ""  # which may be an address


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
