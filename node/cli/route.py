"""``relayctl route explain``: what would become of a message, or what a reply of the upstream's means."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import msgspec
import typer

from node.cli.common import (
    EXIT_PROBLEM,
    JsonOption,
    SocketOption,
    connect,
    console,
    now_ms,
    show,
    show_json,
    styled,
    told,
)
from node.cli.errors import UsageError
from node.cli.output import ConfigOption, config_file, read_config
from node.cli.remote import UnreachableError, find_socket
from node.cli.verdicts import BECOMES, RESTS, conditions, cool_down, notes, outcome, reply_of
from node.policy.classify import Classifier
from node.policy.explain import Question, QuestionError, explain
from node.policy.health import HealthBook
from node.policy.reply import Reply, Stage
from node.settings.pathways import PathKind
from node.settings.replies import SOURCE, reply_rows
from node.settings.rules import intake_rules
from node.settings.units import parse_size
from node.settings.ways import directory_of
from node.settings.when import show_ms

if TYPE_CHECKING:
    from node.policy.table.row import Row

route_app = typer.Typer(help="Which way mail takes, and what replies mean.", no_args_is_help=True)
STYLES = {"ready": "green", "take": "green", "later": "yellow", "wait": "yellow"}
DECIDED = {
    "take": "sent now by",
    "wait": "waits:",
    "no_way": "stays queued until the configuration changes:",
    "bounce": "bounces at once:",
    "refuse": "refused at the door:",
}


@route_app.callback()
def route() -> None:
    """Which way mail takes, and what replies mean."""


@route_app.command("explain")
@told
def route_explain(
    sender: Annotated[
        str | None, typer.Option("--from", help="Sender (envelope and From); <> the null sender.")
    ] = None,
    recipient: Annotated[str, typer.Option("--to", help="Recipient.")] = "",
    size: Annotated[str, typer.Option("--size", help="Size of the message, such as 12MiB.")] = "0B",
    client: Annotated[str, typer.Option("--client", help="Client that sends it.")] = "",
    ip: Annotated[str, typer.Option("--ip", help="Address it connects from, to find the client.")] = "",
    user: Annotated[str, typer.Option("--user", help="User it logs in as; with --ip.")] = "",
    plan: Annotated[str, typer.Option("--plan", help="Plan, instead of the client's.")] = "",
    reply: Annotated[str, typer.Option("--reply", help='Explain this reply instead: "550 5.7.64 ...".')] = "",
    stage: Annotated[Stage, typer.Option("--stage", help="What the reply answers.")] = Stage.DOT,
    path: Annotated[PathKind, typer.Option("--path", help="Path kind the reply came on.")] = PathKind.SUBMISSION,
    attempts: Annotated[int, typer.Option("--attempts", min=0, help="Same replies before this one.")] = 0,
    live: Annotated[
        bool | None, typer.Option("--live/--no-live", help="Ask the running node; default: if there is one.")
    ] = None,
    config: ConfigOption = None,
    as_json: JsonOption = False,
    socket: SocketOption = None,
) -> None:
    """Say which ways a message would be tried in which order, or what becomes of a recipient after a reply.

    Exit 0: it would be sent now; 1: it waits, is refused or bounces.
    """
    if reply:
        _explain_reply(reply, stage, path, attempts, config, as_json=as_json)
        return
    if sender is None or not recipient:
        raise typer.BadParameter("name --from and --to, or --reply")
    question = Question(
        sender=sender,
        recipient=recipient,
        size_bytes=_size(size),
        client=client,
        ip=ip,
        user=user,
        plan=plan,
    )
    asked = _asks_node(live, config, socket)
    answer = _asked(question, socket) if asked else _worked_out(question, config)
    if as_json:
        show_json(answer)
    else:
        _print(answer, "the running node" if asked else f"{config_file(config)}, everything healthy, budgets unused")
    if answer["decision"] != "take":
        raise typer.Exit(EXIT_PROBLEM)


def _size(text: str) -> int:
    try:
        return parse_size(text)
    except ValueError as error:
        raise UsageError(f"--size: {error}") from None


def _asks_node(live: bool | None, config: Path | None, socket: Path | None) -> bool:
    """Choose: as told; else the node if a socket is named or lies in a usual place and no configuration is named."""
    if live is not None:
        return live
    if socket is not None or config is not None:
        return socket is not None
    try:
        return find_socket(None).exists()
    except UnreachableError:
        return False


def _asked(question: Question, socket: Path | None) -> dict[str, Any]:
    answer: dict[str, Any] = connect(socket).get(
        "/v1/route",
        sender=question.sender,
        recipient=question.recipient,
        size=question.size_bytes,
        client=question.client,
        ip=question.ip,
        user=question.user,
        plan=question.plan,
    )
    return answer


def _worked_out(question: Question, config: Path | None) -> dict[str, Any]:
    loaded = read_config(config)
    settings = loaded.settings
    rules = intake_rules(settings, loaded.node or "localhost")
    try:
        answer = explain(question, rules, directory_of(settings), HealthBook(), {}, now_ms(), plans=settings.plans)
    except QuestionError as error:
        raise UsageError(str(error)) from None
    return dict(msgspec.to_builtins(answer))


def _print(answer: dict[str, Any], source: str) -> None:
    console.print(styled(f"by {source}", "dim"))
    for line in answer["matching"]:
        console.print(styled(f"client: {line}"))
    if not answer["refused"]:
        told_from = f"{answer['sender'] or '<>'} to {answer['recipient']} ({answer['direction']})"
        console.print(styled(f"{told_from}, tenant {answer['tenant'] or 'none'}, plan {answer['plan'] or 'default'}"))
    rows = [
        (number, way["state"], _path(way), way["account"], way["why"], show_ms(way["until_ms"])[:19])
        for number, way in enumerate(answer["ways"], 1)
    ]
    if rows:
        show(rows, ("", "state", "path", "account", "why", "until (UTC)"), empty="")
    word = answer["decision"]
    said = answer["refused"] or answer["why"]
    console.print(f"{styled(DECIDED[word], STYLES.get(word, 'red'))} {styled(said)}")


def _path(way: dict[str, Any]) -> str:
    return f"{way['path']} (outside the tenant)" if way.get("outside") else str(way["path"])


def _explain_reply(
    text: str, stage: Stage, path: PathKind, attempts: int, config: Path | None, *, as_json: bool
) -> None:
    """Print the row that decides a reply, and what becomes of the recipient; rows of the configuration come first."""
    try:
        reply = reply_of(text)
    except ValueError as error:
        raise UsageError(f"--reply: {error}") from None
    extra: tuple[Row, ...] = ()
    if config is not None or config_file(None).exists():
        extra = reply_rows(read_config(config).settings.replies)
    classifier = Classifier(first=extra)
    row = classifier.row(path.value, stage, reply)
    verdict = classifier.classify(path.value, stage, reply, last_reason=row.reason, attempts=attempts)
    facts = {
        "reply": str(reply),
        "stage": stage.value,
        "path": path.value,
        "reason": row.reason,
        "configured": row.source == SOURCE,
        "matches": conditions(row),
        "scope": verdict.scope.value,
        "outcome": verdict.outcome.value,
        "outcomes": outcome(row),
        "cool_down": cool_down(row),
        "notes": list(notes(row)),
        "source": row.source,
    }
    if as_json:
        show_json(facts)
        return
    _print_reply(facts, reply, BECOMES[verdict.outcome], RESTS[verdict.scope])


def _print_reply(facts: dict[str, Any], reply: Reply, becomes: str, rests: str) -> None:
    lines = {
        "reply": f"{reply} (at {facts['stage']}, on {facts['path']})",
        "reason": facts["reason"],
        "matched by": facts["matches"],
        "recipient": becomes,
        "outcomes": facts["outcomes"],
        "concerns": rests,
        "cool-down": facts["cool_down"],
        "also": "; ".join(facts["notes"]),
        "source": facts["source"],
    }
    for name, value in lines.items():
        if value:
            console.print(f"[bold]{name:<11}[/bold]{styled(value)}")
