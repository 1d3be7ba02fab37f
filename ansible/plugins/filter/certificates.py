"""Filters of the certificates role: the steps of a change of authority."""

from __future__ import annotations

from pathlib import Path


def authority_step(state: dict, step: str) -> dict:
    """Give the state after a step: who signs (``issuer``) and who is trusted, as numbers of pairs of authorities.

    A step that was taken before changes nothing, so an interrupted change can be taken up again.
    """
    issuer, trusted = state["issuer"], sorted(state["trusted"])
    newest = trusted[-1]
    if step == "introduce" and trusted == [issuer]:  # else a change is under way: it is finished first
        return {"issuer": issuer, "trusted": [*trusted, issuer + 1]}
    if step == "change":
        return {"issuer": newest, "trusted": trusted}
    if step == "withdraw":
        return {"issuer": issuer, "trusted": [issuer]}
    if step not in {"keep", "introduce"}:
        raise ValueError(f"authority_step: unknown step {step!r}")
    return {"issuer": issuer, "trusted": trusted}


def read_below(number: int, prefix: str) -> str:
    """Give the text of the certificate with a number, such as ``cluster-1.pem``, on the control host."""
    return Path(f"{prefix}{number}.pem").read_text(encoding="ascii")


class FilterModule:
    """The filters by their names."""

    def filters(self) -> dict:
        """Name them."""
        return {"authority_step": authority_step, "read_below": read_below}
