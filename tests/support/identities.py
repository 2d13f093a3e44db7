"""What the tests of IAM share: policies, names, and pages in IAM's manner."""

import itertools
import json

ALLOW_KMS = json.dumps(
    {"Version": "2012-10-17", "Statement": [{"Effect": "Allow", "Action": "kms:*", "Resource": "*"}]}
)
DENY_KMS = json.dumps({"Version": "2012-10-17", "Statement": [{"Effect": "Deny", "Action": "kms:*", "Resource": "*"}]})

_numbers = itertools.count()


def unique(start):
    """A name that no other test uses."""
    return f"{start}-{next(_numbers)}"


def trust(principal, action="sts:AssumeRole"):
    """A trust policy as a client writes it."""
    statement = {"Effect": "Allow", "Principal": principal, "Action": action}
    return json.dumps({"Version": "2012-10-17", "Statement": [statement]})


def everything(call, items, **arguments):
    """All items of a Marker/MaxItems listing, asking for pages of two; each page says whether more follows."""
    found = []
    while True:
        page = call(MaxItems=2, **arguments)
        assert len(page[items]) <= 2
        found += page[items]
        assert page["IsTruncated"] == ("Marker" in page)
        if not page["IsTruncated"]:
            return found
        arguments["Marker"] = page["Marker"]
