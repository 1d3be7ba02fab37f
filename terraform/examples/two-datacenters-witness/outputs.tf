output "ansible_inventory" {
  description = "terraform output -raw ansible_inventory > inventory.yml"
  value       = module.inventory.yaml
}
