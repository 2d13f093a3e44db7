"""The table of key-states.md for the operations that exist, and what becomes of a key that is deleted."""

import datetime
import json

import pytest
from support.aws import DEFAULT_POLICY, refused, violation

PLAINTEXT = b"attack at dawn"

# Cells: ok, or the AWS error. Columns: Enabled, Disabled, PendingDeletion (key-states.md, "Table").
D1 = ("DisabledException", "{arn} is disabled.")
S3 = ("KMSInvalidStateException", "{arn} is pending deletion.")
N4 = ("KMSInvalidStateException", "{arn} is not pending deletion.")
OK = None

TABLE = {
    "CancelKeyDeletion": (N4, N4, OK),
    "CreateAlias": (OK, OK, S3),
    "Decrypt": (OK, D1, S3),
    "DeleteAlias": (OK, OK, OK),
    "DescribeKey": (OK, OK, OK),
    "DisableKey": (OK, OK, S3),
    "EnableKey": (OK, OK, S3),
    "Encrypt": (OK, D1, S3),
    "GenerateDataKey": (OK, D1, S3),
    "GenerateDataKeyWithoutPlaintext": (OK, D1, S3),
    "GetKeyPolicy": (OK, OK, OK),
    "ListAliases": (OK, OK, OK),
    "ListKeyPolicies": (OK, OK, OK),
    "ListResourceTags": (OK, OK, OK),
    "PutKeyPolicy": (OK, OK, OK),
    "ReEncryptFrom": (OK, D1, S3),
    "ReEncryptTo": (OK, D1, S3),
    "ScheduleKeyDeletion": (OK, OK, S3),
    "TagResource": (OK, OK, S3),
    "UntagResource": (OK, OK, S3),
    "UpdateAliasAway": (OK, OK, OK),
    "UpdateAliasTo": (OK, OK, S3),
    "UpdateKeyDescription": (OK, OK, S3),
}


class Subject:
    """A key brought into a state, with a ciphertext and an alias of its better days, and a second, enabled key."""

    def __init__(self, account, state):
        self.kms = account.kms
        self.account = account
        self.key = account.create_key()
        self.id = self.key["KeyId"]
        self.other = account.create_key()["KeyId"]
        self.kms.create_alias(AliasName="alias/old", TargetKeyId=self.id)
        self.kms.create_alias(AliasName="alias/other", TargetKeyId=self.other)
        self.blob = self.kms.encrypt(KeyId=self.id, Plaintext=PLAINTEXT)["CiphertextBlob"]
        self.other_blob = self.kms.encrypt(KeyId=self.other, Plaintext=PLAINTEXT)["CiphertextBlob"]
        if state == "Disabled":
            self.kms.disable_key(KeyId=self.id)
        if state == "PendingDeletion":
            self.kms.schedule_key_deletion(KeyId=self.id)
        assert account.metadata(self.id)["KeyState"] == state

    def perform(self, operation):
        kms, key = self.kms, self.id
        calls = {
            "CancelKeyDeletion": lambda: kms.cancel_key_deletion(KeyId=key),
            "CreateAlias": lambda: kms.create_alias(AliasName="alias/new", TargetKeyId=key),
            "Decrypt": lambda: kms.decrypt(CiphertextBlob=self.blob),
            "DeleteAlias": lambda: kms.delete_alias(AliasName="alias/old"),
            "DescribeKey": lambda: kms.describe_key(KeyId=key),
            "DisableKey": lambda: kms.disable_key(KeyId=key),
            "EnableKey": lambda: kms.enable_key(KeyId=key),
            "Encrypt": lambda: kms.encrypt(KeyId=key, Plaintext=PLAINTEXT),
            "GenerateDataKey": lambda: kms.generate_data_key(KeyId=key, KeySpec="AES_256"),
            "GenerateDataKeyWithoutPlaintext": lambda: kms.generate_data_key_without_plaintext(
                KeyId=key, KeySpec="AES_256"
            ),
            "GetKeyPolicy": lambda: kms.get_key_policy(KeyId=key),
            "ListAliases": lambda: kms.list_aliases(KeyId=key),
            "ListKeyPolicies": lambda: kms.list_key_policies(KeyId=key),
            "ListResourceTags": lambda: kms.list_resource_tags(KeyId=key),
            "PutKeyPolicy": lambda: kms.put_key_policy(KeyId=key, Policy=DEFAULT_POLICY % self.account.root),
            "ReEncryptFrom": lambda: kms.re_encrypt(CiphertextBlob=self.blob, DestinationKeyId=self.other),
            "ReEncryptTo": lambda: kms.re_encrypt(CiphertextBlob=self.other_blob, DestinationKeyId=key),
            "ScheduleKeyDeletion": lambda: kms.schedule_key_deletion(KeyId=key),
            "TagResource": lambda: kms.tag_resource(KeyId=key, Tags=[{"TagKey": "a", "TagValue": "b"}]),
            "UntagResource": lambda: kms.untag_resource(KeyId=key, TagKeys=["a"]),
            "UpdateAliasAway": lambda: kms.update_alias(AliasName="alias/old", TargetKeyId=self.other),
            "UpdateAliasTo": lambda: kms.update_alias(AliasName="alias/other", TargetKeyId=key),
            "UpdateKeyDescription": lambda: kms.update_key_description(KeyId=key, Description="new"),
        }
        return calls[operation]()


