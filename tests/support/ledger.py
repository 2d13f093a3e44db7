"""A ledger of acknowledged writes, kept by the client, against which a restarted server is checked.

A writer works as fast as it can, alone on its own keys, so that for each thing exactly two values are possible after
a crash: the last acknowledged one, or the one whose acknowledgement was still on its way."""

import json
import random

import botocore.exceptions

PENDING = object()
LOST_CONNECTION = (
    botocore.exceptions.HTTPClientError,
    botocore.exceptions.ConnectionError,
    botocore.exceptions.BotoCoreError,
)


class Writer:
    """One client which writes and notes. `run` ends when the server is gone."""

    def __init__(self, account, seed):
        self.account = account
        self.kms = account.kms
        self.chance = random.Random(seed)
        self.keys = {}
        self.aliases = {}
        self.blobs = []
        self.acknowledged = 0
        self.in_doubt = None
        self.unexpected = None

    def run(self):
        try:
            while True:
                self._step()
        except LOST_CONNECTION:
            pass
        except Exception as error:  # reported by the test, which runs in another thread
            self.unexpected = error

    def steps(self, count):
        """A fixed number of writes, for tests which stop the server themselves."""
        for _ in range(count):
            self._step()

    def _step(self):
        steps = (
            [self._create]
            if not self.keys
            else [
                self._create,
                self._describe,
                self._describe,
                self._tag,
                self._tag,
                self._policy,
                self._alias,
                self._alias,
                self._state,
                self._encrypt,
                self._encrypt,
            ]
        )
        self.chance.choice(steps)()
        self.in_doubt = None

    def _write(self, thing, value, call):
        """Notes what is about to change, changes it, and notes that it was acknowledged."""
        self.in_doubt = (thing, value)
        answer = call()
        self.acknowledged += 1
        return answer

    def _create(self):
        text = f"key {self.chance.randrange(10**9)}"
        key = self._write(("create", None), text, lambda: self.account.create_key(Description=text))
        self.keys[key["KeyId"]] = {
            "Description": text,
            "Tags": {},
            "Sid": "Enable IAM User Permissions",
            "State": "Enabled",
        }

    def _describe(self):
        key_id, facts = self._any()
        text = "" if self.chance.random() < 0.1 else "d" * self.chance.randrange(200) + str(self.chance.random())
        self._write(
            (key_id, "Description"), text, lambda: self.kms.update_key_description(KeyId=key_id, Description=text)
        )
        facts["Description"] = text

    def _tag(self):
        key_id, facts = self._any()
        name, value = f"t{self.chance.randrange(5)}", str(self.chance.random())
        if self.chance.random() < 0.25:
            tags = {other: held for other, held in facts["Tags"].items() if other != name}
            self._write((key_id, "Tags"), tags, lambda: self.kms.untag_resource(KeyId=key_id, TagKeys=[name]))
        else:
            tags = {**facts["Tags"], name: value}
            added = [{"TagKey": name, "TagValue": value}]
            self._write((key_id, "Tags"), tags, lambda: self.kms.tag_resource(KeyId=key_id, Tags=added))
        facts["Tags"] = tags

    def _policy(self):
        key_id, facts = self._any()
        sid = f"s{self.chance.randrange(10**9)}"
        statement = {"Effect": "Allow", "Principal": {"AWS": self.account.root}, "Action": "kms:*", "Resource": "*"}
        text = json.dumps({"Version": "2012-10-17", "Statement": [{"Sid": sid, **statement}]})
        self._write((key_id, "Sid"), sid, lambda: self.kms.put_key_policy(KeyId=key_id, Policy=text))
        facts["Sid"] = sid

    def _alias(self):
        key_id, _ = self._any()
        name = f"alias/{self.account.number}/{self.chance.randrange(12)}"
        if name not in self.aliases:
            self._write((name, "Target"), key_id, lambda: self.kms.create_alias(AliasName=name, TargetKeyId=key_id))
            self.aliases[name] = key_id
        elif self.chance.random() < 0.4:
            self._write((name, "Target"), None, lambda: self.kms.delete_alias(AliasName=name))
            del self.aliases[name]
        else:
            self._write((name, "Target"), key_id, lambda: self.kms.update_alias(AliasName=name, TargetKeyId=key_id))
            self.aliases[name] = key_id

    def _state(self):
        key_id, facts = self._any()
        change, state = {
            "Enabled": (self.kms.disable_key, "Disabled"),
            "Disabled": (self.kms.enable_key, "Enabled"),
        }[facts["State"]]
        if self.chance.random() < 0.1:
            change, state = self.kms.schedule_key_deletion, "PendingDeletion"
        self._write((key_id, "State"), state, lambda: change(KeyId=key_id))
        facts["State"] = state
        if state == "PendingDeletion":
            self._write((key_id, "State"), "Disabled", lambda: self.kms.cancel_key_deletion(KeyId=key_id))
            facts["State"] = "Disabled"

    def _encrypt(self):
        key_id, facts = self._any()
        if facts["State"] != "Enabled":
            return
        context = {"n": str(self.chance.randrange(1000))}
        made = self.kms.generate_data_key(KeyId=key_id, NumberOfBytes=24, EncryptionContext=context)
        self.blobs.append((key_id, context, made["Plaintext"], made["CiphertextBlob"]))

    def _any(self):
        return self.chance.choice(list(self.keys.items()))

    def differences(self, account):
        """What the server holds otherwise than was acknowledged; the one write in doubt may be there or not."""
        found = []
        listed = self._listed(account)
        for key_id, facts in self.keys.items():
            if key_id not in listed:
                found.append(f"{key_id}: lost")
                continue
            held = self._held(account, key_id)
            for name, value in facts.items():
                if held[name] not in self._possible((key_id, name), value):
                    found.append(f"{key_id}: {name} is {held[name]!r}, acknowledged was {value!r}")
        for key_id in listed - set(self.keys):
            doubt = self.in_doubt
            if not (doubt and doubt[0] == ("create", None) and self._held(account, key_id)["Description"] == doubt[1]):
                found.append(f"{key_id}: never created")
        found += self._alias_differences(account)
        return found or self._blob_differences(account)

    def _possible(self, thing, value):
        return [value, self.in_doubt[1]] if self.in_doubt and self.in_doubt[0] == thing else [value]

    @staticmethod
    def _listed(account):
        listed = account.kms.get_paginator("list_keys").paginate(PaginationConfig={"PageSize": 1000})
        return {entry["KeyId"] for page in listed for entry in page["Keys"]}

    @staticmethod
    def _held(account, key_id):
        metadata = account.metadata(key_id)
        tags = account.kms.list_resource_tags(KeyId=key_id)["Tags"]
        policy = json.loads(account.kms.get_key_policy(KeyId=key_id)["Policy"])
        return {
            "Description": metadata["Description"],
            "State": metadata["KeyState"],
            "Tags": {tag["TagKey"]: tag["TagValue"] for tag in tags},
            "Sid": policy["Statement"][0]["Sid"],
        }

    def _alias_differences(self, account):
        pages = account.kms.get_paginator("list_aliases").paginate(PaginationConfig={"PageSize": 100})
        entries = [entry for page in pages for entry in page["Aliases"] if "TargetKeyId" in entry]
        held = {entry["AliasName"]: entry["TargetKeyId"] for entry in entries}
        return [
            f"{name}: points to {held.get(name)}, acknowledged was {self.aliases.get(name)}"
            for name in set(held) | set(self.aliases)
            if held.get(name) not in self._possible((name, "Target"), self.aliases.get(name))
        ]

    def _blob_differences(self, account):
        found = []
        for key_id, context, plaintext, blob in self.blobs:
            state = account.metadata(key_id)["KeyState"]
            if state == "PendingDeletion":
                account.kms.cancel_key_deletion(KeyId=key_id)
            if state != "Enabled":
                account.kms.enable_key(KeyId=key_id)
            opened = account.kms.decrypt(CiphertextBlob=blob, EncryptionContext=context)
            if opened["Plaintext"] != plaintext or opened["KeyId"] != account.key_arn(key_id):
                found.append(f"{key_id}: a blob opens to something else")
        return found
