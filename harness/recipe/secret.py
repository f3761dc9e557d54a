"""Telling secrets from settings, so that no plan, result or shared recipe carries one. Pure."""

from __future__ import annotations

import re

REFERENCE = re.compile(r"\$(?:([A-Za-z_]\w*)|\{([A-Za-z_]\w*)\})")
"""A value that is nothing but `$NAME` or `${NAME}`: never read by us, handed on by whoever starts the server."""

_NAME = re.compile(
    r"(^|_)(TOKEN(_R[OW]|_READ|_WRITE)?|(API|ACCESS)_?KEY(_ID)?|SECRET|PASSWORD|PASSWD|CREDENTIALS?)$", re.IGNORECASE
)
_VALUE = re.compile(r"\b(hf_[A-Za-z0-9]{20,}|sk-[A-Za-z0-9_-]{20,}|nvapi-[A-Za-z0-9_-]{20,}|gh[pousr]_[A-Za-z0-9]{20,})")
_FLAG = re.compile(r"--(?:api-key|hf-token)[= ]+['\"]?(?![$'\"{])\S")


def in_variable(name: str, value: str) -> bool:
    """By the variable's name or the value's look; a reference is not one."""
    return bool(value) and not REFERENCE.fullmatch(value) and bool(_NAME.search(name) or _VALUE.search(value))


def in_text(text: str) -> bool:
    return bool(_VALUE.search(text) or _FLAG.search(text))
