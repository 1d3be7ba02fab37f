"""Header mailbox lists: one reading or none."""

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from node.policy.addresses import AddressError
from node.policy.mailboxes import Mailbox, parse_mailboxes

CALM = settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])


@pytest.mark.parametrize(
    ("value", "display", "address"),
    [
        ("app@contoso.com", "", "app@contoso.com"),
        ("<app@contoso.com>", "", "app@contoso.com"),
        ("App <app@Contoso.com>", "App", "app@contoso.com"),
        ("  App  Name  <app@contoso.com>  ", "App  Name", "app@contoso.com"),
        ('"App, Inc. <x@y.z>" <app@contoso.com>', '"App, Inc. <x@y.z>"', "app@contoso.com"),
        ('"ceo@contoso.com" <app@contoso.com>', '"ceo@contoso.com"', "app@contoso.com"),
        ("=?utf-8?B?w6TDtg==?= <app@contoso.com>", "=?utf-8?B?w6TDtg==?=", "app@contoso.com"),
        ("Jörg Q. Public <app@contoso.com>", "Jörg Q. Public", "app@contoso.com"),
        ("app@contoso.com (a comment)", "", "app@contoso.com"),
        ("(x (nested \\) )) App <app@contoso.com>", "App", "app@contoso.com"),
        ("app@contoso.com <app@contoso.com>", '"app@contoso.com"', "app@contoso.com"),
        ("[Build] Server <app@contoso.com>", '"[Build] Server"', "app@contoso.com"),
        ('X "a\\"b" [c] <app@contoso.com>', '"X a\\"b [c]"', "app@contoso.com"),
        ('"a b\\"c" <app@contoso.com>', '"a b\\"c"', "app@contoso.com"),
        ('"quoted"@contoso.com', "", "quoted@contoso.com"),
        ("< app@contoso.com >", "", "app@contoso.com"),
    ],
)
def test_reads_one(value, display, address):
    (box,) = parse_mailboxes(value)
    assert box[:2] == (display, address)
    assert box.quoted is (display.startswith('"') and not value.lstrip().startswith('"'))


def test_reads_several():
    assert parse_mailboxes('A <a@b.c>, "D, E" <d@e.f>,g@h.i') == (
        Mailbox("A", "a@b.c"),
        Mailbox('"D, E"', "d@e.f"),
        Mailbox("", "g@h.i"),
    )


@pytest.mark.parametrize(
    "value",
    [
        "",
        "Scanner Room 5",
        "ceo@contoso.com <evil@evil.com>",
        "a@b.c d@e.f",
        "<a@b.c> <d@e.f>",
        "<a@b.c>d@e.f",
        "<a@b.c",
        "a@b.c>",
        ">a@b.c<",
        "a@b.c,",
        ",a@b.c",
        "a@b.c,,d@e.f",
        "group: a@b.c;",
        "undisclosed-recipients:;",
        "<@route.example:a@b.c>",
        "a(@evil.com)b@c.d (",
        "a@b.c (((((deep)))))",
        "a@b.c )",
        '"open <a@b.c>',
        "a <a@b.c, d@e.f>",
        "a@b\x00.c",
        "a@b.c\r\nBcc: x@y.z",
        "a@[1.2.3.4",
    ],
)
def test_refuses_what_can_be_read_twice(value):
    with pytest.raises(AddressError):
        parse_mailboxes(value)


def test_comment_inside_an_address_does_not_join_it():
    with pytest.raises(AddressError):
        parse_mailboxes("ceo(x)@contoso.com")


def test_long_phrases_take_linear_time():
    for value in ("a " * 20_000 + "(", "a" * 50_000 + "(", '"' + "\\a" * 20_000, "(" * 50_000, "a@" * 20_000):
        with pytest.raises(AddressError):
            parse_mailboxes(value)


def test_too_many():
    with pytest.raises(AddressError, match="too many"):
        parse_mailboxes(",".join(["a@b.c"] * 101))


@CALM
@given(st.text('ab@.,<>()"\\: ;ü\t', max_size=30))
def test_every_address_found_stands_in_the_text(value):
    try:
        boxes = parse_mailboxes(value)
    except AddressError:
        return
    assert boxes
    for box in boxes:
        assert not set(box.address) & set("\r\n\x00<> ")
        domain = box.address.rpartition("@")[2]
        assert domain in value.lower() or "xn--" in domain
