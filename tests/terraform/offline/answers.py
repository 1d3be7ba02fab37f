"""Answers of data sources and resources that modules look into, and words and ids that providers refuse. Tables.

Made up, but of the right form. Role ids of Microsoft's applications are made up too: modules look them up by name.
"""

import re
import uuid
from collections.abc import Callable, Iterator
from typing import Any

EXCHANGE = "00000002-0000-0ff1-ce00-000000000000"
GRAPH = "00000003-0000-0000-c000-000000000000"


def _id(text: str) -> str:
    return str(uuid.uuid5(uuid.NAMESPACE_URL, text))


_ROLES = {
    EXCHANGE: ["SMTP.SendAsApp", "full_access_as_app", "IMAP.AccessAsApp"],
    GRAPH: ["Mail.Send", "Mail.Read", "ExchangeMessageTrace.Read.All"],
}
_ANSWERS: dict[tuple[str, str], Callable[[dict[str, Any]], Any]] = {
    ("data.azuread_application_published_app_ids", "result"): lambda _: {
        "Office365ExchangeOnline": EXCHANGE, "MicrosoftGraph": GRAPH,
    },
    ("data.azuread_service_principal", "app_role_ids"): lambda value: {
        name: _id(name) for name in _ROLES.get(str(value.get("client_id")), [])
    },
    ("data.azuread_service_principal", "object_id"): lambda value: _id(f"object {value.get('client_id')}"),
    ("azuread_application", "id"): lambda value: f"/applications/{_id(str(value['display_name']))}",
    ("azuread_service_principal", "id"): lambda value: f"/servicePrincipals/{_id(str(value['client_id']))}",
    ("data.vsphere_virtual_machine", "guest_id"): lambda _: "debian12_64Guest",
    ("data.vsphere_virtual_machine", "firmware"): lambda _: "efi",
    ("data.vsphere_virtual_machine", "scsi_type"): lambda _: "pvscsi",
    ("data.vsphere_virtual_machine", "network_interface_types"): lambda _: ["vmxnet3"],
    ("data.vsphere_virtual_machine", "disks"): lambda _: [
        {"size": 8, "label": "disk0", "unit_number": 0, "thin_provisioned": True, "eagerly_scrub": False}
    ],
}  # fmt: skip

_IDS = {
    "azurerm": {
        "subnet_id": "azurerm_subnet", "network_security_group_id": "azurerm_network_security_group",
        "loadbalancer_id": "azurerm_lb", "backend_address_pool_id": "azurerm_lb_backend_address_pool",
        "backend_address_pool_ids": "azurerm_lb_backend_address_pool", "probe_id": "azurerm_lb_probe",
        "network_interface_id": "azurerm_network_interface", "network_interface_ids": "azurerm_network_interface",
        "nat_gateway_id": "azurerm_nat_gateway", "public_ip_address_id": "azurerm_public_ip",
        "managed_disk_id": "azurerm_managed_disk", "virtual_machine_id": "azurerm_linux_virtual_machine",
        "identity_ids": "azurerm_user_assigned_identity", "private_connection_resource_id": "azurerm_key_vault",
        "private_dns_zone_ids": "azurerm_private_dns_zone", "virtual_network_id": "azurerm_virtual_network",
        "action_group_id": "azurerm_monitor_action_group",
    },
    "azuread": {"application_id": "^/applications/"},
}  # fmt: skip
_WORDS = {
    "azurerm_lb.sku": "Basic|Standard|Gateway",
    "azurerm_lb_probe.protocol": "Http|Https|Tcp",
    "azurerm_lb_rule.protocol": "Tcp|Udp|All",
    "azurerm_public_ip.sku": "Basic|Standard|StandardV2",
    "azurerm_public_ip.allocation_method": "Static|Dynamic",
    "azurerm_network_security_rule.direction": "Inbound|Outbound",
    "azurerm_network_security_rule.access": "Allow|Deny",
    "azurerm_network_security_rule.protocol": r"Tcp|Udp|Icmp|Esp|Ah|\*",
    "azurerm_network_security_rule.priority": r"[1-9]\d{2}|[1-3]\d{3}|40[0-8]\d|409[0-6]",
    "azurerm_managed_disk.storage_account_type": "(Standard|StandardSSD|Premium|PremiumV2|UltraSSD)_(LRS|ZRS)",
    "azurerm_managed_disk.create_option": "Empty|Copy|FromImage|Import|Restore|Upload",
    "azurerm_linux_virtual_machine.custom_data": "[A-Za-z0-9+/]+={0,2}",
    "azurerm_monitor_metric_alert.severity": "[0-4]",
    "azurerm_monitor_metric_alert.frequency": "PT(1M|5M|15M|30M|1H)",
    "azurerm_monitor_metric_alert.window_size": "PT(1M|5M|15M|30M|1H|6H|12H)|P1D",
    "azurerm_key_vault.name": "[A-Za-z][A-Za-z0-9-]{1,22}[A-Za-z0-9]",
    "azuread_application.sign_in_audience": "AzureADMyOrg|AzureADMultipleOrgs",
    "azuread_application_certificate.type": "AsymmetricX509Cert|Symmetric",
    "vsphere_virtual_machine.firmware": "bios|efi",
}


def answer(kind: str, name: str, value: dict[str, Any]) -> Any:
    """Give the made-up answer for an attribute of a type, or none where any will do."""
    found = _ANSWERS.get((kind, name))
    return found(value) if found else None


def refused(kind: str, value: dict[str, Any]) -> Iterator[tuple[str, str]]:
    """Give arguments the real provider would refuse, each with the reason; only what the tables name."""
    provider = kind.removeprefix("data.").split("_")[0]
    for name, given in value.items():
        texts = given if isinstance(given, list) else [given]
        for text in (str(one) for one in texts if isinstance(one, (str, int)) and not isinstance(one, bool)):
            form = _IDS.get(provider, {}).get(name)
            if form and not re.search(rf"{form}(/|$)" if form[0] != "^" else form, text):
                yield name, f"{name} is not the id of {form}: {text}"
            words = _WORDS.get(f"{kind}.{name}")
            if words and not re.fullmatch(words, text):
                yield name, f"{name} allows {words}, not {text}"
