"""Every target, by name."""

from tests.fuzz import doors, mail, records
from tests.fuzz.target import Target

TARGETS: dict[str, Target] = {one.name: one for one in (*mail.TARGETS, *records.TARGETS, *doors.TARGETS)}
