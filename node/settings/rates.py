"""One limit that keeps two: so many in a short window and so many in a long one. Pure arithmetic."""

import math

from node.settings.units import Rate


def narrowed(short: Rate, long: Rate) -> Rate:
    """Give a rate that keeps both limits, and of the longer one loses nothing over its window but a remainder.

    A window of *long* is covered by k windows a k-th as long; a k-th of its amount in each of them keeps it, and keeps
    *short* too once that is no more than it allows: 30/min and 100/h become 25 in 15 min.
    """
    parts = math.ceil(long.amount / short.amount)
    if long.window_s / parts >= short.window_s:
        return Rate(long.amount // parts, long.window_s / parts)
    covering = math.ceil(long.window_s / short.window_s)
    return Rate(max(1, min(short.amount, long.amount // covering)), short.window_s)
