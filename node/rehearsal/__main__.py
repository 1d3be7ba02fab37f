"""``python -m node.rehearsal``: the rehearsal commands without the rest of relayctl."""

from node.rehearsal.commands import rehearse_app

rehearse_app()
