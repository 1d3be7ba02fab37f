"""Steps for the app: registered without any permission, and given its roles in Exchange on one group of mailboxes.

RBAC for Applications (facts m365 §3.4 way 2, operations M12): a consent in Entra would reach every mailbox of the
tenant and would defeat the scope, since the two add up.
"""

from node.settings.app import App
from node.setup.needs import Needs
from node.setup.section import Section, Where, listed, quoted

GROUP = "m365-relay-mailboxes"
SCOPE = "m365-relay"
OBJECT_ID = "<OBJECT ID OF THE ENTERPRISE APPLICATION>"
_PROOF = {
    "secret": "Certificates & secrets > Client secrets > New: 24 months at most; put the value into {place} and note "
    "its last day as app.secret_until.",
    "certificate": "Certificates & secrets > Certificates > Upload: the certificate of {place} (RSA; the private key "
    "stays here).",
    "federation": "Certificates & secrets > Federated credentials > Add: issuer, subject and audience of the token in "
    "{place}.",
    "managed_identity": "No secret: the machine's own identity signs in. Use its enterprise application below.",
}


def application(needs: Needs) -> list[Section]:
    """Give the steps; none where no app is needed."""
    app = needs.tenant.app
    if app is None or not needs.roles:
        return []
    trace = [_TRACE] if needs.tenant.message_trace else []
    return [_registration(app), _principal(app), _group(needs), _roles(needs, app), *trace]


_TRACE = Section(
    title="Let the application read the message trace",
    where=Where.ENTRA,
    why="The one consent there is: the trace cannot be scoped. It shows who wrote to whom in the whole tenant, no "
    "contents; leave message_trace out where that is too much.",
    steps=(
        "API permissions > Add > Microsoft Graph > Application permissions > ExchangeMessageTrace.Read.All.",
        "Grant consent for it alone.",
    ),
)


def _registration(app: App) -> Section:
    proofs = [_PROOF[kind].format(place=_place(app, kind)) for kind in app.proofs]
    return Section(
        title="Register the application",
        where=Where.ENTRA,
        why="The relay signs in as an application, never as a person. It gets no permission here at all: a consent "
        "would be good for every mailbox of the tenant.",
        steps=(
            (
                f"App registrations > New registration (or the existing one with client id {app.client_id}): this "
                "directory only, no redirect URI."
            ),
            "API permissions: remove User.Read and everything else. Nothing is consented to.",
            *proofs,
            (
                "Enterprise applications > the same name > Overview: note the Object ID. It is another one than on the "
                "registration's page, and taking that one is the classic mistake."
            ),
        ),
    )


def _principal(app: App) -> Section:
    return Section(
        title="Make the application known to Exchange",
        where=Where.EXCHANGE,
        why="Exchange gives roles to its own record of the application.",
        commands=(
            (
                f"New-ServicePrincipal -AppId {quoted(app.client_id)} -ObjectId {quoted(OBJECT_ID)} "
                "-DisplayName 'm365-relay'"
            ),
        ),
    )


def _group(needs: Needs) -> Section:
    return Section(
        title="Put the relay's mailboxes into one group",
        where=Where.EXCHANGE,
        why="The group is the whole of what the application may touch; adding an account later is adding it here. "
        "Members of nested groups do not count.",
        commands=(
            (
                f"New-DistributionGroup -Name {quoted(GROUP)} -Type Security -MemberJoinRestriction Closed "
                f"-Members {listed(needs.mailboxes)}"
            ),
            f'$group = (Get-DistributionGroup {quoted(GROUP)}).DistinguishedName.Replace("\'", "\'\'")',
            f"New-ManagementScope -Name {quoted(SCOPE)} -RecipientRestrictionFilter \"MemberOfGroup -eq '$group'\"",
        ),
    )


def _roles(needs: Needs, app: App) -> Section:
    return Section(
        title="Give the roles, on that group only",
        where=Where.EXCHANGE,
        why="Each role ends at the group. It takes 15 to 60 minutes until they hold; meanwhile a login may work and "
        "sending end in 430 4.2.0.",
        commands=(
            *(
                f"New-ManagementRoleAssignment -Role {quoted(role)} -App {quoted(app.client_id)} "
                f"-CustomResourceScope {quoted(SCOPE)}"
                for role in needs.roles
            ),
            "",
            "# the first must say InScope True, any other mailbox False:",
            f"Test-ServicePrincipalAuthorization {quoted(app.client_id)} -Resource {quoted(needs.mailboxes[0])}",
        ),
    )


def _place(app: App, kind: str) -> str:
    ref = getattr(app, kind)
    for key in ("file", "credential", "env"):
        found = getattr(ref, key, None)
        if found:
            return f"{key} {found}"
    return "the place configured"
