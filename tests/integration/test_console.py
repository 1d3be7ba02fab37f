"""The console over HTTP: who gets in, what may be done, and that hostile text is only text."""

import msgspec
import pytest

from node.admin.access import Role
from node.admin.cluster import ClusterUnreachableError
from node.admin.everywhere import Gathered
from node.console.guard import HEADERS
from node.console.site import PAGES
from node.policy.envelope import RecipientState
from node.spool.contract import RecipientResult
from tests.integration.test_admin_api import TOKENS
from tests.support.console_house import console_house
from tests.support.spool_mail import T0, accepted, message

HOSTILE = "<script>alert(1)</script>\x1b[31m\u202e'\"&"


async def test_every_page_asks_who_comes_and_a_wrong_token_is_told_so(tmp_path):
    async with console_house(tmp_path) as it:
        for place in PAGES:
            status, _ = await it.get("/console" + place.path.replace("{id}", "x"))
            assert status == 303, place.path
        status, text = await it.post("/console/sign-in", token="wrong")
        assert (status, "a token that is known" in text) == (401, True)
        assert (await it.get("/console/queue"))[0] == 303
        await it.sign_in("VIEWER")
        assert (await it.get("/console/queue"))[0] == 200


async def test_wrong_tokens_count_with_those_of_the_api_and_then_nobody_of_that_address_is_heard(tmp_path):
    async with console_house(tmp_path) as it:
        for _ in range(5):
            assert (await it.post("/console/sign-in", token="wrong"))[0] == 401
            async with it.http.get(it.base + "/v1/status", headers={"Authorization": "Bearer wrong"}) as answer:
                assert answer.status == 401
        assert (await it.post("/console/sign-in", token="ADMIN"))[0] == 429


async def test_the_cookie_is_for_this_host_alone_and_out_of_scripts_reach(tmp_path):
    async with console_house(tmp_path) as it:
        async with it.http.post(
            it.base + "/console/sign-in", data={"token": "VIEWER"}, headers=it.origin, allow_redirects=False
        ) as answer:
            (cookie,) = answer.headers.getall("Set-Cookie")
        assert cookie.startswith("__Host-relay=")
        assert {part.strip().lower() for part in cookie.split(";")[1:]} == {
            "httponly",
            "path=/",
            "samesite=strict",
            "secure",
        }
        async with it.http.get(it.base + "/console/") as page:
            assert {name: page.headers.get(name) for name in HEADERS} == HEADERS
            assert page.headers["Cache-Control"] == "no-store"
            text = await page.text()
        assert HEADERS["Referrer-Policy"] == "same-origin", "with no-referrer, Chromium sends a form's Origin as null"
        assert "unsafe" not in HEADERS["Content-Security-Policy"]
        assert " style=" not in text
        assert text.count("<script") == text.count('<script src="/console/static/')


async def test_a_forged_or_ended_session_is_none(tmp_path):
    async with console_house(tmp_path) as it:
        status, _ = await it.get("/console/queue", Cookie="__Host-relay=forged")
        assert status == 303
        await it.sign_in("VIEWER")
        (key,) = it.console.sessions._open
        assert await it.post("/console/sign-out", csrf=await it.csrf()) == (303, "/console/sign-in")
        assert (await it.get("/console/queue", Cookie=f"__Host-relay={key}"))[0] == 303


async def test_a_session_ends_with_its_token(tmp_path):
    async with console_house(tmp_path) as it:
        await it.sign_in("VIEWER")
        assert (await it.get("/console/"))[0] == 200
        it.house.server.gatekeeper.replace([token for token in TOKENS if token.role is not Role.VIEWER])
        assert (await it.get("/console/"))[0] == 303
        it.house.server.gatekeeper.replace(TOKENS)
        assert (await it.get("/console/"))[0] == 303, "the session came back with the token"


async def test_another_hosts_name_is_refused_and_addresses_and_own_names_are_not(tmp_path):
    async with console_house(tmp_path) as it:
        assert (await it.get("/console/sign-in", Host="evil.example"))[0] == 403
        for host in ("127.0.0.1:1", "[::1]:8025", "RELAY.test", "localhost:9"):
            assert (await it.get("/console/sign-in", Host=host))[0] == 200, host


