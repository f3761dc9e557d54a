"""Telling secrets from settings, so that no plan, result or shared recipe carries one. Pure."""

from __future__ import annotations

import re

REFERENCE = re.compile(r"\$(?:([A-Za-z_]\w*)|\{([A-Za-z_]\w*)\})")
"""A value that is nothing but `$NAME` or `${NAME}`: plans store it so, and only the server sees what it stands for."""

_NAME = re.compile(
    r"(^|[_-])((?<!bos_|eos_|pad_|unk_|per_)(?<!first_)TOKEN(_R[OW]|_READ|_WRITE)?|(API|ACCESS)?KEYS?(_ID)?"
    r"|SECRETS?|PASSWORD|PASSWD|AUTHORIZATION|CREDENTIALS?)(_?\d+)?$",
    re.IGNORECASE,
)
"""Tokens of a text are none."""
_VALUE = re.compile(r"\b(hf_[A-Za-z0-9]{20,}|sk-[A-Za-z0-9_-]{20,}|nvapi-[A-Za-z0-9_-]{20,}|gh[pousr]_[A-Za-z0-9]{20,})")
_FLAG = re.compile(r"--(?:[\w-]+[_-])?(?:api[_-]key|hf[_-]token)['\",= ]+(?!['\",= ${])\S")


def in_name(name: str) -> bool:
    """Whether what stands under this name is a secret."""
    return bool(_NAME.search(name))


def in_text(text: str) -> bool:
    """By its look, or by the flag before it."""
    return bool(_VALUE.search(text) or _FLAG.search(text))


def in_variable(name: str, value: str) -> bool:
    """By the name or the value; a reference is no secret."""
    return bool(value) and not REFERENCE.fullmatch(value) and (in_name(name) or in_text(value))
