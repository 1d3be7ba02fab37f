"""Reading mailboxes: where it begins, how it goes on, and each obstacle, over a real truth.db."""

import pytest

from node.telemetry.numbers import Numbers
from node.telemetry.relay import RelayTelemetry
from node.truth.contract import Came, Item, Judged, Outcome, Page
from node.truth.errors import CursorExpired, MailboxRefused, MailboxUnavailable, NotThere
from node.truth.reading import BACK_MS, PAGES_MAX, TRIES_MAX, Box, Reading, is_system
from node.truth.store import Store
from tests.support.spool_mail import T0

HOUR_MS = 3_600_000
BOX = Box("contoso", "relay1@contoso.com", 60.0)
SYSTEM = "postmaster@contoso.com"


class Desk:
    """Takes what is read."""

    def __init__(self):
        self.taken: list[tuple[bytes, Came]] = []

    async def take(self, data: bytes, came: Came) -> Judged:
        self.taken.append((data, came))
        return Judged(outcome=Outcome.OTHER)


class Mailbox:
    """An inbox by script: each step is a page, or an error to raise; asked beyond its end it has nothing new.

    What is thought junk has a script of its own.
    """

    def __init__(self, *steps, junk=()):
        self.steps, self.junk, self.asked, self.junk_asked, self.contents = list(steps), list(junk), [], [], []
        self.unreadable: dict[str, Exception] = {}

    async def changes(self, tenant, mailbox, folder, cursor, since_ms):
        steps, asked = (self.steps, self.asked) if folder == "inbox" else (self.junk, self.junk_asked)
        asked.append((cursor, since_ms))
        step = steps.pop(0) if steps else page(cursor="end")
        if isinstance(step, Exception):
            raise step
        return step

    async def content(self, tenant, mailbox, item):
        self.contents.append(item)
        if item in self.unreadable:
            raise self.unreadable[item]
        return item.encode()


def page(*names: str, cursor: str = "next", more: bool = False, sender: str = SYSTEM) -> Page:
    return Page(items=tuple(Item(id=one, received_ms=T0, sender=sender) for one in names), cursor=cursor, more=more)


@pytest.fixture
async def store(tmp_path):
    made = Store(tmp_path)
    await made.open()
    yield made
    await made.close()


def reading(store, mailbox: Mailbox) -> tuple[Reading, Desk]:
    desk = Desk()
    made = Reading(mailbox, store, desk, RelayTelemetry(Numbers(), None), now_ms=lambda: T0)
    made.set([BOX])
    return made, desk


async def test_it_begins_a_day_back_and_goes_on_where_it_was(store):
    mailbox = Mailbox(page("a", cursor="one", more=True), page("b", cursor="two"))
    made, desk = reading(store, mailbox)
    await made.read(BOX)
    assert mailbox.asked == [("", T0 - BACK_MS), ("one", T0 - BACK_MS)]
    assert [data for data, _ in desk.taken] == [b"a", b"b"]
    assert desk.taken[0][1] == Came(mailbox=BOX.mailbox, tenant="contoso")
    again, _ = reading(store, mailbox)
    await again.read(BOX)
    assert mailbox.asked[-1][0] == "two", "also after a restart"


async def test_the_place_is_kept_only_after_what_lies_before_it(store):
    mailbox = Mailbox(page("a", cursor="one", more=True), MailboxUnavailable("503"))
    made, _ = reading(store, mailbox)
    with pytest.raises(MailboxUnavailable):
        await made.read(BOX)
    await made.read(BOX)
    assert mailbox.asked[-1][0] == "one"


async def test_a_report_that_cannot_be_judged_now_is_read_again(store):
    mailbox = Mailbox(page("a", cursor="one"))
    made, desk = reading(store, mailbox)

    async def failing(_data, _came):
        raise MailboxUnavailable("the spool")

    desk.take = failing
    with pytest.raises(MailboxUnavailable):
        await made.read(BOX)
    await made.read(BOX)
    assert mailbox.asked[-1][0] == "", "the place was not moved"


async def test_a_stale_place_begins_anew(store):
    mailbox = Mailbox(page(cursor="one"), CursorExpired("410"), page("a", cursor="fresh"))
    made, desk = reading(store, mailbox)
    await made.read(BOX)
    await made.read(BOX)
    assert [cursor for cursor, _ in mailbox.asked] == ["", "one", ""]
    assert len(desk.taken) == 1


async def test_a_mailbox_that_is_always_stale_ends_in_an_error(store):
    mailbox = Mailbox(*[CursorExpired("410")] * 5)
    made, _ = reading(store, mailbox)
    with pytest.raises(CursorExpired):
        await made.read(BOX)
    assert len(mailbox.asked) == 1


async def test_an_endless_mailbox_does_not_keep_the_others_waiting(store):
    mailbox = Mailbox(*[page(f"m{number}", cursor=f"c{number}", more=True) for number in range(PAGES_MAX + 10)])
    made, desk = reading(store, mailbox)
    await made.read(BOX)
    assert len(desk.taken) == PAGES_MAX
    await made.read(BOX)
    assert mailbox.asked[PAGES_MAX][0] == f"c{PAGES_MAX - 1}", "and goes on from there"


