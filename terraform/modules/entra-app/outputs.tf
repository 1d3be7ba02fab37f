output "client_id" {
  description = "tenants.NAME.app.client_id of relay.yaml."
  value       = azuread_application.relay.client_id
}

output "object_id" {
  description = "Object id of the enterprise application, which Exchange wants (not the registration's)."
  value       = azuread_service_principal.relay.object_id
}

output "exchange_commands" {
  description = "Commands for Exchange Online PowerShell that give the application its mailboxes, and no others."
  value       = module.exchange.commands
}

output "tenant_wide_permissions" {
  description = "What was consented to for the whole tenant. Empty in the normal case."
  value       = sort(values(local.permissions))
}
