"""Alarms reach a webhook while mail does not flow, and are over when it does again."""

import json
import threading
from contextlib import contextmanager
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from tests.support.simulated import Simulated, directory
from tests.support.world import hand_in, relay, until, wait_state, wide


class Hook:
    """What was posted; ``status`` is what posts are answered with."""

    def __init__(self):
        self.posts: list[tuple[datetime, dict, list[dict]]] = []
        self.status = 200

    def names(self) -> set[str]:
        return {one["labels"]["alertname"] for _, _, alerts in list(self.posts) for one in alerts}


@contextmanager
def hook():
    found = Hook()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self):
            alerts = json.loads(self.rfile.read(int(self.headers["content-length"])))
            if found.status == 200:
                found.posts.append((datetime.now(UTC), dict(self.headers), alerts))
            self.send_response(found.status)
            self.end_headers()

        def log_message(self, *_):
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        try:
            yield found, f"http://127.0.0.1:{server.server_address[1]}/api/v2/alerts"
        finally:
            server.shutdown()


def test_a_refused_secret_is_posted_repeated_and_over_once_mended(tmp_path):
    with hook() as (posted, url), Simulated(tmp_path / "sim", directory(["relay1"])) as cloud:
        posted.status = 500
        (tmp_path / "token").write_text("Authorization=Bearer s3cret\n")
        told = {
            "webhook": url, "headers": {"file": str(tmp_path / "token")}, "nothing_delivered": "3s", "rests": "0s",
            "repeat": "5s",
        }  # fmt: skip
        node = relay(cloud, tmp_path / "node", wide("relay1"), alarms=told)
        secret = tmp_path / "node" / "secret"
        right = secret.read_text()
        secret.write_text("expired long ago")
        with node:
            queue_id = hand_in(node.port(), "app@contoso.com", "someone@example.com")
            until(lambda: "alarms.webhook: it answers 500" in node.log.read_text(), 40)
            posted.status = 200
            wanted = {"RelayNothingDelivered", "RelayPathRests", "RelayCredential"}
            until(lambda: wanted <= posted.names(), 40)
            _, headers, alerts = posted.posts[0]
            assert headers["authorization"] == "Bearer s3cret"
            assert {one["labels"]["node"] for one in alerts} == {node.status()["node"]}
            assert all(one["startsAt"] < one["endsAt"] for one in alerts)
            assert all("annotations" in one and one["annotations"]["summary"] for one in alerts)
            assert "s3cret" not in node.log.read_text()
            assert node.log.read_text().count("mail waits and none was delivered") == 1, (
                "logged once, however often posted"
            )
            count = len(posted.posts)
            until(lambda: len(posted.posts) > count, 20)

            secret.write_text(right)
            node.ctl("account", "resume", "path/contoso/submission", "--reason", "new secret")
            wait_state(node, queue_id, "delivered", 60)
            until(lambda: over(posted) >= wanted, 30)


def over(posted: Hook) -> set[str]:
    """Those whose last post said that they had ended by then."""
    last = {one["labels"]["about"]: (one, came) for came, _, alerts in list(posted.posts) for one in alerts}
    return {one["labels"]["alertname"] for one, came in last.values() if datetime.fromisoformat(one["endsAt"]) <= came}
