"""Messages of Terraform's plugin protocol 5, as far as a provider without functions speaks them.

Field numbers: ``tfplugin5.proto`` of Terraform. A type in brackets is repeated, in braces a map by text.
"""

from typing import Any

from google.protobuf import descriptor_pb2, descriptor_pool, message_factory

_PACKAGE = "offline5"
_DIAGNOSTICS = ["Diagnostic"]
_FIELDS: dict[str, dict[str, tuple[int, Any]]] = {
    "DynamicValue": {"msgpack": (1, bytes), "json": (2, bytes)},
    "Step": {"attribute_name": (1, str)},
    "AttributePath": {"steps": (1, ["Step"])},
    "Diagnostic": {"severity": (1, int), "summary": (2, str), "detail": (3, str), "attribute": (4, "AttributePath")},
    "Attribute": {
        "name": (1, str), "type": (2, bytes), "required": (4, bool), "optional": (5, bool), "computed": (6, bool),
    },
    "NestedBlock": {
        "type_name": (1, str), "block": (2, "Block"), "nesting": (3, int), "min_items": (4, int), "max_items": (5, int),
    },
    "Block": {"version": (1, int), "attributes": (2, ["Attribute"]), "block_types": (3, ["NestedBlock"])},
    "Schema": {"version": (1, int), "block": (2, "Block")},
    "RawState": {"json": (1, bytes)},
    "Empty": {},
    "SchemaResponse": {
        "provider": (1, "Schema"), "resource_schemas": (2, {"Schema"}), "data_source_schemas": (3, {"Schema"}),
        "diagnostics": (4, _DIAGNOSTICS),
    },
    "PrepareRequest": {"config": (1, "DynamicValue")},
    "PrepareResponse": {"prepared_config": (1, "DynamicValue"), "diagnostics": (2, _DIAGNOSTICS)},
    "ConfigureRequest": {"terraform_version": (1, str), "config": (2, "DynamicValue")},
    "TypedConfig": {"type_name": (1, str), "config": (2, "DynamicValue")},
    "Diagnostics": {"diagnostics": (1, _DIAGNOSTICS)},
    "UpgradeRequest": {"type_name": (1, str), "version": (2, int), "raw_state": (3, "RawState")},
    "UpgradeResponse": {"upgraded_state": (1, "DynamicValue"), "diagnostics": (2, _DIAGNOSTICS)},
    "ReadRequest": {"type_name": (1, str), "current_state": (2, "DynamicValue"), "private": (3, bytes)},
    "ReadResponse": {"new_state": (1, "DynamicValue"), "diagnostics": (2, _DIAGNOSTICS), "private": (3, bytes)},
    "PlanRequest": {
        "type_name": (1, str), "prior_state": (2, "DynamicValue"), "proposed_new_state": (3, "DynamicValue"),
        "config": (4, "DynamicValue"), "prior_private": (5, bytes),
    },
    "PlanResponse": {
        "planned_state": (1, "DynamicValue"), "requires_replace": (2, ["AttributePath"]), "planned_private": (3, bytes),
        "diagnostics": (4, _DIAGNOSTICS),
    },
    "ApplyRequest": {
        "type_name": (1, str), "prior_state": (2, "DynamicValue"), "planned_state": (3, "DynamicValue"),
        "config": (4, "DynamicValue"), "planned_private": (5, bytes),
    },
    "ApplyResponse": {"new_state": (1, "DynamicValue"), "private": (2, bytes), "diagnostics": (3, _DIAGNOSTICS)},
    "DataResponse": {"state": (1, "DynamicValue"), "diagnostics": (2, _DIAGNOSTICS)},
    "StopResponse": {"error": (1, str)},
}  # fmt: skip

CALLS = {
    "GetSchema": ("Empty", "SchemaResponse"),
    "PrepareProviderConfig": ("PrepareRequest", "PrepareResponse"),
    "Configure": ("ConfigureRequest", "Diagnostics"),
    "ValidateResourceTypeConfig": ("TypedConfig", "Diagnostics"),
    "ValidateDataSourceConfig": ("TypedConfig", "Diagnostics"),
    "UpgradeResourceState": ("UpgradeRequest", "UpgradeResponse"),
    "ReadResource": ("ReadRequest", "ReadResponse"),
    "PlanResourceChange": ("PlanRequest", "PlanResponse"),
    "ApplyResourceChange": ("ApplyRequest", "ApplyResponse"),
    "ReadDataSource": ("TypedConfig", "DataResponse"),
    "Stop": ("Empty", "StopResponse"),
}
"""What is called, by its request and its response; import of existing resources and functions are not offered."""

_Field = descriptor_pb2.FieldDescriptorProto
_SCALARS = {str: _Field.TYPE_STRING, bytes: _Field.TYPE_BYTES, bool: _Field.TYPE_BOOL, int: _Field.TYPE_INT64}


def _describe(message: Any, name: str, number: int, kind: Any) -> None:
    field = message.field.add(name=name, number=number, label=_Field.LABEL_OPTIONAL)
    if isinstance(kind, set):
        (value,) = kind
        entry = message.nested_type.add(name=f"{name.title().replace('_', '')}Entry")
        entry.options.map_entry = True
        _describe(entry, "key", 1, str)
        _describe(entry, "value", 2, value)
        kind = [f"{message.name}.{entry.name}"]
    if isinstance(kind, list):
        field.label = _Field.LABEL_REPEATED
        (kind,) = kind
    if kind in _SCALARS:
        field.type = _SCALARS[kind]
    else:
        field.type, field.type_name = _Field.TYPE_MESSAGE, f".{_PACKAGE}.{kind}"


def _classes() -> dict[str, Any]:
    file = descriptor_pb2.FileDescriptorProto(name=f"{_PACKAGE}.proto", package=_PACKAGE, syntax="proto3")
    for name, fields in _FIELDS.items():
        message = file.message_type.add(name=name)
        for field, (number, kind) in fields.items():
            _describe(message, field, number, kind)
    pool = descriptor_pool.DescriptorPool()
    pool.Add(file)
    return {name: message_factory.GetMessageClass(pool.FindMessageTypeByName(f"{_PACKAGE}.{name}")) for name in _FIELDS}


MESSAGES = _classes()
