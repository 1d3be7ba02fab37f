"""How the console writes things down: all of it is text, and nothing in it can drive a browser or mislead. Pure."""

from typing import Final

from markupsafe import Markup, escape

from node.admin.control import ReplyView
from node.policy.reply import said as answered
from node.settings.when import show_ms, show_span

REPLACED: Final = "\N{REPLACEMENT CHARACTER}"
STATES: Final = {
    "good": {"ready", "healthy", "delivered", "live", "fine", "leads"},
    "warn": {"queued", "in_flight", "deferred", "held", "probing", "resting", "joining", "unknown", "parked"},
    "bad": {"bounced", "dead", "not ready", "silent", "out", "outlier", "no_majority", "absent"},
}


def clean(value: object) -> object:
    """Make text safe to look at: control characters and those that turn the direction of reading are replaced.

    Given to Jinja as ``finalize``: each ``{{ … }}`` goes through it, and is escaped after that.
    """
    if value is None:
        return ""
    if isinstance(value, Markup):
        return value
    return "".join(char if char.isprintable() else REPLACED for char in str(value))


def moment(at_ms: int) -> Markup:
    """Write an instant in UTC, to the second, for people and programs."""
    if not at_ms:
        return Markup("")
    text = show_ms(at_ms)
    machine = escape(text.replace(" ", "T") + "Z")
    return Markup('<time datetime="{}">{}</time>').format(machine, text[:19])


def said(reply: ReplyView) -> str:
    """Write an answer from upstream."""
    return answered(reply.code, reply.enhanced, reply.text)


def span(milliseconds: float) -> str:
    """Write a length of time."""
    return show_span(milliseconds / 1000)


def tone(state: str) -> str:
    """Give the colour's name of a state: ``good``, ``warn``, ``bad`` or ``plain``; the word stands beside it always."""
    return next((name for name, states in STATES.items() if state in states), "plain")


def size(number: float) -> str:
    """Write octets."""
    for unit in ("B", "KiB", "MiB", "GiB"):
        if number < 1024:  # noqa: PLR2004 - the unit itself
            return f"{number:.0f} {unit}" if unit == "B" else f"{number:.1f} {unit}"
        number /= 1024
    return f"{number:.1f} TiB"


def rate(number: float) -> str:
    """Write a rate of a second."""
    return f"{number:.1f}/s"
