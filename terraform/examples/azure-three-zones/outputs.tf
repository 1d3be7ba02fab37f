output "ansible_inventory" {
  description = "terraform output -raw ansible_inventory > inventory.yml"
  value       = module.inventory.yaml
}

output "exchange_commands" {
  description = "terraform output -raw exchange_commands"
  value       = module.exchange.commands
}

output "app" {
  description = "tenants.NAME.app of relay.yaml."
  value       = { client_id = module.cluster.identity.client_id, managed_identity = "user" }
}

output "egress_addresses" {
  description = "Public addresses the nodes leave by, by zone."
  value       = module.cluster.egress_addresses
}
