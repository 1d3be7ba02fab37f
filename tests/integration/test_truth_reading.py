"""Reading mailboxes: where it begins, how it goes on, and each obstacle, over a real truth.db."""

import pytest

from node.telemetry.numbers import Numbers
from node.telemetry.relay import RelayTelemetry
from node.truth.contract import Came, Item, Judged, Outcome, Page
from node.truth.errors import CursorExpired, MailboxRefused, MailboxUnavailable
from node.truth.reading import BACK_MS, PAGES_MAX, Box, Reading, is_system
from node.truth.store import Store
from tests.support.spool_mail import T0

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
    """A mailbox by script: each step is a page, or an error to raise; asked beyond its end it has nothing new."""

    def __init__(self, *steps):
        self.steps, self.asked, self.contents = list(steps), [], []
        self.unreadable: set[str] = set()

    async def changes(self, tenant, mailbox, cursor, since_ms):
        self.asked.append((cursor, since_ms))
        step = self.steps.pop(0) if self.steps else page(cursor="end")
        if isinstance(step, Exception):
            raise step
        return step

    async def content(self, tenant, mailbox, item):
        self.contents.append(item)
        if item in self.unreadable:
            raise MailboxRefused("404")
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
    mailbox.unreadable = {"a"}
    made, desk = reading(store, mailbox)
    await made.read(BOX)
    assert [data for data, _ in desk.taken] == [b"b"]


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
