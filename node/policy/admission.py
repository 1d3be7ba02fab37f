"""Whether a client may send what it announces: at MAIL and at RCPT, before any data moves (design §5.1).

Order at MAIL: rule, parameters, address, rewriting, then the sender policy on the rewritten address, then size. At
RCPT: address, alias, default domain, then ``deny`` beats ``redirect`` beats ``allow`` beats ``to``. A refusal names the
rule it comes from and nothing of any other client. Nobody without a rule passes (I8). Knows nothing of rates or data.
"""

import msgspec

from node.policy.addresses import AddressError, parse_address
from node.policy.clients import ClientRule
from node.policy.denials import Denial, no_rule, recipient_denial, sender_denial
from node.policy.envelope import Notify, Priority, Recipient
from node.policy.memory import repeatable
from node.policy.parameters import (
    ParameterError,
    check_auth_parameter,
    parse_envid,
    parse_notify,
    parse_orcpt,
    parse_parameters,
    split_path,
)
from node.policy.returned import returned_recipient
from node.policy.rulebook import IntakeRules

__all__ = (
    "Denial",
    "MailFrom",
    "check_mail",
    "check_recipient",
    "no_rule",
    "recipient_denial",
    "sender_denial",
    "size_denial",
)
URGENT_FROM = 4
RANK = {Priority.BULK: 0, Priority.NORMAL: 1, Priority.URGENT: 2}
SIZE_DIGITS = 20
NO_DSN = (Notify.DEFAULT.value, "")


class MailFrom(msgspec.Struct, frozen=True, kw_only=True):
    """What MAIL agreed on."""

    address: str
    """Sender after rewriting, canonical; empty for the null sender."""
    original: str
    """Sender as named, canonical; may be bare."""
    tenant: str
    declared_bytes: int = 0
    eight_bit: bool = False
    smtputf8: bool = False
    ret: str = ""
    envid: str = ""
    priority: Priority = Priority.NORMAL


class MailWords(msgspec.Struct, frozen=True, kw_only=True):
    """The parameters of MAIL, decoded and checked."""

    size_bytes: int = 0
    eight_bit: bool = False
    smtputf8: bool = False
    ret: str = ""
    envid: str = ""
    mt_priority: int | None = None


_NO_WORDS = MailWords()


def check_mail(
    rules: IntakeRules,
    client: ClientRule | None,
    argument: str,
    *,
    lenient: bool = False,
    peer: str = "",
    auth_possible: bool = False,
) -> MailFrom | Denial:
    """Judge ``MAIL FROM:<argument>``; ``argument`` is all that follows the colon.

    ``lenient``: the listener's profile is legacy. ``peer`` is the client's address, shown to it when no rule names it;
    ``auth_possible`` tells it to sign in instead of going away.
    """
    if client is None:
        return no_rule(peer, auth_possible=auth_possible)
    head, _, rest = argument.partition(" ")
    known = rules.senders.recall(client, head, lenient=lenient)
    if known is not None and not rest:
        return known
    try:
        path, parameters = (head, rest.strip(" ")) if known else split_path(argument, lenient=lenient)
        words = _mail_words(parse_parameters(parameters)) if parameters else _NO_WORDS
    except ParameterError as error:
        return _syntax(error)
    except KeyError as error:
        return _not_offered(error)
    judged = known or _sender(rules, client, path, words, lenient=lenient)
    if isinstance(judged, Denial):
        return judged
    if known is None and repeatable(head, path):
        rules.senders.keep(client, head, judged, lenient=lenient)
    return judged if words is _NO_WORDS else _with_words(rules, client, judged, words)


def _with_words(rules: IntakeRules, client: ClientRule, judged: MailFrom, words: MailWords) -> MailFrom | Denial:
    """Add what the parameters of MAIL say."""
    return size_denial(rules, client, words.size_bytes) or msgspec.structs.replace(
        judged,
        declared_bytes=words.size_bytes,
        eight_bit=words.eight_bit,
        smtputf8=words.smtputf8,
        ret=words.ret,
        envid=words.envid,
        priority=_priority(client, words.mt_priority),
    )


def _sender(rules: IntakeRules, client: ClientRule, path: str, words: MailWords, *, lenient: bool) -> MailFrom | Denial:
    """Judge the path of MAIL alone."""
    try:
        named = parse_address(path, rules.grammar(lenient=lenient, utf8=words.smtputf8)) if path else ""
    except AddressError as error:
        return _bad_address(error, "5.1.7", words, path)
    sender = rules.rewriter.sender(named)[0] if named else ""
    tenant = rules.domains.tenant_of(sender)
    agreed = MailFrom(address=sender, original=named, tenant=tenant, priority=client.priority)
    return sender_denial(client, sender, "sender") or agreed


def check_recipient(
    rules: IntakeRules,
    client: ClientRule,
    mail: MailFrom,
    argument: str,
    accepted: int,
    *,
    lenient: bool = False,
) -> Recipient | Denial:
    """Judge ``RCPT TO:<argument>``; ``accepted`` recipients were taken before it."""
    answer = _recipient(rules, client, mail, argument, accepted, lenient=lenient)
    if rules.suppressed is None or isinstance(answer, Denial) or not rules.suppressed.lists(answer.address):
        return answer
    text = "this address failed for good lately and is on the suppression list of this relay"
    return Denial(code=550, enhanced="5.1.1", text=text, reason="suppressed")


