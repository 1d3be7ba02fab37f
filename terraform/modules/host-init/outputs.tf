output "user_data" {
  description = "User data for cloud-init."
  value       = "#cloud-config\n${yamlencode(local.config)}"
}
