output "ansible_inventory" {
  description = "terraform output -raw ansible_inventory > inventory.yml"
  value       = module.inventory.yaml
}

output "exchange_commands" {
  description = "terraform output -raw exchange_commands"
  value       = module.app.exchange_commands
}

output "client_id" {
  description = "tenants.NAME.app.client_id of relay.yaml."
  value       = module.app.client_id
}
