"""The commands that set a session up or end it: EHLO, STARTTLS, RSET, NOOP, QUIT and the like (facts m365 §6)."""

from node.rehearsal.simulator import texts
from node.rehearsal.simulator.script import Facts, Moment
from node.rehearsal.simulator.session import Session


async def ehlo(session: Session, argument: bytes) -> None:
    """Answer EHLO with what is on offer now."""
    lines = [f"{session.hub_name} Hello [{session.source}]", f"SIZE {session.service.size(session)}"]
    for extension in texts.EXTENSIONS:
        line = _secure(session) if extension == "{secure}" else extension
        if line:
            lines.append(line)
    await _greet(session, argument, "\n".join([*(f"250-{line}" for line in lines[:-1]), f"250 {lines[-1]}"]))


async def helo(session: Session, argument: bytes) -> None:
    """Answer the old greeting."""
    await _greet(session, argument, f"250 {session.hub_name} Hello [{session.source}]")


async def starttls(session: Session, argument: bytes) -> None:
    """Shake hands; everything known about the session before is forgotten (RFC 3207 §4.2)."""
    if argument:
        session.mistake(texts.BAD_ARGUMENTS)
    elif session.tls is None:
        session.mistake(texts.UNKNOWN_COMMAND)
    elif session.wire.tls_version:
        session.mistake(texts.TLS_NOT_NOW)
    elif await session.answer(Moment.TLS, Facts(key=session.source, service=session.service.name), texts.TLS_READY):
        if session.wire.buffered_bytes:
            session.hub.violations["plaintext_after_starttls"] += 1
        await session.wire.start_tls(session.tls)
        session.reset_transaction()
        session.greeted = False


async def rset(session: Session, _argument: bytes) -> None:
    """Drop the transaction."""
    session.reset_transaction()
    session.say(texts.RESET)


async def noop(session: Session, _argument: bytes) -> None:
    """Do nothing, politely."""
    session.say(texts.OK)


async def vrfy(session: Session, _argument: bytes) -> None:
    """Decline to verify."""
    session.say(texts.VRFY)


async def help_(session: Session, _argument: bytes) -> None:
    """Point to EHLO."""
    session.say(texts.HELP)


async def quit_(session: Session, _argument: bytes) -> None:
    """End the session; its place is free before the client reads the goodbye."""
    session.reset_transaction()
    session.leave()
    await session.hang_up(texts.QUIT)


async def _greet(session: Session, argument: bytes, reply: str) -> None:
    if not argument:
        session.mistake(texts.BAD_ARGUMENTS)
        return
    session.reset_transaction()
    session.helo = argument.decode("ascii", "replace")[:255]
    facts = Facts(key=session.source, account=session.account, service=session.service.name)
    session.greeted = await session.answer(Moment.EHLO, facts, reply)


def _secure(session: Session) -> str:
    if session.tls is not None and not session.wire.tls_version:
        return "STARTTLS"
    offered = session.service.mechanisms(session)
    return f"AUTH {' '.join(offered)}" if offered else ""
