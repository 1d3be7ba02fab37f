"""A certificate names exactly one node of one cluster, or it names nobody."""

import pytest

from coordinator.peers.identity import Identity, NotAPeer, caller, expect, identity_of


def shown(*uris: str, **more) -> dict:
    return {"subjectAltName": (("DNS", "relay-a"), *(("URI", uri) for uri in uris)), **more}


def test_the_one_uri_is_read():
    found = identity_of(shown("https://other.example", "relay://corp-mail/relay-a.dc1"))
    assert found == Identity(cluster="corp-mail", node="relay-a.dc1")
    assert str(found) == "relay://corp-mail/relay-a.dc1"


BAD = {
    "none": (),
    "two": ("relay://corp-mail/relay-a", "relay://corp-mail/relay-b"),
    "no node": ("relay://corp-mail/",),
    "no cluster": ("relay:///relay-a",),
    "path behind": ("relay://corp-mail/relay-a/admin",),
    "query": ("relay://corp-mail/relay-a?x",),
    "line end": ("relay://corp-mail/relay-a\n",),
    "nul": ("relay://corp-mail/relay-a\0.evil",),
    "user": ("relay://me@corp-mail/relay-a",),
    "large letters in the cluster": ("relay://Corp-Mail/relay-a",),
    "letters beyond ASCII": ("relay://corp-mail/relay-а",),
    "too long": ("relay://corp-mail/" + "a" * 64,),
    "large scheme": ("RELAY://corp-mail/relay-a",),
}


@pytest.mark.parametrize("uris", BAD.values(), ids=BAD.keys())
def test_anything_else_names_nobody(uris):
    with pytest.raises(NotAPeer):
        identity_of(shown(*uris))


@pytest.mark.parametrize("nothing", [None, {}, {"subject": ()}])
def test_no_certificate_names_nobody(nothing):
    with pytest.raises(NotAPeer):
        identity_of(nothing)


def test_a_common_name_is_no_word_for_a_node():
    with pytest.raises(NotAPeer):
        caller(shown(subject=((("commonName", "relay-a"),),)), "corp-mail", ["relay-a"])


def test_callers_are_of_this_cluster_and_on_the_list():
    certificate = shown("relay://corp-mail/relay-a")
    assert caller(certificate, "corp-mail", ["relay-a", "relay-b"]) == "relay-a"
    with pytest.raises(NotAPeer, match="another cluster than corp-uat"):
        caller(certificate, "corp-uat", ["relay-a"])
    with pytest.raises(NotAPeer, match="relay-a is not on the list"):
        caller(certificate, "corp-mail", ["relay-b"])


def test_a_server_is_the_node_meant():
    meant = Identity(cluster="corp-mail", node="relay-a")
    expect(shown("relay://corp-mail/relay-a"), meant)
    for other in ("relay://corp-mail/relay-b", "relay://corp-uat/relay-a"):
        with pytest.raises(NotAPeer, match="not relay://corp-mail/relay-a"):
            expect(shown(other), meant)
