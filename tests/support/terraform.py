"""The calls that Terraform's AWS provider makes for each kind of resource, its waits and comparisons, by boto3.

From internal/service/kms of hashicorp/terraform-provider-aws: which calls, in which order, with which arguments, and
which errors count as gone. Where the provider waits for a change to spread and to stay, it must be there at once and
stay here."""

import base64
import datetime
import json

import botocore.exceptions

from support import imports

LOOKS = 3


def normalized(document):
    """JSON as the provider sends it: members in order, no white space."""
    return json.dumps(json.loads(document), sort_keys=True, separators=(",", ":"))


def default_policy(number):
    """What the provider puts back when a policy resource is destroyed."""
    statement = {
        "Sid": "Enable IAM User Permissions",
        "Effect": "Allow",
        "Principal": {"AWS": f"arn:aws:iam::{number}:root"},
        "Action": "kms:*",
        "Resource": "*",
    }
    return normalized(json.dumps({"Id": "default", "Version": "2012-10-17", "Statement": [statement]}))


def propagated(look):
    """The provider looks several times and wants the same each time."""
    assert all(look() for _ in range(LOOKS))


def gone(call, **arguments):
    """Whether the call says that there is no such thing; any other error is one."""
    try:
        call(**arguments)
    except botocore.exceptions.ClientError as error:
        if error.response["Error"]["Code"] != "NotFoundException":
            raise
        return True
    return False


class Key:
    """aws_kms_key. `wanted` holds its arguments by their names in a configuration."""

    origin = "AWS_KMS"
    role = "PRIMARY"
    on = "is_enabled"

    def __init__(self, account, **wanted):
        self.account, self.kms, self.wanted, self.id = account, account.kms, wanted, None

    # Create

    def create(self):
        wanted = self.wanted
        asked = {
            "BypassPolicyLockoutSafetyCheck": wanted.get("bypass_policy_lockout_safety_check", False),
            **self.kind(),
        }
        if "multi_region" in wanted:
            asked["MultiRegion"] = wanted["multi_region"]
        self.id = self.kms.create_key(**asked, **self.told())["KeyMetadata"]["KeyId"]
        self.finish()

    def kind(self):
        return {
            "CustomerMasterKeySpec": self.wanted.get("customer_master_key_spec", "SYMMETRIC_DEFAULT"),
            "KeyUsage": self.wanted.get("key_usage", "ENCRYPT_DECRYPT"),
        }

    def told(self):
        """The arguments that go into CreateKey and ReplicateKey alike."""
        asked = {}
        if self.wanted.get("description"):
            asked["Description"] = self.wanted["description"]
        if "policy" in self.wanted:
            asked["Policy"] = normalized(self.wanted["policy"])
        if self.wanted.get("tags"):
            asked["Tags"] = [{"TagKey": key, "TagValue": value} for key, value in self.wanted["tags"].items()]
        return asked

    def finish(self):
        wanted = self.wanted
        if wanted.get("enable_key_rotation"):
            self.rotate(True, wanted.get("rotation_period_in_days", 0))
        if not wanted.get(self.on, True):
            self.switch(False)
        if "policy" in wanted:
            propagated(lambda: self.policy() == normalized(wanted["policy"]))
        if wanted.get("tags"):
            propagated(lambda: self.tags() == wanted["tags"])

    # Read

    def find(self):
        """The metadata; None for a key that is gone or on its way."""
        try:
            found = self.kms.describe_key(KeyId=self.id)["KeyMetadata"]
        except self.kms.exceptions.NotFoundException:
            return None
        return None if found["KeyState"] in ("PendingDeletion", "PendingReplicaDeletion") else found

    def policy(self):
        return normalized(self.kms.get_key_policy(KeyId=self.id, PolicyName="default")["Policy"])

    def tags(self):
        pages = self.kms.get_paginator("list_resource_tags").paginate(KeyId=self.id)
        return {tag["TagKey"]: tag["TagValue"] for page in pages for tag in page["Tags"]}

    def rotation(self):
        status = self.kms.get_key_rotation_status(KeyId=self.id)
        return status["KeyRotationEnabled"], status.get("RotationPeriodInDays")

    def read(self):
        """Everything that the provider keeps of the resource; None when it is to leave the state."""
        found = self.find()
        if found is None:
            return None
        policy = self.policy()
        assert found["KeyManager"] == "CUSTOMER" and found["Origin"] == self.origin
        if found["MultiRegion"]:
            assert found["MultiRegionConfiguration"]["MultiRegionKeyType"] == self.role
        state = self.shown(found)
        if self.origin == "AWS_KMS":
            state["enable_key_rotation"], state["rotation_period_in_days"] = self.rotation()
        return {**state, "policy": policy, "tags": self.tags()}

    def shown(self, found):
        return {
            "arn": found["Arn"],
            "customer_master_key_spec": found["CustomerMasterKeySpec"],
            "description": found.get("Description", ""),
            self.on: found["Enabled"],
            "key_id": found["KeyId"],
            "key_usage": found["KeyUsage"],
            "multi_region": found["MultiRegion"],
        }

    # Update

    def update(self, **changes):
        before = self.wanted
        self.wanted = after = {**before, **changes}
        if self.on in changes and changes[self.on]:
            self.switch(True)
        rotates = after.get("enable_key_rotation", False)
        if "enable_key_rotation" in changes or (rotates and "rotation_period_in_days" in changes):
            self.rotate(rotates, after.get("rotation_period_in_days", 0))
        if "description" in changes:
            self.kms.update_key_description(KeyId=self.id, Description=changes["description"])
            propagated(lambda: self.find()["Description"] == changes["description"])
        if "policy" in changes:
            put_policy(self.kms, self.id, changes["policy"])
            propagated(lambda: self.policy() == normalized(changes["policy"]))
        self.import_again(changes)
        if self.on in changes and not changes[self.on]:
            self.switch(False)
        if "tags" in changes:
            self.update_tags(before.get("tags", {}), changes["tags"])

    def import_again(self, changes):
        pass

    def switch(self, on):
        (self.kms.enable_key if on else self.kms.disable_key)(KeyId=self.id)
        propagated(lambda: self.find()["Enabled"] == on)

    def rotate(self, on, days):
        if on:
            self.kms.enable_key_rotation(KeyId=self.id, **({"RotationPeriodInDays": days} if days else {}))
        else:
            self.kms.disable_key_rotation(KeyId=self.id)
        propagated(lambda: self.rotation()[0] == on and (not (on and days) or self.rotation()[1] == days))

    def update_tags(self, old, new):
        removed = [key for key in old if key not in new]
        if removed:
            self.kms.untag_resource(KeyId=self.id, TagKeys=removed)
        updated = [{"TagKey": key, "TagValue": value} for key, value in new.items() if old.get(key) != value]
        if updated:
            self.kms.tag_resource(KeyId=self.id, Tags=updated)
        propagated(lambda: self.tags() == new)

    # Delete

    def delete(self):
        """Answers what ScheduleKeyDeletion said; None for a key that was gone or going already."""
        days = self.wanted.get("deletion_window_in_days")
        try:
            told = self.kms.schedule_key_deletion(KeyId=self.id, **({"PendingWindowInDays": days} if days else {}))
        except botocore.exceptions.ClientError as error:
            code, text = error.response["Error"]["Code"], error.response["Error"]["Message"]
            if code == "NotFoundException" or (code == "KMSInvalidStateException" and "is pending deletion" in text):
                return None
            raise
        propagated(lambda: self.find() is None)
        return told


