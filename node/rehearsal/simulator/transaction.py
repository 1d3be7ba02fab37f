"""MAIL, RCPT, DATA and BDAT: one message from its envelope to the answer to its end.

What a service takes lies in ``services``, the end of a message in ``delivery``; here is only the order of things.
"""

import contextlib
import re
from collections.abc import Iterator
from typing import IO

from node.rehearsal.errors import ConversationOverError, WaitedTooLongError
from node.rehearsal.simulator import texts
from node.rehearsal.simulator.chronicle import Who
from node.rehearsal.simulator.content import Content, Unstuffer
from node.rehearsal.simulator.delivery import Delivery, finish
from node.rehearsal.simulator.envelope import Transaction
from node.rehearsal.simulator.script import Facts, Moment, Step
from node.rehearsal.simulator.session import Session

_PATH = re.compile(rb"(FROM|TO):\s*<([^<>\x00-\x20]*)>(?:\s+(.*))?", re.IGNORECASE)
_ADDRESS = re.compile(r"[^@\s]+@(?:[^@\s.]+\.)*[^@\s.]+|\"[^\"]+\"@[^@\s]+")
_BDAT = re.compile(rb"(\d{1,10})(\s+LAST)?", re.IGNORECASE)


async def mail(session: Session, argument: bytes) -> None:
    """Open a transaction; from here on the message may be counted."""
    if not session.greeted or session.transaction is not None:
        session.mistake(texts.BAD_SEQUENCE)
        return
    refusal = await session.service.admit(session)
    if refusal is not None:
        session.mistake(refusal)
        return
    path = _PATH.fullmatch(argument)
    if path is None or path[1].upper() != b"FROM":
        session.mistake(texts.BAD_ARGUMENTS)
        return
    sender, parameters = path[2].decode("utf-8", "replace"), _parameters(path[3])
    refusal = _judge_sender(session, sender, parameters)
    if refusal is not None:
        session.say(refusal)
    elif await session.answer(Moment.MAIL, _facts(session, sender, sender, ()), texts.SENDER_OK):
        transaction = session.service.open(session, sender, smtputf8="SMTPUTF8" in parameters)
        transaction.operation = session.hub.chronicle.begun(
            session.hub.directory,
            session.service.scope(session),
            session.service.name,
            Who(session.wire.peer, session.helo),
            transaction.tenant,
        )
        session.transaction = transaction


async def rcpt(session: Session, argument: bytes) -> None:
    """Add a recipient, if the service takes it."""
    transaction = session.transaction
    if transaction is None or transaction.content is not None:
        session.mistake(texts.BAD_SEQUENCE)
        return
    path = _PATH.fullmatch(argument)
    if path is None or path[1].upper() != b"TO":
        session.mistake(texts.BAD_ARGUMENTS)
        return
    recipient = path[2].decode("utf-8", "replace")
    refusal = texts.BAD_ADDRESS if _ADDRESS.fullmatch(recipient) is None else None
    refusal = refusal or await session.service.recipient(session, transaction, recipient)
    if refusal is not None:
        session.say(refusal)
    elif await session.answer(
        Moment.RCPT, _facts(session, recipient, transaction.sender, (recipient,)), texts.RECIPIENT_OK
    ):
        transaction.recipients.append(recipient)


async def data(session: Session, argument: bytes) -> None:
    """Take the content up to CRLF.CRLF and answer it."""
    transaction = session.transaction
    if transaction is None or not transaction.recipients or transaction.content is not None or argument:
        session.mistake(texts.BAD_SEQUENCE)
        return
    facts = _facts(session, transaction.sender, transaction.sender, tuple(transaction.recipients))
    if not await session.answer(Moment.DATA, facts, texts.GO_AHEAD):
        return
    transaction.sent_data = True
    body_step = session.hub.script.next(Moment.BODY, facts)
    with _kept(session) as (file, name):
        content = Content(file)
        await _receive(session, content, body_step)
        await _finish(session, transaction, content, name)


async def bdat(session: Session, argument: bytes) -> None:
    """Take one chunk (RFC 3030); the last one ends the message."""
    transaction, size = session.transaction, _BDAT.fullmatch(argument)
    if size is None:
        await session.hang_up(texts.BAD_ARGUMENTS)
        return
    if transaction is None or not transaction.recipients:
        await _take(session, Content(), int(size[1]))
        session.mistake(texts.BAD_SEQUENCE)
        return
    transaction.sent_data = True
    transaction.content = transaction.content or Content()
    await _take(session, transaction.content, int(size[1]))
    if size[2]:
        await _finish(session, transaction, transaction.content, "")
    else:
        session.say(texts.CHUNK_OK, octets=size[1].decode())


def _judge_sender(session: Session, sender: str, parameters: dict[str, str]) -> str | None:
    size = parameters.get("SIZE", "0")
    if not size.isdigit() or parameters.get("BODY", "7BIT").upper() not in ("7BIT", "8BITMIME", "BINARYMIME"):
        return texts.BAD_ARGUMENTS
    if int(size) > session.service.size(session):
        return texts.TOO_LARGE
    if sender and _ADDRESS.fullmatch(sender) is None:
        return texts.BAD_ADDRESS
    return session.service.sender(session, sender)


def _facts(session: Session, key: str, sender: str, recipients: tuple[str, ...]) -> Facts:
    return Facts(key=key, account=session.account, sender=sender, recipients=recipients, service=session.service.name)


def _parameters(text: bytes | None) -> dict[str, str]:
    words = (text or b"").decode("utf-8", "replace").split()
    return {name.upper(): value for name, _, value in (word.partition("=") for word in words)}


async def _receive(session: Session, content: Content, step: Step | None) -> None:
    """Read up to the end; a cut at ``body`` happens once enough has arrived."""
    unstuffer = Unstuffer()
    rest: bytes | None = None
    while rest is None:
        try:
            chunk = await session.wire.chunk(session.patience_s())
        except WaitedTooLongError:
            await session.too_slow()
            raise ConversationOverError from None
        data, rest = unstuffer.feed(chunk)
        content.add(data)
        if step is not None and (rest is not None or content.size_bytes >= step.after_bytes):
            await session.perform(step)
    if rest:
        session.wire.push_back(rest)


async def _take(session: Session, content: Content, size_bytes: int) -> None:
    while size_bytes > 0:
        try:
            chunk = await session.wire.chunk(session.patience_s())
        except WaitedTooLongError:
            await session.too_slow()
            raise ConversationOverError from None
        content.add(chunk[:size_bytes])
        if len(chunk) > size_bytes:
            session.wire.push_back(chunk[size_bytes:])
        size_bytes -= len(chunk)


async def _finish(session: Session, transaction: Transaction, content: Content, file: str) -> None:
    # Taken off the session first: finish() settles the meters itself, whatever happens to the connection.
    session.transaction = None
    await finish(session, Delivery(transaction=transaction, content=content, file=file))


@contextlib.contextmanager
def _kept(session: Session) -> Iterator[tuple[IO[bytes] | None, str]]:
    """Open a file for the message when all are kept; named by connection and a running number."""
    if session.hub.keep is None:
        yield None, ""
        return
    session.hub.counts["kept"] += 1
    path = session.hub.keep / f"{session.hub.counts['kept']:08d}-{session.number}.eml"
    with path.open("wb") as file:
        yield file, path.name
