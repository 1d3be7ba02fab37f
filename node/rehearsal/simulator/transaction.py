"""MAIL, RCPT, DATA and BDAT: one message from its envelope to the answer to its end.

The verdict on a complete message lies in ``verdict.py``; here is only the order of things.
"""

import contextlib
import re
from collections.abc import Iterator
from typing import IO

from node.rehearsal.errors import ConversationOverError, WaitedTooLongError
from node.rehearsal.simulator import texts
from node.rehearsal.simulator.content import Content, Unstuffer
from node.rehearsal.simulator.delivery import Delivery, finish
from node.rehearsal.simulator.envelope import Transaction
from node.rehearsal.simulator.login import tarpit
from node.rehearsal.simulator.script import Facts, Moment, Step
from node.rehearsal.simulator.session import Session

MAX_RECIPIENTS = 1000  # tenant cap MaxRecipientEnvelopeLimit (facts m365 §2.1)
_PATH = re.compile(rb"(FROM|TO):\s*<([^<>\x00-\x20]*)>(?:\s+(.*))?", re.IGNORECASE)
_ADDRESS = re.compile(r"[^@\s]+@(?:[^@\s.]+\.)*[^@\s.]+|\"[^\"]+\"@[^@\s]+")
_BDAT = re.compile(rb"(\d{1,10})(\s+LAST)?", re.IGNORECASE)


async def mail(session: Session, argument: bytes) -> None:
    """Open a transaction; from here on the message may be counted."""
    if not session.greeted or session.transaction is not None:
        session.mistake(texts.BAD_SEQUENCE)
        return
    if not await _allowed(session):
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
        _open(session, sender, smtputf8="SMTPUTF8" in parameters)


async def rcpt(session: Session, argument: bytes) -> None:
    """Add a recipient; unknown ones are accepted too, as the mailbox store does (facts m365 §1.4)."""
    transaction = session.transaction
    if transaction is None or transaction.content is not None:
        session.mistake(texts.BAD_SEQUENCE)
        return
    path = _PATH.fullmatch(argument)
    if path is None or path[1].upper() != b"TO":
        session.mistake(texts.BAD_ARGUMENTS)
        return
    recipient = path[2].decode("utf-8", "replace")
    if _ADDRESS.fullmatch(recipient) is None:
        session.say(texts.BAD_ADDRESS)
    elif len(transaction.recipients) >= _most_recipients(session):
        session.hub.violations["recipients_per_message"] += 1
        if session.meter is not None:
            session.meter.blame("too_many_recipients", session.hub.now_s())
        session.say(texts.TOO_MANY_RECIPIENTS)
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


async def _allowed(session: Session) -> bool:
    smarthost = session.hub.directory.smarthost
    if smarthost is not None:
        if smarthost.tls == "required" and not session.wire.tls_version:
            session.mistake(texts.TLS_REQUIRED)
            return False
        if not smarthost.users or session.account:
            return True
    elif not session.wire.tls_version:
        session.mistake(texts.TLS_REQUIRED)
        return False
    elif session.account:
        return True
    session.hub.violations["mail_without_login"] += 1
    await tarpit(session)
    session.mistake(texts.NOT_LOGGED_IN)
    return False


def _judge_sender(session: Session, sender: str, parameters: dict[str, str]) -> str | None:
    size = parameters.get("SIZE", "0")
    if not size.isdigit() or parameters.get("BODY", "7BIT").upper() not in ("7BIT", "8BITMIME", "BINARYMIME"):
        return texts.BAD_ARGUMENTS
    if int(size) > session.hub.directory.limits.size:
        return texts.TOO_LARGE
    if sender and _ADDRESS.fullmatch(sender) is None:
        return texts.BAD_ADDRESS
    found = session.hub.mailbox(session.account) if session.account else None
    if sender and found is not None and not found[1].may_send_as(session.account, sender):
        return texts.MAY_NOT_SEND_AS
    return None


def _open(session: Session, sender: str, *, smtputf8: bool) -> None:
    meter = session.meter
    submission = meter.begin(session.hub.now_s()) if meter is not None else None
    session.transaction = Transaction(sender=sender, smtputf8=smtputf8, meter=meter, submission=submission)


def _most_recipients(session: Session) -> int:
    found = session.hub.mailbox(session.account) if session.account else None
    return found[1].recipient_limit if found is not None else MAX_RECIPIENTS


def _facts(session: Session, key: str, sender: str, recipients: tuple[str, ...]) -> Facts:
    return Facts(key=key, account=session.account, sender=sender, recipients=recipients)


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