@pytest.mark.parametrize("state", ["Enabled", "Disabled", "PendingDeletion"])
@pytest.mark.parametrize("operation", TABLE)
def test_cell(account, operation, state):
    subject = Subject(account, state)
    expected = TABLE[operation][["Enabled", "Disabled", "PendingDeletion"].index(state)]
    if expected is OK:
        subject.perform(operation)
        return
    code, text = expected
    with refused(code, text.format(arn=subject.key["Arn"])):
        subject.perform(operation)
    assert account.metadata(subject.id)["KeyState"] == state


@pytest.mark.parametrize("operation", ["Encrypt", "Decrypt", "GenerateDataKey"])
def test_an_alias_of_a_disabled_key_names_the_key_in_the_refusal(account, operation):
    subject = Subject(account, "Disabled")
    with refused("DisabledException", f"{subject.key['Arn']} is disabled."):
        if operation == "Encrypt":
            account.kms.encrypt(KeyId="alias/old", Plaintext=b"x")
        elif operation == "Decrypt":
            account.kms.decrypt(KeyId="alias/old", CiphertextBlob=subject.blob)
        else:
            account.kms.generate_data_key(KeyId="alias/old", KeySpec="AES_128")


def test_schedule_and_cancel(aws):
    key = aws.create_key()
    blob = aws.kms.encrypt(KeyId=key["KeyId"], Plaintext=PLAINTEXT)["CiphertextBlob"]
    now = datetime.datetime.now(datetime.UTC)
    answer = aws.kms.schedule_key_deletion(KeyId=key["KeyId"], PendingWindowInDays=7)
    assert (answer["KeyId"], answer["KeyState"], answer["PendingWindowInDays"]) == (key["Arn"], "PendingDeletion", 7)
    planned = answer["DeletionDate"] - now
    assert datetime.timedelta(days=7, minutes=-1) < planned < datetime.timedelta(days=8, minutes=1)
    metadata = aws.metadata(key["KeyId"])
    assert (metadata["KeyState"], metadata["Enabled"]) == ("PendingDeletion", False)
    assert metadata["DeletionDate"] == answer["DeletionDate"]

    assert aws.kms.cancel_key_deletion(KeyId=key["Arn"])["KeyId"] == key["Arn"]
    metadata = aws.metadata(key["KeyId"])
    assert (metadata["KeyState"], metadata["Enabled"]) == ("Disabled", False) and "DeletionDate" not in metadata
    with refused("DisabledException", f"{key['Arn']} is disabled."):
        aws.kms.decrypt(CiphertextBlob=blob)
    aws.kms.enable_key(KeyId=key["KeyId"])
    assert aws.kms.decrypt(CiphertextBlob=blob)["Plaintext"] == PLAINTEXT


def test_the_window_is_thirty_days_by_default(account):
    key_id = account.create_key()["KeyId"]
    answer = account.kms.schedule_key_deletion(KeyId=key_id)
    assert answer["PendingWindowInDays"] == 30
    planned = answer["DeletionDate"] - datetime.datetime.now(datetime.UTC)
    assert datetime.timedelta(days=29, hours=23) < planned < datetime.timedelta(days=31, minutes=1)


def test_the_window_has_bounds(account):
    key_id = account.create_key()["KeyId"]
    for days in (1, 6, 31, 365):
        with refused("ValidationException", "PendingWindowInDays must be between 7 and 30"):
            account.kms.schedule_key_deletion(KeyId=key_id, PendingWindowInDays=days)
    for days, rule in [(0, "greater than or equal to 1"), (366, "less than or equal to 365")]:
        text = violation(days, "pendingWindowInDays", f"Member must have value {rule}")
        with refused("ValidationException", text):
            account.kms.schedule_key_deletion(KeyId=key_id, PendingWindowInDays=days)
    assert account.metadata(key_id)["KeyState"] == "Enabled"