def _recipient(
    rules: IntakeRules, client: ClientRule, mail: MailFrom, argument: str, accepted: int, *, lenient: bool
) -> Recipient | Denial:
    """Judge a recipient by the rules alone."""
    if accepted >= client.max_recipients:
        text = f"client {client.name!r} may name {client.max_recipients} recipients in one message"
        return Denial(code=452, enhanced="4.5.3", text=text, reason="too_many_recipients")
    head, _, rest = argument.partition(" ")
    if not rest:
        known = rules.recipients.recall(client, head, mail.tenant, lenient=lenient)
        if known is not None:
            return known
    words = _read_recipient(rules, mail, argument, lenient=lenient)
    if isinstance(words, Denial):
        return words
    path, named, address, notify, orcpt = words
    returned = returned_recipient(rules.returns, client, address, accepted)
    if returned is not None:
        return returned
    direction = rules.domains.direction(address, mail.tenant)
    denial = recipient_denial(client, address, direction)
    if denial is not None:
        return denial
    if client.redirect:
        address, direction = client.redirect, rules.domains.direction(client.redirect, mail.tenant)
    original = named if named != address else ""
    recipient = Recipient(address=address, direction=direction, original=original, orcpt=orcpt, notify=notify)
    if not rest and repeatable(head, path):
        rules.recipients.keep(client, head, recipient, mail.tenant, lenient=lenient)
    return recipient


def _read_recipient(
    rules: IntakeRules, mail: MailFrom, argument: str, *, lenient: bool
) -> tuple[str, str, str, int, str] | Denial:
    """Give the path, the address named, the one meant, NOTIFY and ORCPT."""
    try:
        path, parameters = split_path(argument, lenient=lenient)
        notify, orcpt = _recipient_words(parse_parameters(parameters)) if parameters else NO_DSN
        named = parse_address(path, rules.grammar(lenient=lenient, utf8=mail.smtputf8))
        address = rules.rewriter.recipient(named)
    except ParameterError as error:
        return _syntax(error)
    except KeyError as error:
        return _not_offered(error)
    except AddressError as error:
        return _bad_address(error, "5.1.3", mail, path)
    if "@" not in address:
        return Denial(code=550, enhanced="5.1.3", text="the recipient has no domain", reason="recipient_no_domain")
    return path, named, address, notify, orcpt


def size_denial(rules: IntakeRules, client: ClientRule, size_bytes: int) -> Denial | None:
    """Refuse a message larger than the plan or the front door takes (RFC 1870); asked at MAIL and after DATA."""
    limit = min(rules.size_bytes, client.size_bytes)
    if size_bytes <= limit:
        return None
    text = f"client {client.name!r} may send {limit} octets in one message"
    return Denial(code=552, enhanced="5.3.4", text=text, reason="too_large")


def _mail_words(words: dict[str, str]) -> MailWords:
    """Raises ParameterError, and KeyError with the name of a parameter nobody offered."""
    for key, value in words.items():
        if key == "AUTH":
            check_auth_parameter(value)
        elif key not in {"SIZE", "BODY", "SMTPUTF8", "RET", "ENVID", "MT-PRIORITY"}:
            raise KeyError(key)
    if words.get("SMTPUTF8"):
        raise ParameterError("SMTPUTF8 takes no value")
    return MailWords(
        size_bytes=_declared(words["SIZE"]) if "SIZE" in words else 0,
        eight_bit=_one_of(words, "BODY", ("7BIT", "8BITMIME")) == "8BITMIME",
        smtputf8="SMTPUTF8" in words,
        ret=_one_of(words, "RET", ("FULL", "HDRS")),
        envid=parse_envid(words["ENVID"]) if "ENVID" in words else "",
        mt_priority=_mt_priority(words["MT-PRIORITY"]) if "MT-PRIORITY" in words else None,
    )


def _recipient_words(words: dict[str, str]) -> tuple[int, str]:
    """Raises ParameterError, and KeyError with the name of a parameter nobody offered."""
    for key in words:
        if key not in {"NOTIFY", "ORCPT"}:
            raise KeyError(key)
    notify = parse_notify(words["NOTIFY"]) if "NOTIFY" in words else Notify.DEFAULT.value
    return notify, parse_orcpt(words["ORCPT"]) if "ORCPT" in words else ""


def _one_of(words: dict[str, str], key: str, values: tuple[str, ...]) -> str:
    value = words.get(key)
    if value is None:
        return ""
    if value.upper() not in values:
        raise ParameterError(f"{key} must be {' or '.join(values)}")
    return value.upper()


def _declared(value: str) -> int:
    if not (value.isascii() and value.isdigit() and len(value) <= SIZE_DIGITS):
        raise ParameterError("SIZE must be a number of octets")
    return int(value)


def _mt_priority(value: str) -> int:
    digits = value.removeprefix("-")
    if len(digits) != 1 or digits not in "0123456789":
        raise ParameterError("MT-PRIORITY must be a number from -9 to 9")
    return int(value)


def _priority(client: ClientRule, asked: int | None) -> Priority:
    """Fold MT-PRIORITY to three classes (RFC 6710, MIXER: 4 is urgent, below 0 non-urgent), never above the plan's."""
    if asked is None:
        return client.priority
    wanted = Priority.BULK if asked < 0 else Priority.URGENT if asked >= URGENT_FROM else Priority.NORMAL
    return min(wanted, client.priority, key=RANK.__getitem__)


def _syntax(error: ParameterError) -> Denial:
    return Denial(code=501, enhanced="5.5.4", text=str(error), reason="parameter")


def _not_offered(error: KeyError) -> Denial:
    return Denial(code=555, enhanced="5.5.4", text=f"{error.args[0]} is not offered here", reason="parameter")


def _bad_address(error: AddressError, enhanced: str, words: MailWords | MailFrom, path: str) -> Denial:
    if not path.isascii() and not words.smtputf8:
        return Denial(code=553, enhanced="5.6.7", text="this address needs SMTPUTF8", reason="needs_smtputf8")
    return Denial(code=553, enhanced=enhanced, text=str(error), reason="bad_address")
