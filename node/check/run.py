"""All checks of one tenant, one after the other: what is tested uses up Microsoft's limits, so nothing is hurried.

A further path adds a checker to this list, and the words of its refusals to ``causes``.
"""

from node.check.accounts import accounts
from node.check.arrival import arrival
from node.check.claims import Claims
from node.check.coming_back import coming_back
from node.check.contract import Finding, Grade, Scene
from node.check.pathways import pathways
from node.check.tokens import tokens
from node.policy.classify import Classifier


async def check(scene: Scene, classifier: Classifier) -> list[Finding]:
    """Run them; raises nothing for what the other side does."""
    seen: dict[str, Claims | None] = {}
    found = await tokens(scene, seen)
    if not scene.ways:
        text = "no route names a path this tenant has"
        found.append(
            scene.finding("routes", "ways", Grade.BAD, text, advice="look at routes and at the tenant's parts")
        )
    found += await accounts(scene, seen, classifier)
    found += await pathways(scene, classifier)
    found += await arrival(scene)
    return [*found, *await coming_back(scene)]
