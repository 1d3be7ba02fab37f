"""What users install without Ansible: a .deb, an .rpm and an offline bundle, made from this source tree."""
