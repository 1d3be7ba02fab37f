"""Values as Terraform sends them, and what happens to them when nothing exists but the schema. Pure.

Planning leaves open what only the real provider would know; applying answers with made-up values that are the same on
each run.
"""

import hashlib
import ipaddress
import json
import uuid
from collections.abc import Iterator
from typing import Any

import msgspec

from tests.terraform.offline.answers import answer

UNKNOWN = msgspec.msgpack.Ext(0, b"\0")
Value = dict[str, Any]
Block = dict[str, Any]


def decode(packed: bytes, text: bytes = b"") -> Any:
    """Give the value of a message; unknown parts stay as they came."""
    if packed:
        return msgspec.msgpack.decode(packed)
    return json.loads(text) if text else None


def encode(value: Any) -> bytes:
    """Give the bytes of a value."""
    return msgspec.msgpack.encode(value)


def unknown(value: Any) -> bool:
    """Whether a value is left open, itself or anywhere inside."""
    if isinstance(value, dict):
        return any(map(unknown, value.values()))
    return any(map(unknown, value)) if isinstance(value, list) else isinstance(value, msgspec.msgpack.Ext)


def nested(block: Block, value: Value) -> Iterator[tuple[str, Block, Value]]:
    """Give every block inside a value: name, schema, content."""
    for name, kind in block["block_types"].items():
        inside = value.get(name)
        items = inside if isinstance(inside, list) else [inside]
        for item in items:
            if isinstance(item, dict):
                yield name, kind["block"], item


def empty(block: Block) -> Value:
    """Give an object of this block with nothing in it."""
    blocks = {name: None if kind["nesting_mode"] == "single" else [] for name, kind in block["block_types"].items()}
    return dict.fromkeys(block["attributes"]) | blocks


def opened(block: Block, value: Value) -> Value:
    """Give a planned value: computed attributes that are not set become unknown."""
    planned = dict(value)
    for name, attribute in block["attributes"].items():
        if attribute.get("computed") and planned.get(name) is None:
            planned[name] = UNKNOWN
    for name, kind in block["block_types"].items():
        inside = planned.get(name)
        if isinstance(inside, list):
            planned[name] = [opened(kind["block"], one) if isinstance(one, dict) else one for one in inside]
        elif isinstance(inside, dict):
            planned[name] = opened(kind["block"], inside)
    return planned


def made_up(kind: str, block: Block, value: Value, seed: str = "") -> Value:
    """Give the value with everything filled in that was left open or is only computed."""
    known = {name: one for name, one in value.items() if one is not None and not unknown(one)}
    seed = f"{seed}{kind}{json.dumps(known, sort_keys=True, default=str)}"
    done = dict(value)
    for name, attribute in block["attributes"].items():
        if attribute.get("computed") and (done.get(name) is None or unknown(done[name])):
            found = answer(kind, name, done)
            done[name] = _invented(kind, name, attribute["type"], seed, done) if found is None else found
    for name, inner in block["block_types"].items():
        inside = done.get(name)
        if isinstance(inside, list):
            done[name] = [
                made_up(f"{kind}.{name}", inner["block"], one, f"{seed}{n}") if isinstance(one, dict) else one
                for n, one in enumerate(inside)
            ]
        elif isinstance(inside, dict):
            done[name] = made_up(f"{kind}.{name}", inner["block"], inside, seed)
    return done


def _invented(kind: str, name: str, type_: Any, seed: str, value: Value) -> Any:
    number = int(hashlib.sha256(f"{seed}{name}".encode()).hexdigest()[:8], 16)
    if isinstance(type_, list):
        return {} if type_[0] in ("map", "object") else []
    if type_ in ("bool", "number"):
        return False if type_ == "bool" else 1
    if name == "id" and kind.startswith("azurerm_"):
        return f"/subscriptions/offline/{kind}/{value.get('name') or f'{number:x}'}"
    if "ip_address" in name:
        return str(ipaddress.ip_address("203.0.113.0") + 1 + number % 250)
    if name == "id" or name.endswith("_id"):
        return str(uuid.uuid5(uuid.NAMESPACE_URL, f"{seed}{name}"))
    return f"{name}-{number:08x}"
