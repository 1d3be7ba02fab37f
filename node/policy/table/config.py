"""A row of the reply table from the configuration (settings key ``replies``), every fault named at once.

replies:
  - {enhanced: 5.7.1, text: [greylisted], path: smarthost, scope: recipient, outcome: retry, reason: greylisted,
     cool_down: 5m}
"""

from collections.abc import Callable, Iterable, Mapping
from enum import StrEnum
from typing import Any, Final, TypeVar

from node.policy.reply import Stage
from node.policy.table.row import ANY_M365, BEFORE_MAIL, CLASS_DIGITS, Row
from node.policy.verdict import Hint, Narrow, Outcome, Scope

_KEYS: Final = (
    *("code", "enhanced", "text", "any_text", "stage", "path", "scope", "outcome", "reason", "cool_down", "then"),
    *("tries", "alert", "park", "narrow", "hint", "source"),
)
_OUTCOMES: Final = frozenset(Outcome) - {Outcome.DELIVERED, Outcome.UNKNOWN}
_PATHS: Final = (*ANY_M365, "smarthost")
_RESTING: Final = frozenset({Scope.ACCOUNT, Scope.ACCOUNT_FROM, Scope.PATH, Scope.PATH_SITE, Scope.TENANT})

Word = TypeVar("Word", bound=StrEnum)


def rows_from_config(items: Iterable[Mapping[str, object]], duration: Callable[[Any], float] = float) -> list[Row]:
    """Read every row; raises ValueError with all faults of all rows, one a line."""
    rows, faults = [], []
    for number, item in enumerate(items):
        try:
            rows.append(row_from_config(item, place=f"replies[{number}]", duration=duration))
        except ValueError as error:
            faults.append(str(error))
    if faults:
        raise ValueError("\n".join(faults))
    return rows


def row_from_config(
    mapping: Mapping[str, object], *, place: str = "replies", duration: Callable[[Any], float] = float
) -> Row:
    """Read one row; ``duration`` turns ``10m`` into seconds. Raises ValueError naming place and key."""
    reader = _Reader(mapping, place)
    outcome = reader.word("outcome", Outcome, among=_OUTCOMES)
    row = Row(
        reason=reader.reason(),
        scope=reader.word("scope", Scope),
        outcome=outcome,
        source=reader.text("source") or place,
        codes=tuple(reader.code(value) for value in reader.many("code")),
        enhanced=tuple(reader.enhanced(str(value)) for value in reader.many("enhanced")),
        text=tuple(str(value).lower() for value in reader.many("text")),
        any_text=tuple(str(value).lower() for value in reader.many("any_text")),
        stages=tuple(reader.as_word("stage", value, Stage) for value in reader.many("stage")),
        paths=tuple(reader.path(str(value)) for value in reader.many("path")),
        schedule=tuple(reader.seconds(value, duration) for value in reader.many("cool_down")),
        then=reader.word("then", Outcome, among=_OUTCOMES) if "then" in mapping else None,
        tries=reader.number("tries", 1),
        alert=reader.flag("alert"),
        park=reader.flag("park"),
        narrow=reader.word("narrow", Narrow) if "narrow" in mapping else Narrow.ALL,
        hint=reader.word("hint", Hint) if "hint" in mapping else Hint.NONE,
    )
    reader.finish(row)
    return row


