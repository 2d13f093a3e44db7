"""A server that checks credentials, with two accounts, whose users a test makes as it needs them."""

import base64
import contextlib
import hashlib
import hmac
import json
import struct
import time

from support import server as servers
from support.aws import Account
from support.identities import unique

OWN, OTHER = "111122223333", "444455556666"
ACCESS_KEYS = {OWN: "AKIAROOTROOTROOTROOT", OTHER: "AKIAOTHEROTHEROTHER0"}


@contextlib.contextmanager
def world(data=None):
    roots = [f"{number}={key}:secret" for number, key in ACCESS_KEYS.items()]
    with servers.dev(data, "--enforce", "--root", roots[0], "--root", roots[1]) as server:
        yield World(server)


class World:
    """The account whose things the calls are about, by its root; and another one."""

    def __init__(self, server):
        self.server = server
        self.number, self.other_number = OWN, OTHER
        self.root_arn, self.other_root = f"arn:aws:iam::{OWN}:root", f"arn:aws:iam::{OTHER}:root"
        self.root, self.other = (
            Account(server, number, account=ACCESS_KEYS[number], secret="secret") for number in (OWN, OTHER)
        )
        self.kms, self.iam = self.root.kms, self.root.service("iam", region="us-east-1")
        self.sts = self.root.service("sts")

    def key(self, spec="SYMMETRIC_DEFAULT", usage="ENCRYPT_DECRYPT"):
        return self.kms.create_key(KeySpec=spec, KeyUsage=usage)["KeyMetadata"]["Arn"]

    def alias_arn(self, alias):
        return f"arn:aws:kms:{self.root.region}:{OWN}:{alias}"

    def user(self, *statements, of=None):
        """A new user with this policy; answers its account as it sees it."""
        owner = of or self.root
        iam, name = owner.service("iam", region="us-east-1"), unique("caller")
        iam.create_user(UserName=name)
        if statements:
            iam.put_user_policy(UserName=name, PolicyName="only", PolicyDocument=policy(*statements))
        key = iam.create_access_key(UserName=name)["AccessKey"]
        credentials = {"account": key["AccessKeyId"], "secret": key["SecretAccessKey"]}
        caller = Account(self.server, owner.number, owner.region, **credentials)
        caller.arn = f"arn:aws:iam::{owner.number}:user/{name}"
        return caller


def policy(*statements):
    return json.dumps({"Version": "2012-10-17", "Statement": list(statements)})


def allow(actions, resources="*", **more):
    return {"Effect": "Allow", "Action": actions, "Resource": resources, **more}


ALL = {"Effect": "Allow", "Action": "*", "Resource": "*"}


def code(seed, ahead=0):
    """The one-time code of a virtual device (RFC 6238), so many windows ahead."""
    window = struct.pack(">q", int(time.time()) // 30 + ahead)
    digest = hmac.new(base64.b32decode(seed), window, hashlib.sha1).digest()
    number = struct.unpack(">I", digest[digest[-1] & 15 :][:4])[0] & 0x7FFFFFFF
    return f"{number % 1_000_000:06}"
