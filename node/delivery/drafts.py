"""Drafts of ours in a mailbox at Graph: where they are, how they are found, what a listing says. Asks nothing."""

from dataclasses import dataclass
from datetime import datetime
from typing import Final
from urllib.parse import quote

from node.m365.graph import GraphAnswer, asked, quoted

FOLDER: Final = "mailFolders/drafts/messages"
PAGE: Final = 50


@dataclass(frozen=True, slots=True)
class Draft:
    """One of them."""

    id: str
    created_ms: int
    """By Microsoft's clock; 0: not said."""


def messages() -> str:
    """Give where a draft is made, below the mailbox."""
    return "messages"


def draft(name: str) -> str:
    """Give one draft's place."""
    return f"messages/{quote(name, safe='')}"


def attachments(name: str) -> str:
    """Give the place of its attachments."""
    return f"{draft(name)}/attachments"


def drafts_of(prop: str, value: str) -> str:
    """Give the listing of drafts that have an extended property; others' drafts are not in it."""
    condition = f"singleValueExtendedProperties/any(ep: ep/id eq {quoted(prop)} and ep/value eq {quoted(value)})"
    return asked(FOLDER, {"$filter": condition, "$select": "id,createdDateTime", "$top": str(PAGE)})


def found(answer: GraphAnswer) -> list[Draft]:
    """Read such a listing."""
    rows = answer.value.get("value") if isinstance(answer.value, dict) else None
    listed = rows if isinstance(rows, list) else []
    return [
        Draft(row["id"], _ms(row.get("createdDateTime")))
        for row in listed
        if isinstance(row, dict) and isinstance(row.get("id"), str)
    ]


def _ms(text: object) -> int:
    try:
        return int(datetime.fromisoformat(str(text)).timestamp() * 1000)
    except ValueError:
        return 0
