import re

import pytest

from node.intake.conversation import TABLE
from node.intake.replies import Say, lines, wire
from node.intake.sequence import BARRED, STEPS, VERBS, Event, Phase, barred, step
from node.policy.reply import Reply

MOVES = {b"HELO": Event.GREETED, b"EHLO": Event.GREETED, b"MAIL": Event.SENDER, b"RCPT": Event.RECIPIENT}
REPLY = re.compile(rb"(?:[2-5]\d\d [245]\.\d{1,3}\.\d{1,3} [\x20-\x7e]+|3\d\d [\x20-\x7e]*)\r\n")


@pytest.mark.parametrize("phase", Phase)
@pytest.mark.parametrize("event", Event)
def test_every_state_meets_every_event(phase, event):
    if event in STEPS[phase]:
        assert step(phase, event) in Phase
    else:
        with pytest.raises(KeyError):
            step(phase, event)


@pytest.mark.parametrize("phase", Phase)
@pytest.mark.parametrize("verb", sorted(MOVES))
def test_a_command_is_barred_exactly_where_its_event_cannot_happen(phase, verb):
    assert (verb not in BARRED[phase]) == (MOVES[verb] in STEPS[phase])


def test_every_verb_has_a_command():
    assert TABLE.keys() == VERBS


@pytest.mark.parametrize("phase", Phase)
def test_nothing_but_the_handshake_works_before_tls_where_it_is_required(phase):
    table = barred(phase, tls_missing=True, auth_missing=True)
    assert {verb for verb in VERBS if verb not in table} <= {
        *(b"EHLO", b"HELO", b"NOOP", b"RSET", b"QUIT", b"HELP", b"STARTTLS"),
    }
    table = barred(phase, tls_missing=False, auth_missing=True)
    assert table[b"MAIL"][:3] in (b"530", b"503")


@pytest.mark.parametrize("name", [name for name in vars(Say) if name.isupper()])
def test_every_reply_is_well_formed(name):
    reply = getattr(Say, name)
    assert REPLY.fullmatch(reply), reply
    if reply[:1] != b"3":
        assert reply[4:5] == reply[:1], "class of the enhanced code differs from the code's"


def test_no_text_can_forge_a_line():
    octets = wire(Reply(code=550, enhanced="5.7.1", text="client 'x\r\n250 ok\0ä' " + "y" * 900))
    assert octets.count(b"\r\n") == 1
    assert octets.endswith(b"\r\n")
    assert len(octets) <= 512
    assert lines(250, ["a", "b"]) == b"250-a\r\n250 b\r\n"