@pytest.mark.parametrize(
    "headers",
    [{}, {"Origin": "null"}, {"Origin": "https://evil.example"}, {"Origin": "SAME", "Sec-Fetch-Site": "cross-site"}],
)
async def test_a_form_of_another_site_does_nothing(tmp_path, headers):
    async with console_house(tmp_path) as it:
        made = await it.house.put()
        await it.sign_in("ADMIN")
        csrf = await it.csrf()
        sent = {name: it.base if value == "SAME" else value for name, value in headers.items()}
        status, _ = await it.post("/console/queue/hold", sent, csrf=csrf, ids=made.id, which="ticked")
        assert status == 403
        view = await it.house.control.spool.journey(made.id)
        assert view.recipients[0].state is RecipientState.QUEUED
        assert it.audited() == []


@pytest.mark.parametrize("csrf", ["", "x", "of another session"])
async def test_a_form_without_the_sessions_token_does_nothing(tmp_path, csrf):
    async with console_house(tmp_path) as it:
        made = await it.house.put()
        await it.sign_in("ADMIN")
        if csrf.startswith("of"):
            csrf = await it.csrf()
            await it.sign_in("ADMIN")
        status, _ = await it.post("/console/queue/hold", csrf=csrf, ids=made.id, which="ticked")
        assert status == 403
        assert it.audited() == []


ACTS = {
    "/console/queue/hold": {"which": "ticked"},
    "/console/queue/release": {"which": "ticked"},
    "/console/queue/delete": {"which": "ticked", "reason": "x"},
    "/console/accounts/park": {"account": "contoso/relay1@contoso.com", "reason": "x"},
    "/console/accounts/resume": {"account": "contoso/relay1@contoso.com"},
    "/console/wishes": {"kind": "hold", "reason": "x"},
}


async def test_a_viewer_sees_no_action_and_can_do_none(tmp_path):
    async with console_house(tmp_path) as it:
        made = await it.house.put()
        await it.sign_in("VIEWER")
        csrf = (await it.get("/console/"))[1].split('name="csrf" value="')[1].split('"')[0]
        for path in ("/console/queue", "/console/accounts", "/console/events", f"/console/message/{made.id}"):
            _, text = await it.get(path)
            assert text.count('method="post"') == 1, f"{path}: more than the way out"
        for path, form in ACTS.items():
            assert (await it.post(path, csrf=csrf, ids=made.id, **form))[0] == 303
            _, text = await it.get("/console/")
            assert "this takes the role operator; viewer is viewer" in text, path
        assert it.audited() == []
        view = await it.house.control.spool.journey(made.id)
        assert view.recipients[0].state is RecipientState.QUEUED


async def test_an_operator_holds_releases_and_deletes_with_a_reason_and_the_audit_has_the_name(tmp_path):
    async with console_house(tmp_path) as it:
        spool = it.house.control.spool
        made, other = await it.house.put(), await it.house.put()
        await it.sign_in("OPERATOR")
        csrf = await it.csrf()
        for action, state in (("hold", "held"), ("release", "queued"), ("delete", "deleted")):
            form = {
                "csrf": csrf,
                "ids": made.id,
                "which": "ticked",
                "reason": f"to {action}",
                "back": "/console/queue?client=app",
            }
            assert await it.post(f"/console/queue/{action}", **form) == (303, "/console/queue?client=app")
            assert [one.state.value for one in (await spool.journey(made.id)).recipients] == [state] * len(
                made.recipients
            )
        assert (await spool.journey(other.id)).recipients[0].state is RecipientState.QUEUED
        entries = it.audited()
        assert [(one["actor"], one["facts"]["action"], one["facts"]["why"]) for one in reversed(entries)] == [
            ("operator", action, f"to {action}") for action in ("hold", "release", "delete")
        ]
        await it.post("/console/queue/delete", csrf=csrf, ids=other.id, which="ticked", reason=" ")
        assert "reason: is missing" in (await it.get("/console/queue"))[1]
        assert (await spool.journey(other.id)).recipients[0].state is RecipientState.QUEUED


async def test_all_that_fits_needs_more_than_a_state_and_reaches_what_no_page_shows(tmp_path):
    async with console_house(tmp_path) as it:
        for _ in range(60):
            await it.house.put()
        await it.sign_in("OPERATOR")
        csrf = await it.csrf()
        await it.post("/console/queue/hold", csrf=csrf, which="all", states="queued")
        assert "narrow the list first" in (await it.get("/console/queue"))[1]
        assert "held" not in (await it.house.control.spool.count()).by_state
        await it.post("/console/queue/hold", csrf=csrf, which="all", client="app")
        counts = (await it.house.control.spool.count()).by_state
        assert (counts.get("queued", 0), counts["held"] >= 60) == (0, True)


