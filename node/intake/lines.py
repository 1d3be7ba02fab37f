"""Questions about many lines at once, answered without a loop over them. Pure."""

from typing import Final

UNIFORM_MIN_LINES: Final = 32
"""From here on it pays to ask whether all lines are of one length, as an attachment's in base64 are."""


def uniform_lines(block: bytes) -> bool:
    """Whether ``block`` is surely nothing but CRLF lines of one length, the last one perhaps shorter.

    Ten times as fast as looking at every line end: the line ends are taken by their distance, and in a copy without
    them no CR or LF may be left. False says nothing: the lines may be of several lengths, or an end be wrong.
    """
    width = block.find(b"\n") + 1
    lines = len(block) // width if width > 1 else 0
    if lines < UNIFORM_MIN_LINES or not block.endswith(b"\r\n"):
        return False
    copy = bytearray(block)
    for start, end in ((width - 2, b"\r"), (width - 1, b"\n")):
        if block[start : width * lines : width] != end * lines:
            return False
        copy[start : width * lines : width] = b" " * lines
    if len(block) > width * lines:
        copy[-2:] = b"  "
    return b"\r" not in copy and b"\n" not in copy


def crlf_lines(block: bytes) -> bool:
    """Whether every CR and LF of ``block`` is part of a CRLF, and one ends it.

    Lines are split at CR, LF and CRLF alike, so exactly then two octets a line are missing from what is left.
    """
    lines = block.splitlines()
    return len(b"".join(lines)) + 2 * len(lines) == len(block)


def longest_exceeds(block: bytes, limit: int) -> bool:
    """Whether a line of ``block`` (complete CRLF lines) has more than ``limit`` octets; hops instead of walking."""
    position, size, hop = 0, len(block), limit + 2
    while size - position > hop:
        feed = block.rfind(b"\n", position, position + hop)
        if feed < 0:
            return True
        position = feed + 1
    return False
