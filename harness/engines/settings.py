"""A server's account of its own settings, flattened to text; secrets and long texts are left out."""

from __future__ import annotations

from harness import secret

LONGEST_TEXT = 200
LONGEST_LIST = 8


def flatten(page: object, under: str = "") -> dict[str, str]:
    """`{"a": {"b": 1}}` → `{"a.b": "1"}`. Secrets, nulls, long lists and long texts are dropped."""
    found: dict[str, str] = {}
    inner: list[tuple[str, object]] = []
    if isinstance(page, dict):
        inner = [(str(key), value) for key, value in page.items() if not secret.in_name(str(key))]
    elif isinstance(page, list):
        inner = [(str(index), value) for index, value in enumerate(page)] if len(page) <= LONGEST_LIST else []
    elif page is not None and len(text := str(page)) <= LONGEST_TEXT and not secret.in_text(text):
        found[under] = text
    for name, value in inner:
        found |= flatten(value, f"{under}.{name}" if under else name)
    return found