async def test_pages_of_the_queue_show_each_message_once_also_those_of_one_millisecond(tmp_path):
    async with console_house(tmp_path) as it:
        made = {(await it.house.put(received_ms=T0 + number // 130)).id for number in range(260)}
        await it.sign_in("VIEWER")
        path, seen, pages = "/console/queue", [], 0
        while path:
            _, text = await it.get(path)
            seen += [part.split('"')[0] for part in text.split('<tr data-id="')[1:]]
            link = text.partition('<a rel="next" href="')[2].partition('"')[0]
            path, pages = link.replace("&amp;", "&"), pages + 1
            assert "offset" not in path
            assert pages < 20
        assert len(set(seen)) == len(made)
        assert set(seen) == made


async def test_hostile_text_stays_text(tmp_path):
    async with console_house(tmp_path) as it:
        plain = message(mail_from=f"{HOSTILE}@contoso.com")
        made = msgspec.structs.replace(plain, message_id=f"<{HOSTILE}@x>", source=HOSTILE)
        await it.house.control.spool.append(accepted(made))
        result = RecipientResult(index=0, state=RecipientState.DEAD, reason=HOSTILE, reply=HOSTILE)
        await it.house.control.spool.finish(made.id, [result], T0 + 1, "dead")
        it.house.control.accounts.add(HOSTILE)
        it.house.control.parked[HOSTILE] = (HOSTILE, "x")
        await it.sign_in("ADMIN")
        csrf = await it.csrf()
        await it.post("/console/accounts/park", csrf=csrf, account=HOSTILE, reason=HOSTILE)
        paths = ["/console/", "/console/queue?states=dead", f"/console/message/{made.id}", "/console/accounts",
                 "/console/events", "/console/clients", "/console/budget", "/console/history?client=app"]  # fmt: skip
        shown = 0
        for path in paths:
            status, text = await it.get(path)
            assert status == 200, path
            assert "<script>" not in text, path
            assert "\x1b" not in text, path
            assert "\u202e" not in text, path
            shown += text.count("&lt;script&gt;")
        assert shown >= 6


@pytest.mark.parametrize("query", ["before=x", "before=1.2.3", "since=never", "states=eaten", "client=" + "x" * 600])
async def test_a_question_that_cannot_be_read_is_answered_by_what_is_wrong_with_it(tmp_path, query):
    async with console_house(tmp_path) as it:
        await it.sign_in("VIEWER")
        status, text = await it.get(f"/console/queue?{query}")
        assert status in (200, 400)
        assert query.partition("=")[0] + ":" in text


async def test_a_node_that_does_not_answer_is_named_and_the_rest_is_shown(tmp_path):
    async with console_house(tmp_path) as it:
        made = await it.house.put()
        queues = it.house.control.everywhere
        find = queues.find

        async def without_one(which, *, here=False):
            found = await find(which, here=here)
            return Gathered(messages=found.messages, missing={"relay-z": "no answer in 1 s"})

        queues.find = without_one
        await it.sign_in("VIEWER")
        _, text = await it.get("/console/queue")
        assert "<strong>relay-z</strong>: no answer in 1 s" in text
        assert made.id in text


class SilentStore:
    async def view(self):
        raise ClusterUnreachableError("etcd does not answer")


async def test_a_store_that_does_not_answer_leaves_the_rest_of_the_page(tmp_path):
    async with console_house(tmp_path) as it:
        it.house.control.cluster = SilentStore()
        await it.sign_in("VIEWER")
        for path in ("/console/", "/console/events"):
            status, text = await it.get(path)
            assert (status, "etcd does not answer" in text) == (200, True)


async def test_bodies_are_on_no_page_and_the_trace_is_linked(tmp_path):
    async with console_house(tmp_path, trace_url="https://traces.example/{trace_id}") as it:
        trace = "0af7651916cd43dd8448eb211c80319c"
        made = await it.house.put(traceparent=f"00-{trace}-b7ad6b7169203331-01")
        await it.sign_in("ADMIN")
        _, text = await it.get(f"/console/message/{made.id}")
        assert f'href="https://traces.example/{trace}"' in text
        async with it.http.get(f"{it.base}/console/message/{made.id}/body") as answer:
            assert answer.status == 404
        _, missing = await it.get("/console/message/01a2-x")
        assert "has a message of that id" in missing
