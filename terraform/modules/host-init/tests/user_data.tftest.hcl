variables {
  hostname        = "relay-a"
  ssh_user        = "relayadmin"
  ssh_public_keys = ["ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIEexampleexampleexampleexampleexampleexample ops"]
  mounts          = { "/var/lib/m365-relay" = "/dev/m365-relay/spool" }
  disk_links      = { "m365-relay/spool" = "*-scsi-0:0:1:0" }
}

run "first_boot" {
  assert {
    condition     = startswith(output.user_data, "#cloud-config\n") && yamldecode(output.user_data).hostname == "relay-a"
    error_message = "cloud-init knows it by its first line"
  }

  assert {
    condition     = yamldecode(output.user_data).ssh_pwauth == false && yamldecode(output.user_data).disable_root == true
    error_message = "no passwords, no root"
  }

  assert {
    condition     = strcontains(yamldecode(output.user_data).write_files[0].content, "/dev/m365-relay/spool /var/lib/m365-relay ext4 noatime,nofail,x-systemd.makefs,")
    error_message = "a blank disk gets its file system from systemd"
  }

  assert {
    condition     = contains([for one in yamldecode(output.user_data).runcmd : join(" ", one)], "systemctl start --no-block var-lib-m365\\x2drelay.mount")
    error_message = "the unit's name is escaped as systemd does it"
  }
}

run "nothing_to_mount" {
  variables {
    mounts     = {}
    disk_links = {}
  }

  assert {
    condition     = yamldecode(output.user_data).write_files == [] && yamldecode(output.user_data).runcmd == []
    error_message = "no disk, no line"
  }
}

run "refuses_a_private_key" {
  command = plan

  variables {
    ssh_public_keys = ["-----BEGIN OPENSSH PRIVATE KEY-----"]
  }
  expect_failures = [var.ssh_public_keys]
}

run "refuses_root" {
  command = plan

  variables {
    ssh_user = "root"
  }
  expect_failures = [var.ssh_user]
}
