"""Ways to make an address lead to this host: the kernel (netlink), a load balancer's probe, a program."""
