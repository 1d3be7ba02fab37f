"""Action: how far a host's clock is from the control host's."""

from __future__ import annotations

import time

from ansible.errors import AnsibleActionFail

from ansible.plugins.action import ActionBase

TRIES = 3


class ActionModule(ActionBase):
    """Asks the host for the time between two looks at the own clock; the quickest of three answers counts."""

    TRANSFERS_FILES = False
    _requires_connection = True

    def run(self, tmp: str | None = None, task_vars: dict | None = None) -> dict:
        """Run the action."""
        result = super().run(tmp, task_vars)
        self.validate_argument_spec({})
        found = []
        for _ in range(TRIES):
            before = time.time()
            said = self._low_level_execute_command("date +%s.%N")
            after = time.time()
            try:
                there = float(said["stdout"].strip().splitlines()[-1])
            except (ValueError, IndexError):
                raise AnsibleActionFail(
                    f"the host does not tell the time: {said.get('stderr') or said['stdout']}"
                ) from None
            found.append((after - before, there - (before + after) / 2))
        took, offset = min(found)
        return result | {
            "changed": False,
            "offset_ms": round(offset * 1_000, 1),
            "uncertain_ms": round(took * 500, 1),
        }