class _Reader:
    """Reads the keys of one row and collects what is wrong with them."""

    def __init__(self, mapping: Mapping[str, object], place: str) -> None:
        self._mapping = mapping
        self._place = place
        self._faults = [f"{place}.{key}: unknown key" for key in mapping if key not in _KEYS]

    def finish(self, row: Row) -> None:
        """Check the row as a whole and raise if anything was wrong."""
        if not (row.codes or row.enhanced or row.text or row.any_text):
            self._fault("", "give at least one of code, enhanced, text or any_text")
        if Outcome.BOUNCE in (row.outcome, row.then) and row.stages and set(row.stages) <= BEFORE_MAIL:
            self._fault("outcome", "a refusal before MAIL says nothing about a message and cannot bounce one")
        waits = row.outcome in (Outcome.RETRY, Outcome.SWITCH)
        if waits and not row.schedule and not row.park:
            self._fault("cool_down", "needed with outcome retry or switch, e.g. 5m")
        if row.spins:
            self._fault("outcome", f"switch with scope {row.scope} needs then: bounce, or mail would go round for ever")
        if row.park and row.scope not in _RESTING:
            self._fault("park", f"scope {row.scope} cannot be parked")
        if self._faults:
            raise ValueError("\n".join(self._faults))

    def many(self, key: str) -> list[object]:
        """Give the values of a key that takes one value or a list."""
        value = self._mapping.get(key)
        if value is None:
            return []
        return list(value) if isinstance(value, list | tuple) else [value]

    def text(self, key: str) -> str:
        """Give a text, empty if absent."""
        return str(self._mapping.get(key, ""))

    def reason(self) -> str:
        """Give the reason, a snake_case word."""
        reason = self.text("reason")
        words = reason.replace("_", "a")
        if not (words.isascii() and words.isalnum() and words == words.lower() and reason[:1].isalpha()):
            self._fault("reason", f"expected a word such as greylisted or daily_limit, not {reason!r}")
        return reason

    def word(self, key: str, kind: type[Word], among: Iterable[Word] = ()) -> Word:
        """Give one of an enumeration's words."""
        return self.as_word(key, self._mapping.get(key), kind, among)

    def as_word(self, key: str, value: object, kind: type[Word], among: Iterable[Word] = ()) -> Word:
        """Turn a value into a word of the enumeration, or note the fault and give any."""
        allowed = [word for word in kind if not among or word in among]
        found = next((word for word in allowed if word.value == str(value or "").lower()), None)
        if found is None:
            self._fault(
                key, f"expected one of {', '.join(word.value for word in allowed if word.value)}, not {value!r}"
            )
        return found or allowed[0]

    def code(self, value: object) -> int:
        """Give a reply code, or a class written ``4xx``."""
        digits = str(value).lower().removesuffix("xx")
        written = int(digits) if digits.isascii() and digits.isdigit() else 0
        if (written if written < CLASS_DIGITS else written // 100) in (4, 5):
            return written
        self._fault("code", f"expected a reply code such as 451, or 4xx or 5xx, not {value!r}")
        return 5

    def enhanced(self, value: str) -> str:
        """Give an enhanced code or a range of its last part."""
        low, dash, high = value.partition("-")
        parts = low.split(".")
        sound = len(parts) == 3 and all(part.isdigit() for part in parts) and parts[0] in ("2", "4", "5")  # noqa: PLR2004
        if not sound or (dash and not (high.isdigit() and int(parts[2]) <= int(high))):
            self._fault("enhanced", f"expected a code such as 5.7.64 or a range such as 5.7.606-649, not {value!r}")
        return value

    def path(self, value: str) -> str:
        """Give a path kind."""
        if value not in _PATHS:
            self._fault("path", f"expected one of {', '.join(_PATHS)}, not {value!r}")
        return value

    def seconds(self, value: object, duration: Callable[[Any], float]) -> float:
        """Give a time in seconds."""
        try:
            seconds = duration(value)
        except (TypeError, ValueError) as error:
            self._fault("cool_down", str(error))
            return 0.0
        if not 0 < seconds < float("inf"):
            self._fault("cool_down", f"expected a time above 0, not {value!r}")
        return seconds

    def number(self, key: str, default: int) -> int:
        """Give a count of 1 to 100."""
        value = self._mapping.get(key, default)
        if isinstance(value, int) and not isinstance(value, bool) and 1 <= value <= 100:  # noqa: PLR2004
            return value
        self._fault(key, f"expected a number from 1 to 100, not {value!r}")
        return default

    def flag(self, key: str) -> bool:
        """Give true or false."""
        value = self._mapping.get(key, False)
        if not isinstance(value, bool):
            self._fault(key, f"expected true or false, not {value!r}")
        return value is True

    def _fault(self, key: str, what: str) -> None:
        self._faults.append(f"{self._place}{'.' if key else ''}{key}: {what}")
