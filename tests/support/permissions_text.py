"""docs/PERMISSIONS.md, written from the same rows that test_permissions_matrix.py checks against the server."""

from support.matrix_text import table
from support.permissions import IAM, KMS, KMS_NOT_BUILT, NOTHING, STS, TOKEN

HEAD = """# Who may do what

Printed by `tests/test_permissions_matrix.py`, which tries every row as a user who is allowed just that, as one who is
allowed all but that, as one who is denied it, and from another account. Do not edit:
`CLAVIGER_TEST_WRITE_MATRIX=1 ./test tests/test_permissions_matrix.py` writes it anew. The expectations are
`tests/support/permissions.py`.

| Another account | |
| --- | --- |
| both sides | may be let in by the key's or role's policy, and then needs an identity policy of its own too |
| never | is refused, whatever policies say |
| own account | has an operation of its own: names mean its own things, and it sees nothing of others |

Allowed: with an identity policy that allows the action on the resource (and a key policy that leaves it to the account,
as the default one does). Refused: `AccessDeniedException` of KMS, `AccessDenied` of IAM and STS, with AWS's sentence.
"""


def text():
    sections = [("KMS", KMS), ("IAM", IAM), ("STS", STS)]
    return HEAD + "".join(_section(name, rows) for name, rows in sections) + _rest()


def _section(name, rows):
    head = ["Operation", "Action", "Resource", "Another account"]
    lines = [[row.operation, _action(row), row.resource, row.across] for row in rows]
    return f"\n## {name}\n\n{table(head, lines)}"


def _action(row):
    if row.action == TOKEN:
        return "`sts:AssumeRoleWithWebIdentity`, by the role's trust policy alone, for the bearer of a token"
    return "no policy governs it" if row.action == NOTHING else ", ".join(f"`{action}`" for action in row.actions)


def _rest():
    lines = "".join(f"- {name}\n" for name in KMS_NOT_BUILT)
    refused = "Refused for everybody. So is every operation of IAM and STS that is not above."
    return f"\n## Not built yet\n\n{refused}\n\n{lines}"