async def test_what_is_gone_meanwhile_is_passed_over(store):
    mailbox = Mailbox(page("a", "b"))
    mailbox.unreadable = {"a": NotThere("404")}
    made, desk = reading(store, mailbox)
    await made.read(BOX)
    assert [data for data, _ in desk.taken] == [b"b"]


async def test_what_a_filter_took_for_junk_is_read_from_a_place_of_its_own(store):
    mailbox = Mailbox(page("a", cursor="one"), junk=[page("j", cursor="junk-one")])
    made, desk = reading(store, mailbox)
    await made.read(BOX)
    await made.read(BOX)
    assert [data for data, _ in desk.taken] == [b"a", b"j"]
    asked = [[cursor for cursor, _ in one] for one in (mailbox.asked, mailbox.junk_asked)]
    assert asked == [["", "one"], ["", "junk-one"]]


async def test_a_mailbox_without_a_junk_folder_is_well(store):
    made, desk = reading(store, Mailbox(page("a"), junk=[NotThere("404")]))
    await made.read(BOX)
    assert len(desk.taken) == 1
    with pytest.raises(NotThere):
        await reading(store, Mailbox(NotThere("404")))[0].read(BOX)


async def test_a_message_that_may_not_be_read_hides_no_other(store):
    mailbox = Mailbox(page("a", "b", cursor="one"))
    mailbox.unreadable = {"a": MailboxRefused("403")}
    made, desk = reading(store, mailbox)
    await made.read(BOX)
    assert [data for data, _ in desk.taken] == [b"b"]


async def test_a_mailbox_that_may_not_be_read_any_more_loses_none(store):
    mailbox = Mailbox(page("a", cursor="one"), MailboxRefused("403"), page("a", cursor="one"))
    mailbox.unreadable = {"a": MailboxRefused("403")}
    made, desk = reading(store, mailbox)
    with pytest.raises(MailboxRefused):
        await made.read(BOX)
    mailbox.unreadable.clear()
    await made.read(BOX)
    assert [data for data, _ in desk.taken] == [b"a"]


async def test_a_message_that_is_never_given_hides_no_other_for_ever(store):
    mailbox = Mailbox(*[page("a", "b")] * TRIES_MAX)
    mailbox.unreadable = {"a": MailboxUnavailable("500")}
    made, desk = reading(store, mailbox)
    for _ in range(TRIES_MAX - 1):
        with pytest.raises(MailboxUnavailable):
            await made.read(BOX)
    assert desk.taken == []
    await made.read(BOX)
    assert [data for data, _ in desk.taken] == [b"b"]


@pytest.mark.parametrize(("read_hours_ago", "since_hours_ago"), [(None, 24), (12, 24), (72, 73), (720, 168)], ids=str)
async def test_where_a_stale_place_begins(store, read_hours_ago, since_hours_ago):
    """After a weekend without a right to read, nothing that came meanwhile is left out."""
    if read_hours_ago is not None:
        before, _ = reading(store, Mailbox(page(cursor="old")))
        before._now_ms = lambda: T0 - read_hours_ago * HOUR_MS
        await before.read(BOX)
    mailbox = Mailbox(*([CursorExpired("410")] if read_hours_ago is not None else []), page("a"))
    made, _ = reading(store, mailbox)
    await made.read(BOX)
    assert mailbox.asked[-1] == ("", T0 - since_hours_ago * HOUR_MS)


async def test_peoples_mail_is_not_read(store):
    mailbox = Mailbox(page("a", sender="bob@contoso.com"))
    made, desk = reading(store, mailbox)
    await made.read(BOX)
    assert (mailbox.contents, desk.taken) == ([], [])


@pytest.mark.parametrize(
    ("sender", "system"),
    [
        ("postmaster@contoso.com", True), ("mailer-daemon@x.example", True), ("", True),
        ("microsoftexchange329e71ec88ae4615bbc36ab6ce41109e@contoso.com", True),
        ("bob@contoso.com", False), ("post@contoso.com", False), ("my-postmaster@contoso.com", False),
    ],
)  # fmt: skip
def test_whose_mail_is_read(sender, system):
    assert is_system(sender) is system


@pytest.mark.parametrize(
    ("error", "trouble"),
    [(MailboxUnavailable("503", retry_after_s=99), "503"), (MailboxRefused("403"), "403"), (ValueError("x"), "fault")],
)
async def test_each_obstacle_is_said_and_waited_for(store, error, trouble):
    mailbox = Mailbox(error, page(cursor="one"))
    made, _ = reading(store, mailbox)
    await made._one(BOX)
    (state,) = made.states()
    assert trouble in state.trouble
    wait_s = made._due_s[BOX.mailbox]
    await made._one(BOX)
    assert made.states()[0].trouble == ""
    assert made.states()[0].read_ms == T0
    expected = {"503": 99, "403": 900, "fault": 60}[trouble]
    assert wait_s - made._due_s[BOX.mailbox] == pytest.approx(expected - 60, abs=5)


async def test_a_mailbox_that_is_configured_no_longer_is_forgotten(store):
    made, _ = reading(store, Mailbox())
    await made._one(BOX)
    made.set([Box("contoso", "other@contoso.com", 60.0)])
    assert [one.mailbox for one in made.states()] == ["other@contoso.com"]
