"""The headers of a plain tar (POSIX ustar), as a function of name and size alone."""

from __future__ import annotations

import struct

BLOCK, END = 512, bytes(1024)
"""Everything begins at a multiple of the one; the other ends it."""
NAME_BYTES, FILE_BYTES = 100, 8**11 - 1
"""What a header holds."""
_MTIME = 315_532_800
"""1980-01-01: of 1970 GNU tar warns."""


def header(name: str, size: int) -> bytes:
    """POSIX ustar: a plain file that everybody may read and only its owner write, of nobody, of 1980."""
    fields = (name.encode(), b"0000644", b"0000000", b"0000000", b"%011o" % size, b"%011o" % _MTIME, b" " * 8, b"0")
    block = struct.pack(
        "100s8s8s8s12s12s8s1s100s8s32s32s8s8s167s", *fields, b"", b"ustar\x0000", b"", b"", b"0000000", b"0000000", b""
    )
    return block[:148] + b"%06o\0 " % sum(block) + block[156:]


def told(block: bytes) -> tuple[str, int] | None:
    """(name, bytes) by a header whose own sum is right, whoever wrote it."""
    try:
        total = int(block[148:156].strip(b"\0 "), 8)
        size = int(block[124:136].strip(b"\0 "), 8)
    except ValueError:
        return None
    if len(block) != BLOCK or size < 0 or total != sum(block) - sum(block[148:156]) + 8 * ord(" "):
        return None
    parts = (block[345:500], block[:100])
    return "/".join(part.split(b"\0")[0].decode(errors="replace") for part in parts if part[0]), size
