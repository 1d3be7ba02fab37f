"""etcd members that speak TLS with the cluster's own certificates and let in only who shows one."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.support.etcd_cluster import EtcdCluster


@dataclass
class SealedEtcd(EtcdCluster):
    """``pki``: the directory of the members' certificate; ``root``: that of the administrator (CN ``root``)."""

    tls: Any = True
    pki: Path | None = None
    root: Path | None = None

    def _tls_options(self) -> list[str]:
        return [
            "--cert-file", str(self.pki / "node.pem"), "--key-file", str(self.pki / "node.key"),
            "--trusted-ca-file", str(self.pki / "ca.pem"), "--client-cert-auth",
        ]  # fmt: skip

    def rule(self, words: str) -> str:
        """Run etcdctl as the administrator."""
        files = {"cacert": "ca.pem", "cert": "node.pem", "key": "node.key"}
        return self.ctl(*words.split(), **{option: str(self.root / name) for option, name in files.items()})

    def demand_users(self, *nodes: str, prefix: str = "/m365-relay/corp-mail/") -> None:
        """Make a user of each node, known by its certificate alone and confined to the prefix; then demand users."""
        for words in (
            "user add root --no-password", "user grant-role root root", "role add relay",
            f"role grant-permission relay --prefix=true readwrite {prefix}",
            *(f"user add {node} --no-password" for node in nodes),
            *(f"user grant-role {node} relay" for node in nodes),
            "auth enable",
        ):  # fmt: skip
            self.rule(words)
