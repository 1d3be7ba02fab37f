"""The console in a real browser, against three real nodes: every page, every action, live numbers, nothing of axe's.

Pictures of each page, light, dark and on a phone, are written to the test's directory, to be looked at.
"""

import pytest

from tests.acceptance.test_queues_everywhere import hand_in
from tests.support.console_scene import NAMES, PHONE, WIDE, Walker, chromium, consoles
from tests.support.world import until

PAGES = ("", "queue", "budget", "accounts", "clients", "history?client=apps", "events")
SERIOUS = ("serious", "critical")


@pytest.fixture(scope="module")
def browser():
    with chromium() as found:
        yield found


@pytest.fixture(scope="module")
def scene(tmp_path_factory, browser):
    home = tmp_path_factory.mktemp("c")
    with consoles(home, timing={"latency": "20ms", "latency_longest": "100ms"}) as (cluster, _):
        cluster.nodes[NAMES[0]].post("/v1/wishes", kind="hold", what="all", reason="all mail waits")
        ids = [hand_in(cluster, name, f"bob{number}@example.com") for number, name in enumerate(NAMES)]
        yield cluster, ids, home


def judged(page) -> list[str]:
    """What axe finds serious."""
    from axe_playwright_python.sync_playwright import Axe

    found = Axe().run(page).response["violations"]
    return [f"{one['id']}: {one['nodes'][0]['html'][:200]}" for one in found if one["impact"] in SERIOUS]


@pytest.mark.long
@pytest.mark.timeout(900)
@pytest.mark.parametrize(
    ("name", "dark", "size"), [("light", False, WIDE), ("dark", True, WIDE), ("phone", False, PHONE)]
)
def test_every_page_is_seen_without_a_fault_and_asks_no_other_host(scene, browser, name, dark, size):
    cluster, ids, home = scene
    walker = Walker(browser, dark=dark, size=size)
    walker.sign_in(cluster.url(NAMES[0]), "operator")
    for path in (*PAGES, f"message/{ids[1]}"):
        walker.page.goto(cluster.url(NAMES[0], f"/console/{path}"))
        walker.page.screenshot(
            path=home / f"{name}-{path.split('?')[0].split('/')[0] or 'overview'}.png", full_page=True
        )
        assert judged(walker.page) == [], path
        assert walker.page.evaluate("document.documentElement.scrollWidth") <= size["width"], f"{path} is too wide"
    assert walker.faults == []
    assert walker.asked
    assert [url for url in walker.asked if not url.startswith(cluster.url(NAMES[0], "/"))] == []


@pytest.mark.long
@pytest.mark.timeout(900)
def test_each_action_does_what_it_says_and_numbers_move_by_themselves(scene, browser):
    cluster, ids, _ = scene
    asked = cluster.nodes[NAMES[0]]
    walker = Walker(browser)
    page = walker.page
    walker.sign_in(cluster.url(NAMES[0]), "operator")

    def state(queue_id: str) -> str:
        return asked.get(f"/v1/everywhere/messages/{queue_id}")["messages"][0]["recipients"][0]["state"]

    def queue(button: str, reason: str, queue_id: str) -> None:
        page.goto(cluster.url(NAMES[0], "/console/queue"))
        page.locator(f"input[name=ids][value='{queue_id}']").check()
        page.locator("#reason").fill(reason)
        page.get_by_role("button", name=button).click()
        page.locator(".notice.good").first.wait_for()

    queue("Hold", "looked at", ids[1])
    assert state(ids[1]) == "held"
    queue("Release", "fine", ids[1])
    assert state(ids[1]) in ("queued", "deferred")
    queue("Delete", "asked by owner", ids[2])
    assert state(ids[2]) == "deleted"

    page.goto(cluster.url(NAMES[0], "/console/accounts"))
    account = page.locator("tr[data-account]").first.get_attribute("data-account")
    row = page.locator(f"tr[data-account='{account}']").first
    row.get_by_label(f"Reason for {account}").fill("password change")
    row.get_by_role("button", name=f"Park {account}").click()
    page.locator(".notice.good").first.wait_for()
    until(lambda: {way["state"] for way in asked.get("/v1/accounts") if way["account"] == account} == {"parked"}, 30)
    page.goto(cluster.url(NAMES[0], "/console/accounts"))
    page.get_by_role("button", name=f"Resume {account}").first.click()
    page.locator(".notice.good").first.wait_for()
    until(lambda: {way["state"] for way in asked.get("/v1/accounts") if way["account"] == account} == {"healthy"}, 30)

    page.goto(cluster.url(NAMES[0], "/console/"))
    before = int(page.locator("[data-total=accepted]").inner_text())
    hand_in(cluster, NAMES[0], "carol@example.com")
    page.wait_for_function("n => +document.querySelector('[data-total=accepted]').textContent > n", arg=before)
    page.goto(cluster.url(NAMES[0], "/console/events"))
    page.get_by_label("Reason to end hold all").fill("go on")
    page.get_by_role("button", name="End hold all").click()
    page.locator(".notice.good").first.wait_for()
    until(lambda: state(ids[1]) == "delivered", 60)
    assert walker.faults == []


@pytest.mark.long
@pytest.mark.timeout(900)
def test_a_killed_node_is_shown_as_silent_and_the_rest_stays_in_sight(scene, browser):
    cluster, _, home = scene
    walker = Walker(browser)
    walker.sign_in(cluster.url(NAMES[0]), "viewer")
    cluster.nodes[NAMES[2]].kill()
    card = walker.page.locator(f"[data-node={NAMES[2]}]")
    card.get_by_text("Does not answer").wait_for()
    assert walker.page.locator(f"[data-node={NAMES[0]}] .mark", has_text="ready").count()
    walker.page.screenshot(path=home / "killed.png", full_page=True)
    walker.page.goto(cluster.url(NAMES[0], "/console/queue"))
    walker.see("Not all nodes answered")
