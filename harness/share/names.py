"""What may be called by its own name in a shared result, what it is called otherwise, and what its owner has to be asked."""

from __future__ import annotations

import secrets
from collections.abc import Callable, Mapping

import msgspec

from harness.share import grammar

MODEL, RECIPE, IMAGE, SERVER = "model", "recipe", "image", "server"
HOSTS = "host"
ASKED = (MODEL, RECIPE, IMAGE, SERVER)
"""Kinds of names that may be public or private, and only their owner knows."""


class Names(msgspec.Struct, frozen=True, kw_only=True):
    public: Mapping[str, frozenset[str]] = {}
    """By kind: what everybody knows. Models of the facts and of shipped recipes, shipped recipes and their images, providers' servers."""
    said: Mapping[str, Mapping[str, str]] = {}
    """By kind and name: what its owner wants it to be called; the name itself, if it is public."""
    recipes: frozenset[str] = frozenset()
    """SHA-256 of shipped recipes' texts: such a one is shared as it is."""
    own: frozenset[str] = frozenset()
    """What tells this machine and its users from others: host and user names, addresses, serial numbers, UUIDs. Never let through, even if
    it is a word."""


class Question(msgspec.Struct, frozen=True):
    """A name of which it is not known whether it is public."""

    kind: str
    name: str


class Given:
    """The names of one submission. Whatever is renamed gets a random name, always the same within it, and another one in the next."""

    def __init__(self, names: Names, origin_ns: int = 0, draw: Callable[[], str] = lambda: secrets.token_hex(3)) -> None:
        self.names, self.origin_ns, self.draw = names, origin_ns, draw
        self.questions: list[Question] = []
        self.private: set[str] = set()
        """Kinds of which a name was not said."""
        self._own = frozenset(name.casefold() for name in names.own if name)
        self._new: dict[tuple[str, str], str] = {}
        self._plain: dict[str, bool] = {}

    def renamed(self, kind: str, name: str) -> str:
        key = (kind, name.casefold())
        if key not in self._new:
            self._new[key] = f"{kind}-{self.draw()}"
            self._plain[self._new[key]] = self._plain[self._new[key].replace("-", "_")] = True
        return self._new[key]

    def asked(self, kind: str, name: str) -> str:
        """The name if it is public, what its owner wants it to be called, or a random one; then it is a question, too."""
        if not name or name in self.names.public.get(kind, ()):
            return name
        if (said := self.names.said.get(kind, {}).get(name)) is not None:
            return said
        self.private.add(kind)
        if (question := Question(kind, name)) not in self.questions:
            self.questions.append(question)
        return self.renamed(kind, name)

    def name(self, word: str) -> str | None:
        """What a name of whatever kind is called; None: it is none that came up."""
        return next((other for kind in (HOSTS, *ASKED) if (other := self.known(kind, word)) is not None), None)

    def known(self, kind: str, name: str) -> str | None:
        """Of a name that may come up anywhere, what it is called; None: it did not come up as one of this kind."""
        if name in self.names.public.get(kind, ()):
            return name
        return self.names.said.get(kind, {}).get(name) or self._new.get((kind, name.casefold()))

    def host(self, name: str) -> str:
        return name if not name or name in (*grammar.PLAIN, "local") else self.renamed(HOSTS, name)

    def is_own(self, text: str) -> bool:
        return text.casefold() in self._own

    def plain(self, token: str) -> bool:
        """Whether it is a number or made of public words, and none of this machine's own names."""
        if token not in self._plain:
            self._plain[token] = not self.is_own(token) and grammar.is_plain(token)
        return self._plain[token]
