"""Secrets and identifiers in the bytes that would leave, whatever made them: the last look, which knows nothing of redaction.

What is found is told by its kind and place, never by itself: at most its first four characters.
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Collection, Iterator, Mapping

import msgspec

from harness import secret
from harness.errors import VerifyError
from harness.share import grammar, unfold

SHOWN = 4
LEAST = 3
"""Characters of a name of this machine: a shorter one is in every text."""
EVERYWHERE = frozenset(("admin", "home", "localhost", "nobody", "root", "user", "users"))
"""Names that tell nobody from anybody else."""

_PATTERNS = {
    "e-mail address": r"[\w.+-]{1,64}@(?:[A-Za-z0-9-]{1,63}\.)+[A-Za-z]{2,18}\b",
    "home folder": r"(?:/home|/Users|/export/home|/var/home)/[^\s/\"'\\<>,;:]+|(?<![\w.-])/root\b|[A-Za-z]:\\{1,2}Users\\{1,2}[^\s\\\"']+",
    "MAC address": r"(?<![0-9A-Fa-f:-])(?:[0-9A-Fa-f]{2}([:-]))(?:[0-9A-Fa-f]{2}\1){4}[0-9A-Fa-f]{2}(?![0-9A-Fa-f:-])"
    r"|(?<![0-9A-Fa-f.])(?:[0-9a-fA-F]{4}\.){2}[0-9a-fA-F]{4}(?![0-9A-Fa-f]|\.[0-9A-Fa-f]{4})",
    "UUID": r"(?<![0-9A-Fa-f])[0-9A-Fa-f]{8}-(?:[0-9A-Fa-f]{4}-){3}[0-9A-Fa-f]{12}(?![0-9A-Fa-f-])",
    "URL with credentials": r"[A-Za-z][A-Za-z0-9+.-]{1,20}://[^\s/@\"'<>]{1,200}@[\w\[]",
    "serial number": r"(?i:\b(?:serial(?:[_ -]?(?:number|no))?|s/n|service[_ -]?tag|asset[_ -]?tag))[\"'\\]*\s{0,3}[:=#]\s{0,3}[\"'\\]*"
    r"(?=[A-Za-z-]*\d)[A-Za-z0-9-]{6,}",
    "name of a private network": r"(?<![\w.-])[A-Za-z0-9][\w-]{0,62}(?:\.[\w-]{1,63}){0,4}"
    r"\.(?:local|lan|internal|intranet|corp|localdomain|home\.arpa|ts\.net)(?![\w-])",
}
_FOUND = {kind: re.compile(pattern) for kind, pattern in _PATTERNS.items()}
_IPV4 = re.compile(r"(?<![\w.])(\d{1,3}(?:\.\d{1,3}){3})(?![\w]|\.\d)")
_IPV6 = re.compile(r"(?<![\w:.])[0-9A-Fa-f]{3,4}:[0-9A-Fa-f:]{2,40}(?:%\w+)?(?![\w:])")
_VERSION = re.compile(
    r"(?:version|[=~<>]=|\bv|release|driver|toolkit|cuda|rev)[\"'\\]*\s{0,2}[:=]?\s{0,2}[\"'\\]*$", re.IGNORECASE
)
"""Before four numbers that are a version."""


class Hit(msgspec.Struct, frozen=True, order=True):
    place: str
    kind: str
    shown: str

    def __str__(self) -> str:
        return f"{self.place}: {self.kind} ({self.shown}…)"


def scan(files: Mapping[str, bytes], own: Collection[str] = ()) -> list[Hit]:
    """All that is found, each once a place. `own`: names of this machine and its users, and secrets that are known by themselves."""
    names = _names(own)
    hits: set[Hit] = set()
    for name, held in files.items():
        for place, text in ((f"the name of {name}", name), *unfold.data(name, held)):
            hits.update(Hit(place, kind, _short(what)) for kind, what in _kinds(text, names))
    return sorted(hits)


def require(files: Mapping[str, bytes], own: Collection[str] = ()) -> None:
    """Raises `VerifyError` unless nothing is found."""
    if hits := scan(files, own):
        said = [str(hit) for hit in hits]
        more = f"; and {len(said) - 3} more" if len(said) > 3 else ""
        raise VerifyError(
            f"nothing was sent, as it holds what must not leave: {'; '.join(said[:3])}{more}",
            "take it out of the recipe or rename it, and measure again; if redaction should have left it out, report the place and kind",
            tuple(said),
        )


def _kinds(text: str, names: re.Pattern[str] | None) -> Iterator[tuple[str, str]]:
    yield from secret.found(text)
    for kind, pattern in _FOUND.items():
        yield from ((kind, match[0]) for match in pattern.finditer(text))
    for match in _IPV4.finditer(text):
        if _tells(match[1]) and not _VERSION.search(text, max(0, match.start() - 24), match.start()):
            yield "IPv4 address", match[1]
    for match in _IPV6.finditer(text):
        if match[0].count(":") > 1 and _tells(match[0].partition("%")[0]):
            yield "IPv6 address", match[0]
    if names:
        yield from (("name of this machine or its user", match[0]) for match in names.finditer(text))


def _tells(text: str) -> bool:
    """Whether it is an address of one machine among others."""
    try:
        address = ipaddress.ip_address(text)
    except ValueError:
        return False
    documented = address.is_private and any(address in network for network in _EXAMPLES if network.version == address.version)
    return not (address.is_loopback or address.is_unspecified or documented or str(address) == "255.255.255.255")


_EXAMPLES = [
    ipaddress.ip_network(each) for each in ("192.0.2.0/24", "198.51.100.0/24", "203.0.113.0/24", "2001:db8::/32", "0.0.0.0/8")
]


def _names(own: Collection[str]) -> re.Pattern[str] | None:
    known = {name for name in own if len(name) >= LEAST and name.casefold() not in EVERYWHERE | grammar.words()}
    if not known:
        return None
    listed = "|".join(re.escape(name) for name in sorted(known, key=len, reverse=True))
    return re.compile(rf"(?<![A-Za-z0-9])(?:{listed})(?![A-Za-z0-9])", re.IGNORECASE)


def _short(what: str) -> str:
    """Enough to find it again, and too little to use it."""
    return what[: min(SHOWN, len(what) // 3)]
