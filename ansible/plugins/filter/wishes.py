"""Filters on operators' wishes as they stand in etcd: which keys say nothing any more."""

from __future__ import annotations

import base64
import json


def ended_wishes(listed: dict, now_s: float) -> list:
    """Give the keys below ``control/`` whose wish was ended, or has ended by its time.

    *listed*: ``etcdctl get --prefix … --write-out=json``. A key that is gone wishes nothing, and processes remember
    what they have seen of it; one that stays must be signed by a node and an authority that are trusted, for ever.
    What cannot be read is somebody's to look at, and stays.
    """
    found = []
    for item in listed.get("kvs") or []:
        try:
            wish = json.loads(json.loads(base64.b64decode(item["value"]))["wish"])
            on, until_ms = bool(wish["on"]), int(wish["until_ms"])
        except (KeyError, TypeError, ValueError):
            continue
        if not on or 0 < until_ms <= now_s * 1_000:
            found.append(base64.b64decode(item["key"]).decode())
    return found


class FilterModule:
    """The filters by their names."""

    def filters(self) -> dict:
        """Name them."""
        return {"ended_wishes": ended_wishes}
