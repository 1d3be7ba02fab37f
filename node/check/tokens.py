"""Checks of the app: does it get tokens, for whom, with what rights, and until when do its proofs hold."""

from datetime import UTC, datetime
from typing import Final

from node.check.claims import BROAD, SMTP_ROLE, Claims, audience_fits, broad, claims_of
from node.check.contract import Finding, Grade, Scene
from node.errors import RelayError
from node.settings.clouds import cloud_of
from node.settings.ways import graph_flow

SOON_DAYS: Final = 30


async def tokens(scene: Scene, seen: dict[str, Claims | None]) -> list[Finding]:
    """Ask for a token of each kind that is needed; ``seen`` gets the claims by flow."""
    tenant = scene.settings.tenants[scene.tenant]
    if tenant.app is None:
        return []
    cloud, found = cloud_of(tenant), [*_secrets(scene)]
    scopes = {scene.tenant: cloud.scope, graph_flow(scene.tenant): cloud.graph_scope}
    needed = {way.flow for way in scene.ways if way.flow}
    if tenant.ndrs is not None:
        needed.add(graph_flow(scene.tenant))
    for flow in sorted(needed):
        found += await _one(scene, flow, scopes.get(flow, ""), seen)
    return found


async def _one(scene: Scene, flow: str, scope: str, seen: dict[str, Claims | None]) -> list[Finding]:
    subject = "app for Graph" if flow == graph_flow(scene.tenant) else "app for Exchange"
    try:
        token = await scene.prober.token(flow)
    except RelayError as error:
        return [scene.finding(subject, "get a token", Grade.BAD, str(error))]
    claims = seen[flow] = claims_of(token.value)
    if claims is None:
        return [
            scene.finding(subject, "get a token", Grade.GOOD),
            scene.finding(subject, "read its claims", Grade.NOTE),
        ]
    found = [scene.finding(subject, "get a token", Grade.GOOD, f"for {claims.audience}")]
    if scope and not audience_fits(claims, scope):
        text = f"the token is for {claims.audience}, the scope asked for {scope}"
        found.append(scene.finding(subject, "audience", Grade.BAD, text, advice="look at the cloud's scopes"))
    return [*found, *_rights(scene, subject, claims)]


def _rights(scene: Scene, subject: str, claims: Claims) -> list[Finding]:
    """A role that reaches the whole tenant defeats the group it was to be held to (operations M12)."""
    advice = "take the permission away in Entra (API permissions), and assign the role in Exchange on a group"
    found = [
        scene.finding(subject, "rights", Grade.BAD, f"{role}: the app may {BROAD[role]}", advice=advice)
        for role in broad(claims)
    ]
    if SMTP_ROLE in claims.roles:
        text = f"{SMTP_ROLE} is granted in Entra: works mailbox by mailbox, and switches the scoped role off"
        found.append(scene.finding(subject, "rights", Grade.DOUBT, text, advice=advice))
    return found or [scene.finding(subject, "rights", Grade.GOOD, "none in Entra")]


def _secrets(scene: Scene) -> list[Finding]:
    app = scene.settings.tenants[scene.tenant].app
    found = []
    for name in ("secret_until", "next_secret_until"):
        day = getattr(app, name, None)
        if day is None:
            continue
        left = (
            datetime(day.year, day.month, day.day, tzinfo=UTC) - datetime.fromtimestamp(scene.now_ms / 1000, UTC)
        ).days
        grade = Grade.BAD if left < 0 else Grade.DOUBT if left < SOON_DAYS else Grade.GOOD
        found.append(scene.finding("app", name.replace("_", " "), grade, f"{left} days left" if left >= 0 else "over"))
    return found