def put_policy(kms, key_id, document):
    arguments = {"BypassPolicyLockoutSafetyCheck": False, "PolicyName": "default"}
    kms.put_key_policy(KeyId=key_id, Policy=normalized(document), **arguments)


class ReplicaKey(Key):
    """aws_kms_replica_key: made by a call in the primary's Region, everything else in its own."""

    role = "REPLICA"
    on = "enabled"
    created = "Enabled"

    def create(self):
        parts = self.wanted["primary_key_arn"].split(":")
        told = self.account.in_region(parts[3]).kms.replicate_key(
            KeyId=parts[5].removeprefix("key/"), ReplicaRegion=self.account.region, **self.told()
        )
        assert told["ReplicaKeyMetadata"]["KeyState"] == "Creating"
        self.id = told["ReplicaKeyMetadata"]["KeyId"]
        assert self.find()["KeyState"] == self.created
        self.finish()

    def shown(self, found):
        return {
            "arn": found["Arn"],
            "description": found.get("Description", ""),
            "enabled": found["Enabled"],
            "key_id": found["KeyId"],
            "key_spec": found["KeySpec"],
            "key_usage": found["KeyUsage"],
            "primary_key_arn": found["MultiRegionConfiguration"]["PrimaryKey"]["Arn"],
        }


class Material:
    """What the two resources with imported material have alike."""

    origin = "EXTERNAL"
    on = "enabled"

    def kind(self):
        return {"KeyUsage": "ENCRYPT_DECRYPT", "Origin": "EXTERNAL"}

    def finish(self):
        wanted, enabled = self.wanted, self.wanted.get("enabled", True)
        if "key_material_base64" in wanted:
            self.bring()
        # Without material, the provider leaves the switch alone.
        self.wanted = {**wanted, "enabled": True if "key_material_base64" not in wanted else enabled}
        super().finish()
        self.wanted = wanted

    def bring(self):
        ends = self.wanted.get("valid_to")
        expiry = {"ExpirationModel": "KEY_MATERIAL_EXPIRES", "ValidTo": ends} if ends else {}
        imports.bring(self.kms, self.id, base64.b64decode(self.wanted["key_material_base64"]), **expiry)
        assert self.find()["KeyState"] in ("Disabled", "Enabled")
        propagated(lambda: self.shown(self.find())["valid_to"] == (ends or None))

    def import_again(self, changes):
        if "valid_to" in changes:
            self.bring()

    def shown(self, found):
        more = {
            "expiration_model": found.get("ExpirationModel"),
            "key_state": found["KeyState"],
            "valid_to": moment(found["ValidTo"]) if "ValidTo" in found else None,
        }
        return {**super().shown(found), **more}


