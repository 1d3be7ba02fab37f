"""Checks between the parts of a configuration that the model alone cannot make; each adds to one report."""

from node.settings.checks import bounces, clients, files, host, mail, paths, pathways
from node.settings.checks.scene import Scene


def run_checks(scene: Scene) -> None:
    """Run every check; none stops another."""
    mails = (*mail.CHECKS, *bounces.CHECKS, *paths.CHECKS, *pathways.CHECKS, *clients.CHECKS)
    for check in (*mails, *host.CHECKS, *files.CHECKS):
        check(scene)
