"""The console in a real browser, against three real nodes: every page, every action, live numbers, no fault of axe's."""

import pytest

from tests.acceptance.test_queues_everywhere import hand_in
from tests.support.console_scene import NAMES, Walker, chromium, consoles
from tests.support.world import until


@pytest.mark.timeout(300)
def test_thin(tmp_path):
    with consoles(tmp_path) as (cluster, cloud), chromium() as browser:
        asked = NAMES[0]
        cluster.nodes[asked].post("/v1/wishes", kind="hold", what="all", reason="all mail waits")
        queue_id = hand_in(cluster, NAMES[1], "bob@example.com")
        walker = Walker(browser)
        walker.sign_in(cluster.url(asked), "operator")
        walker.page.screenshot(path=tmp_path / "overview.png", full_page=True)
        walker.page.goto(cluster.url(asked, "/console/queue"))
        walker.page.locator(f"input[value='{queue_id}']").check()
        walker.page.get_by_label("Reason", exact=True).last.fill("looked at")
        walker.page.get_by_role("button", name="Hold").click()
        walker.see("1 recipients held")
        walker.page.screenshot(path=tmp_path / "queue.png", full_page=True)
        print(walker.faults, walker.asked)
        assert not walker.faults
