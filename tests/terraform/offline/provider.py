"""A provider that knows a schema and nothing else: it answers Terraform's calls without any cloud."""

import json
from collections.abc import Callable, Iterator
from typing import Any

from tests.terraform.offline.answers import refused
from tests.terraform.offline.protocol import CALLS, MESSAGES
from tests.terraform.offline.values import decode, empty, encode, made_up, nested, opened, unknown

_ERROR = 1
_NESTING = {"single": 1, "list": 2, "set": 3, "map": 4}


class Provider:
    """One provider; every method is a call of the protocol."""

    def __init__(self, schema: dict[str, Any]) -> None:
        self.schema = schema
        self.resources = schema["resource_schemas"]
        self.data = schema["data_source_schemas"]

    def calls(self) -> Iterator[tuple[str, Callable[[Any], Any], Any]]:
        """Give each call: its name, what answers it, the class of its request."""
        for name, (request, _) in CALLS.items():
            yield name, getattr(self, _snake(name)), MESSAGES[request]

    def get_schema(self, _: Any) -> Any:
        response = MESSAGES["SchemaResponse"](provider=_schema(self.schema["provider"]))
        for into, found in (
            (response.resource_schemas, self.resources),
            (response.data_source_schemas, self.data),
        ):
            for name, schema in found.items():
                into[name].CopyFrom(_schema(schema))
        return response

    def prepare_provider_config(self, request: Any) -> Any:
        return MESSAGES["PrepareResponse"](prepared_config=request.config)

    def configure(self, _: Any) -> Any:
        return MESSAGES["Diagnostics"]()

    def stop(self, _: Any) -> Any:
        return MESSAGES["StopResponse"]()

    def validate_resource_type_config(self, request: Any) -> Any:
        block = self.resources[request.type_name]["block"]
        return MESSAGES["Diagnostics"](diagnostics=_faults(request.type_name, block, _read(request.config)))

    def validate_data_source_config(self, request: Any) -> Any:
        block = self.data[request.type_name]["block"]
        return MESSAGES["Diagnostics"](diagnostics=_faults(f"data.{request.type_name}", block, _read(request.config)))

    def upgrade_resource_state(self, request: Any) -> Any:
        state = empty(self.resources[request.type_name]["block"])
        stored = json.loads(request.raw_state.json)
        return MESSAGES["UpgradeResponse"](upgraded_state=_write(state | {n: stored[n] for n in state.keys() & stored}))

    def read_resource(self, request: Any) -> Any:
        return MESSAGES["ReadResponse"](new_state=request.current_state)

    def plan_resource_change(self, request: Any) -> Any:
        proposed = _read(request.proposed_new_state)
        if proposed is None or proposed == _read(request.prior_state):
            return MESSAGES["PlanResponse"](planned_state=request.proposed_new_state)
        return MESSAGES["PlanResponse"](planned_state=_write(opened(self._block(request), proposed)))

    def apply_resource_change(self, request: Any) -> Any:
        planned = _read(request.planned_state)
        if planned is None:
            return MESSAGES["ApplyResponse"](new_state=request.planned_state)
        faults = _faults(request.type_name, self._block(request), _read(request.config))  # ids are known only now
        if faults:
            return MESSAGES["ApplyResponse"](new_state=request.prior_state, diagnostics=faults)
        return MESSAGES["ApplyResponse"](new_state=_write(made_up(request.type_name, self._block(request), planned)))

    def read_data_source(self, request: Any) -> Any:
        block = self.data[request.type_name]["block"]
        found = made_up(f"data.{request.type_name}", block, _read(request.config))
        return MESSAGES["DataResponse"](state=_write(found))

    def _block(self, request: Any) -> dict[str, Any]:
        return self.resources[request.type_name]["block"]


def _snake(name: str) -> str:
    return "".join(f"_{letter.lower()}" if letter.isupper() else letter for letter in name).lstrip("_")


def _read(message: Any) -> Any:
    return decode(message.msgpack, message.json)


def _write(value: Any) -> Any:
    return MESSAGES["DynamicValue"](msgpack=encode(value))


def _schema(schema: dict[str, Any]) -> Any:
    return MESSAGES["Schema"](version=schema["version"], block=_block(schema["block"]))


def _block(block: dict[str, Any]) -> Any:
    message = MESSAGES["Block"]()
    for name, attribute in block["attributes"].items():
        flags = {flag: True for flag in ("required", "optional", "computed") if attribute.get(flag)}
        message.attributes.add(name=name, type=json.dumps(attribute["type"]).encode(), **flags)
    for name, kind in block["block_types"].items():
        message.block_types.add(
            type_name=name, block=_block(kind["block"]), nesting=_NESTING[kind["nesting_mode"]],
            min_items=kind.get("min_items", 0), max_items=kind.get("max_items", 0),
        )  # fmt: skip
    return message


def _faults(kind: str, block: dict[str, Any], value: Any) -> list[Any]:
    """What the provider itself refuses: computed attributes that are set, words and ids of the tables."""
    found = [
        (name, f"{name} is decided by the provider and cannot be set")
        for name, attribute in block["attributes"].items()
        if value.get(name) is not None and not attribute.get("optional") and not attribute.get("required")
    ]
    found += refused(kind, {name: one for name, one in value.items() if not unknown(one)})
    messages = [
        MESSAGES["Diagnostic"](
            severity=_ERROR, summary="Refused by the provider", detail=why,
            attribute=MESSAGES["AttributePath"](steps=[MESSAGES["Step"](attribute_name=name)]),
        )
        for name, why in found
    ]  # fmt: skip
    for name, inner, item in nested(block, value):
        messages += _faults(f"{kind}.{name}", inner, item)
    return messages
