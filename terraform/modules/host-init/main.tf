# First boot: host name, one user with keys, disks. Everything else is the playbooks' work, which can be run again.
locals {
  # systemd makes the file system if the disk is blank and waits for disks that are attached after the machine started.
  # Units with StateDirectory= below a path here do not start before it is mounted, so nothing lands on the wrong disk.
  fstab = join("", [
    for path, device in var.mounts :
    "${device} ${path} ext4 noatime,nofail,x-systemd.makefs,x-systemd.device-timeout=15min 0 2\n"
  ])
  units = [
    for path, _ in var.mounts : "${replace(replace(trimprefix(path, "/"), "-", "\\x2d"), "/", "-")}.mount"
  ]
  links = join("", [
    for name, pattern in var.disk_links :
    "SUBSYSTEM==\"block\", ENV{DEVTYPE}==\"disk\", ENV{ID_PATH}==\"${pattern}\", SYMLINK+=\"${name}\"\n"
  ])

  files = concat(
    length(var.mounts) == 0 ? [] : [{ path = "/etc/fstab", append = true, content = local.fstab }],
    length(var.disk_links) == 0 ? [] : [{ path = "/etc/udev/rules.d/70-m365-relay-disks.rules", append = false, content = local.links }],
  )

  config = {
    hostname          = var.hostname
    preserve_hostname = false
    disable_root      = true
    ssh_pwauth        = false
    users = [{
      name                = var.ssh_user
      groups              = ["sudo"]
      lock_passwd         = true
      shell               = "/bin/bash"
      sudo                = "ALL=(ALL) NOPASSWD:ALL"
      ssh_authorized_keys = var.ssh_public_keys
    }]
    write_files = local.files
    runcmd = concat(
      length(var.disk_links) == 0 ? [] : [
        ["udevadm", "control", "--reload"],
        ["udevadm", "trigger", "--subsystem-match=block", "--settle"],
      ],
      length(var.mounts) == 0 ? [] : [["systemctl", "daemon-reload"]],
      [for unit in local.units : ["systemctl", "start", "--no-block", unit]],
    )
  }
}
