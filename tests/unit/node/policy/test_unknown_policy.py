"""Unknown outcomes by class: resend may repeat, bounce may err, verify guesses nothing."""

import pytest

from node.policy.envelope import OnUnknown, RecipientState
from node.policy.unknown import settle_unknown

HOUR = 3_600_000


@pytest.mark.parametrize(
    ("on_unknown", "expires", "state", "report", "due"),
    [
        (OnUnknown.RESEND, HOUR, RecipientState.DEFERRED, False, 60_000),
        (OnUnknown.RESEND, 60_000, RecipientState.BOUNCED, True, 0),
        (OnUnknown.BOUNCE, HOUR, RecipientState.BOUNCED, True, 0),
        (OnUnknown.VERIFY, HOUR, RecipientState.UNKNOWN, False, 0),
        (OnUnknown.VERIFY, -1, RecipientState.UNKNOWN, False, 0),
    ],
)
def test_each_class_and_expiry(on_unknown, expires, state, report, due):
    step = settle_unknown(on_unknown, 0, expires)
    assert (step.state, step.report, step.next_attempt_ms) == (state, report, due)
    assert step.reason.startswith("unknown_")