def moment(time):
    return time.astimezone(datetime.UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


class ExternalKey(Material, Key):
    """aws_kms_external_key."""


class ReplicaExternalKey(Material, ReplicaKey):
    """aws_kms_replica_external_key."""

    created = "PendingImport"


class KeyPolicy:
    """aws_kms_key_policy: a policy of its own for a key that is there."""

    def __init__(self, account, **wanted):
        self.account, self.kms, self.wanted = account, account.kms, wanted
        self.key = Key(account)
        self.key.id = wanted["key_id"]

    def create(self):
        self.update(policy=self.wanted["policy"])

    def read(self):
        state = self.key.read()
        return state and {"key_id": state["key_id"], "policy": state["policy"]}

    def update(self, policy):
        self.wanted = {**self.wanted, "policy": policy}
        put_policy(self.kms, self.key.id, policy)
        propagated(lambda: self.key.policy() == normalized(policy))

    def delete(self):
        put_policy(self.kms, self.key.id, default_policy(self.account.number))


class Alias:
    """aws_kms_alias: found among all aliases of the account."""

    def __init__(self, account, **wanted):
        self.account, self.kms, self.wanted = account, account.kms, wanted

    def create(self):
        self.kms.create_alias(AliasName=self.wanted["name"], TargetKeyId=self.wanted["target_key_id"])

    def read(self):
        pages = self.kms.get_paginator("list_aliases").paginate()
        found = [one for page in pages for one in page["Aliases"] if one["AliasName"] == self.wanted["name"]]
        if not found:
            return None
        (alias,) = found
        return {"arn": alias["AliasArn"], "name": alias["AliasName"], "target_key_id": alias["TargetKeyId"]}

    def update(self, target_key_id):
        self.wanted = {**self.wanted, "target_key_id": target_key_id}
        self.kms.update_alias(AliasName=self.wanted["name"], TargetKeyId=target_key_id)

    def delete(self):
        """Whether it was there."""
        return not gone(self.kms.delete_alias, AliasName=self.wanted["name"])


class Grant:
    """aws_kms_grant: found among all grants of the key; every change makes another."""

    def __init__(self, account, **wanted):
        self.account, self.kms, self.wanted, self.id = account, account.kms, wanted, None

    def create(self):
        wanted = self.wanted
        names = {
            "key_id": "KeyId",
            "grantee_principal": "GranteePrincipal",
            "operations": "Operations",
            "constraints": "Constraints",
            "name": "Name",
            "retiring_principal": "RetiringPrincipal",
        }
        told = self.kms.create_grant(**{names[name]: wanted[name] for name in names if name in wanted})
        self.id = told["GrantId"]
        assert told["GrantToken"]

    def find(self):
        pages = self.kms.get_paginator("list_grants").paginate(
            KeyId=self.wanted["key_id"], PaginationConfig={"PageSize": 100}
        )
        try:
            found = [one for page in pages for one in page["Grants"] if one["GrantId"] == self.id]
        except self.kms.exceptions.NotFoundException:
            return None
        assert len(found) <= 1
        return found[0] if found else None

    def read(self):
        grant = self.find()
        if grant is None:
            return None
        principals = [grant[name] for name in ("GranteePrincipal", "RetiringPrincipal") if name in grant]
        assert all(principal.startswith("arn:") for principal in principals)
        return {
            "grant_id": grant["GrantId"],
            "key_id": self.wanted["key_id"],
            "grantee_principal": grant["GranteePrincipal"],
            "operations": sorted(grant["Operations"]),
            **({"constraints": grant["Constraints"]} if "Constraints" in grant else {}),
            **({"name": grant["Name"]} if grant.get("Name") else {}),
            **({"retiring_principal": grant["RetiringPrincipal"]} if "RetiringPrincipal" in grant else {}),
        }

    def delete(self):
        """Whether it was there."""
        retire = self.wanted.get("retire_on_delete", False)
        call = self.kms.retire_grant if retire else self.kms.revoke_grant
        was_there = not gone(call, GrantId=self.id, KeyId=self.wanted["key_id"])
        propagated(lambda: self.find() is None)
        return was_there
