output "yaml" {
  description = "The inventory as YAML."
  value       = yamlencode(local.inventory)
}
