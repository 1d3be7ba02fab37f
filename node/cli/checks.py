"""How the findings of ``relayctl m365 check`` are shown, and what they make of the exit code."""

import typer

from node.check.contract import Finding, Grade
from node.cli.common import EXIT_PROBLEM, console, show_json, styled

MARKS = {
    Grade.GOOD: ("ok", "green"),
    Grade.NOTE: ("--", "dim"),
    Grade.DOUBT: ("!", "yellow"),
    Grade.BAD: ("FAIL", "red"),
}


def show_findings(found: list[Finding], *, as_json: bool, quiet: bool) -> None:
    """Print what was found, by tenant; raises Exit with 1 when mail will fail."""
    if as_json:
        show_json([{name: str(getattr(one, name)) for name in one.__struct_fields__} for one in found])
    else:
        _table([one for one in found if not quiet or one.grade in (Grade.DOUBT, Grade.BAD)])
    if any(one.grade is Grade.BAD for one in found):
        raise typer.Exit(EXIT_PROBLEM)


def _table(found: list[Finding]) -> None:
    tenant = ""
    for one in found:
        if one.tenant != tenant:
            tenant = one.tenant
            console.print(f"tenant {styled(tenant, 'bold')}")
        mark, colour = MARKS[one.grade]
        text = f": {styled(one.text)}" if one.text else ""
        console.print(f"  [{colour}]{mark:>4}[/{colour}] {styled(one.subject)}, {styled(one.what)}{text}")
        if one.said:
            console.print(f"         {styled(f'they said {one.said}', 'dim')}")
        if one.advice:
            console.print(f"         {styled(one.advice)}")
    bad = sum(one.grade is Grade.BAD for one in found)
    console.print(f"{bad} found that will make mail fail" if bad else "nothing found that will fail", markup=False)