@pytest.mark.parametrize("days", [7, 30])
def test_a_key_is_gone_when_its_time_has_passed(clocked, days):
    kept = clocked.create_key()
    key = clocked.create_key(Tags=[{"TagKey": "a", "TagValue": "b"}])
    clocked.kms.create_alias(AliasName="alias/gone", TargetKeyId=key["KeyId"])
    clocked.kms.create_alias(AliasName="alias/kept", TargetKeyId=kept["KeyId"])
    blob = clocked.kms.encrypt(KeyId=key["KeyId"], Plaintext=PLAINTEXT)["CiphertextBlob"]
    kept_blob = clocked.kms.encrypt(KeyId=kept["KeyId"], Plaintext=PLAINTEXT)["CiphertextBlob"]
    clocked.kms.schedule_key_deletion(KeyId=key["KeyId"], PendingWindowInDays=days)

    clocked.server.control("clock", {"advance": f"{days - 1}d"})
    assert clocked.metadata(key["KeyId"])["KeyState"] == "PendingDeletion"
    clocked.server.control("clock", {"advance": "2d"})

    absent = f"Key '{key['Arn']}' does not exist"
    for call in [
        lambda: clocked.metadata(key["KeyId"]),
        lambda: clocked.kms.cancel_key_deletion(KeyId=key["KeyId"]),
        lambda: clocked.kms.encrypt(KeyId=key["Arn"], Plaintext=PLAINTEXT),
        lambda: clocked.kms.list_resource_tags(KeyId=key["KeyId"]),
        lambda: clocked.kms.get_key_policy(KeyId=key["KeyId"]),
    ]:
        with refused("NotFoundException", absent):
            call()
    with refused("NotFoundException", f"Alias {clocked.alias_arn('alias/gone')} is not found."):
        clocked.metadata("alias/gone")
    with pytest.raises(clocked.kms.exceptions.ClientError) as caught:
        clocked.kms.decrypt(CiphertextBlob=blob)
    assert caught.value.response["Error"]["Code"] in (
        "AccessDeniedException",
        "NotFoundException",
        "InvalidCiphertextException",
    )
    assert [entry["KeyId"] for entry in clocked.kms.list_keys()["Keys"]] == [kept["KeyId"]]
    assert clocked.kms.decrypt(CiphertextBlob=kept_blob)["Plaintext"] == PLAINTEXT
    assert clocked.metadata("alias/kept")["KeyId"] == kept["KeyId"]
    # The name is free again.
    clocked.kms.create_alias(AliasName="alias/gone", TargetKeyId=kept["KeyId"])


def test_a_cancelled_deletion_does_not_happen(clocked):
    key = clocked.create_key()
    blob = clocked.kms.encrypt(KeyId=key["KeyId"], Plaintext=PLAINTEXT)["CiphertextBlob"]
    clocked.kms.schedule_key_deletion(KeyId=key["KeyId"], PendingWindowInDays=7)
    clocked.server.control("clock", {"advance": "6d"})
    clocked.kms.cancel_key_deletion(KeyId=key["KeyId"])
    clocked.server.control("clock", {"advance": "400d"})
    clocked.kms.enable_key(KeyId=key["KeyId"])
    assert clocked.kms.decrypt(CiphertextBlob=blob)["Plaintext"] == PLAINTEXT


def test_many_keys_may_fall_due_at_once(clocked):
    keys = [clocked.create_key()["KeyId"] for _ in range(150)]
    for number, key_id in enumerate(keys):
        clocked.kms.create_alias(AliasName=f"alias/{number}", TargetKeyId=key_id)
        if number % 3:
            clocked.kms.schedule_key_deletion(KeyId=key_id, PendingWindowInDays=7 + number % 24)
    clocked.server.control("clock", {"advance": "40d"})
    left = {entry["KeyId"] for entry in clocked.kms.list_keys(Limit=1000)["Keys"]}
    assert left == {key_id for number, key_id in enumerate(keys) if number % 3 == 0}


def test_policy_and_description_of_a_pending_key_survive_cancelling(account):
    key_id = account.create_key(Description="kept", Tags=[{"TagKey": "a", "TagValue": "b"}])["KeyId"]
    account.kms.schedule_key_deletion(KeyId=key_id)
    account.kms.cancel_key_deletion(KeyId=key_id)
    assert account.metadata(key_id)["Description"] == "kept"
    assert account.kms.list_resource_tags(KeyId=key_id)["Tags"] == [{"TagKey": "a", "TagValue": "b"}]
    policy = json.loads(account.kms.get_key_policy(KeyId=key_id)["Policy"])
    assert policy == json.loads(DEFAULT_POLICY % account.root)
