#!/usr/bin/python
"""Documentation of the action ``clock_offset``, which runs on the control host."""

from __future__ import annotations

DOCUMENTATION = r"""
module: clock_offset
short_description: How far a host's clock is from the control host's
version_added: 0.1.0
author: m365-relay contributors (@m365-relay)
description:
  - Asks the host for the time and says how much at least its clock differs; the time the question took is taken off.
options: {}
attributes:
  check_mode:
    support: full
    description: Changes nothing.
"""

EXAMPLES = r"""
- name: Ask for the time
  m365_relay.relay.clock_offset:
  register: clock
"""

RETURN = r"""
offset_ms:
  description: The host's clock minus the control host's, in the middle of what is possible.
  returned: always
  type: float
uncertain_ms:
  description: How far the truth may be from that.
  returned: always
  type: float
"""
