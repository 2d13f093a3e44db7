"""An account on a server as its user sees it, and how its errors are checked."""

import contextlib
import functools
import uuid

import botocore.exceptions
import pytest

from support.server import REGION

ABSENT_ID = "0f3a8f4c-7a1b-4b8e-9d55-2f6f8d1c9e11"


class Account:
    """One account in one Region: its boto3 client and the names of its things."""

    def __init__(self, server, number, region=REGION, **credentials):
        self.server = server
        self.number = number
        self.region = region
        self.credentials = credentials

    @functools.cached_property
    def kms(self):
        return self.service("kms")

    def service(self, name, **options):
        chosen = {"account": self.number, "region": self.region, **self.credentials, **options}
        return self.server.client(name, **chosen)

    def in_region(self, region):
        return Account(self.server, self.number, region, **self.credentials)

    def signed(self, operation, body, **options):
        """A signed request that no SDK would send; see `Server.signed`."""
        chosen = {"account": self.number, "region": self.region, **self.credentials, **options}
        return self.server.signed(operation, body, **chosen)

    @property
    def root(self):
        return f"arn:aws:iam::{self.number}:root"

    def key_arn(self, key_id):
        return f"arn:aws:kms:{self.region}:{self.number}:key/{key_id}"

    def alias_arn(self, alias):
        return f"arn:aws:kms:{self.region}:{self.number}:{alias}"

    def create_key(self, **options):
        """A new key; answers its metadata."""
        return self.kms.create_key(**options)["KeyMetadata"]

    def metadata(self, key_id):
        return self.kms.describe_key(KeyId=key_id)["KeyMetadata"]

    def every_identifier(self, key_id):
        """The four forms in which AWS accepts a key, through a new alias."""
        alias = f"alias/{uuid.uuid4()}"
        self.kms.create_alias(AliasName=alias, TargetKeyId=key_id)
        return [key_id, self.key_arn(key_id), alias, self.alias_arn(alias)]


@contextlib.contextmanager
def refused(code, message=None, status=400):
    """The block must end in this AWS error; `message` None means AWS sends an empty one or its text is not known."""
    with pytest.raises(botocore.exceptions.ClientError) as caught:
        yield caught
    response = caught.value.response
    assert response["Error"]["Code"] == code, response
    assert response["ResponseMetadata"]["HTTPStatusCode"] == status, response
    if message is not None:
        assert response["Error"]["Message"] == message


def violation(value, path, rule):
    """AWS's text for one constraint violation; `value` None leaves it out, as for blobs."""
    shown = "Value" if value is None else f"Value '{value}'"
    return f"1 validation error detected: {shown} at '{path}' failed to satisfy constraint: {rule}"


def must_not_be_null(path):
    return f"1 validation error detected: Value null at '{path}' failed to satisfy constraint: Member must not be null"


def pages(call, items, **arguments):
    """Every page of a Limit/Marker listing, each page's items as one list."""
    found = []
    while True:
        page = call(**arguments)
        found.append(page[items])
        if not page["Truncated"]:
            assert "NextMarker" not in page
            return found
        arguments["Marker"] = page["NextMarker"]


DEFAULT_POLICY = """{
  "Version" : "2012-10-17",
  "Id" : "key-default-1",
  "Statement" : [ {
    "Sid" : "Enable IAM User Permissions",
    "Effect" : "Allow",
    "Principal" : {
      "AWS" : "%s"
    },
    "Action" : "kms:*",
    "Resource" : "*"
  } ]
}"""
