"""What Terraform does with each of its KMS resources: create, read, change every argument, destroy, without drift.

The provider reads everything back after every write and compares it with what was written: whatever differs would show
as a change in the next plan. The calls are those of support/terraform.py."""

import base64
import datetime
import json
import os

import pytest
from support import terraform
from support.aws import DEFAULT_POLICY, refused

EAST = "us-east-1"
WINDOW = {"deletion_window_in_days": 7}
# Arguments that are the provider's own, and never read back.
OWN = {"deletion_window_in_days", "key_material_base64", "retire_on_delete", "bypass_policy_lockout_safety_check"}


@pytest.fixture
def east(aws):
    return aws.in_region(EAST)


def policy_of(account, **more):
    document = json.loads(DEFAULT_POLICY % account.root)
    return json.dumps({**document, **more}, indent=4)


def agrees(state, wanted):
    """Whether everything that a configuration says is what was read."""
    for name, value in wanted.items():
        if name in OWN:
            continue
        value = terraform.normalized(value) if name == "policy" else value
        value = sorted(value) if name == "operations" else value
        assert state[name] == value, name


def settled(resource):
    """What is read, twice without a difference, and as the configuration says."""
    state = resource.read()
    assert state == resource.read()
    agrees(state, resource.wanted)
    return state


def made(resource):
    resource.create()
    return settled(resource)


def changed(resource, state, also=None, **changes):
    """A change of the configuration changes just that (and what `also` names)."""
    resource.update(**changes)
    after = settled(resource)
    read_back = {name: value for name, value in changes.items() if name not in OWN}
    if "policy" in read_back:
        read_back["policy"] = terraform.normalized(read_back["policy"])
    assert after == {**state, **read_back, **(also or {})}
    return after


def destroyed(resource, state_after="PendingDeletion"):
    """Destroyed once with AWS's answer; the second time it is on its way already."""
    told = resource.delete()
    assert (told["KeyId"], told["KeyState"]) == (resource.account.key_arn(resource.id), state_after)
    assert told["PendingWindowInDays"] == resource.wanted.get("deletion_window_in_days", 30)
    assert ("DeletionDate" in told) == (state_after == "PendingDeletion")
    assert resource.read() is None
    if state_after == "PendingDeletion":
        assert resource.delete() is None


def common_changes(resource, state, account):
    """The arguments that every kind of key has."""
    state = changed(resource, state, description="changed")
    state = changed(resource, state, description="")
    state = changed(resource, state, policy=policy_of(account, Id="changed"))
    state = changed(resource, state, tags={"team": "red", "new": ""})
    state = changed(resource, state, tags={})
    state = changed(resource, state, tags={f"tag {number}": str(number) for number in range(50)})
    return changed(resource, state, deletion_window_in_days=30)


def test_a_key_with_nothing_said(aws):
    key = terraform.Key(aws)
    assert made(key) == {
        "arn": aws.key_arn(key.id),
        "customer_master_key_spec": "SYMMETRIC_DEFAULT",
        "description": "",
        "is_enabled": True,
        "key_id": key.id,
        "key_usage": "ENCRYPT_DECRYPT",
        "multi_region": False,
        "enable_key_rotation": False,
        "rotation_period_in_days": None,
        "policy": terraform.normalized(DEFAULT_POLICY % aws.root),
        "tags": {},
    }
    destroyed(key)


def everything(account):
    return {
        "description": "made by Terraform",
        "policy": policy_of(account, Id="first"),
        "tags": {"team": "blue", "stage": "test"},
        **WINDOW,
    }


def test_a_symmetric_key(aws):
    key = terraform.Key(aws, **everything(aws), enable_key_rotation=True, rotation_period_in_days=180)
    state = common_changes(key, made(key), aws)
    state = changed(key, state, rotation_period_in_days=90)
    # The provider reads the switch and the period of a disabled key as well.
    state = changed(key, state, is_enabled=False)
    state = changed(key, state, is_enabled=True)
    state = changed(key, state, enable_key_rotation=False, rotation_period_in_days=None)
    key.wanted.pop("rotation_period_in_days")
    state = changed(key, state, enable_key_rotation=True, also={"rotation_period_in_days": 365})
    state = changed(key, state, is_enabled=False, description="while it goes", tags={"last": "one"})
    destroyed(key)


def test_a_key_that_is_made_disabled(aws):
    key = terraform.Key(aws, is_enabled=False, enable_key_rotation=True, **WINDOW)
    state = made(key)
    assert (state["is_enabled"], state["enable_key_rotation"]) == (False, True)
    with refused("DisabledException"):
        aws.kms.disable_key_rotation(KeyId=key.id)
    changed(key, state, is_enabled=True, description="on")
    destroyed(key)


@pytest.mark.parametrize(
    ("spec", "usage"),
    [
        ("RSA_2048", "ENCRYPT_DECRYPT"),
        ("RSA_2048", "SIGN_VERIFY"),
        ("ECC_NIST_P384", "SIGN_VERIFY"),
        ("ECC_NIST_P256", "KEY_AGREEMENT"),
        ("ECC_SECG_P256K1", "SIGN_VERIFY"),
        ("HMAC_256", "GENERATE_VERIFY_MAC"),
    ],
)
def test_keys_that_never_rotate(account, spec, usage):
    """The provider asks every key with material of KMS for its rotation status."""
    key = terraform.Key(account, customer_master_key_spec=spec, key_usage=usage, **everything(account))
    state = made(key)
    assert (state["enable_key_rotation"], state["rotation_period_in_days"]) == (False, None)
    state = common_changes(key, state, account)
    changed(key, changed(key, state, is_enabled=False), is_enabled=True)
    destroyed(key)


def test_a_multi_region_key_and_its_replica(aws, east):
    key = terraform.Key(aws, multi_region=True, **everything(aws), enable_key_rotation=True)
    state = made(key)
    replica = terraform.ReplicaKey(east, primary_key_arn=state["arn"], **everything(aws))
    other = made(replica)
    assert (other["arn"], other["enable_key_rotation"]) == (east.key_arn(key.id), True)
    assert settled(key) == state
    # Each keeps its own description, policy, tags and switch.
    state = common_changes(key, state, aws)
    assert settled(replica) == other
    other = changed(replica, common_changes(replica, other, east), enabled=False)
    assert settled(key) == state
    other = changed(replica, other, enabled=True)
    # They share rotation.
    state = changed(key, state, rotation_period_in_days=100)
    other = {**other, "rotation_period_in_days": 100}
    assert settled(replica) == other
    # With the replica first, as Terraform's order has it.
    destroyed(replica)
    assert settled(key) == state
    destroyed(key, "PendingReplicaDeletion")
    with refused("KMSInvalidStateException", f"{state['arn']} is pending replica deletion."):
        key.delete()


def test_a_replica_with_nothing_said(aws, east):
    key = terraform.Key(aws, multi_region=True, **WINDOW)
    state = made(key)
    replica = terraform.ReplicaKey(east, primary_key_arn=state["arn"], enabled=False, **WINDOW)
    assert made(replica) == {
        "arn": east.key_arn(key.id),
        "description": "",
        "enabled": False,
        "key_id": key.id,
        "key_spec": "SYMMETRIC_DEFAULT",
        "key_usage": "ENCRYPT_DECRYPT",
        "primary_key_arn": state["arn"],
        "enable_key_rotation": False,
        "rotation_period_in_days": None,
        "policy": terraform.normalized(DEFAULT_POLICY % aws.root),
        "tags": {},
    }
    destroyed(replica)


def test_the_primary_region_changes(aws, east):
    """Terraform has no argument for it: the resources change their places when it happened outside."""
    key = terraform.Key(aws, multi_region=True, **everything(aws), enable_key_rotation=True)
    state = made(key)
    replica = terraform.ReplicaKey(east, primary_key_arn=state["arn"], **everything(aws))
    made(replica)
    aws.kms.update_primary_region(KeyId=key.id, PrimaryRegion=EAST)
    now_primary = terraform.Key(east, multi_region=True, **everything(aws), enable_key_rotation=True)
    now_replica = terraform.ReplicaKey(aws, primary_key_arn=east.key_arn(key.id), **everything(aws))
    now_primary.id = now_replica.id = key.id
    moved = settled(now_primary)
    assert moved == {**state, "arn": east.key_arn(key.id)}
    settled(now_replica)
    changed(now_primary, moved, rotation_period_in_days=90)
    assert settled(now_replica)["rotation_period_in_days"] == 90
    destroyed(now_replica)
    destroyed(now_primary, "PendingReplicaDeletion")


def in_days(days):
    return terraform.moment(datetime.datetime.now(datetime.UTC) + datetime.timedelta(days=days))


def test_an_external_key_without_material(aws):
    key = terraform.ExternalKey(aws, **everything(aws))
    state = made(key)
    assert (state["key_state"], state["enabled"]) == ("PendingImport", False)
    assert (state["expiration_model"], state["valid_to"]) == (None, None)
    # Which is why the provider does not even try.
    with refused("KMSInvalidStateException", f"{state['arn']} is pending import."):
        aws.kms.disable_key(KeyId=key.id)
    common_changes(key, state, aws)
    destroyed(key)


def test_an_external_key(aws):
    material = base64.b64encode(os.urandom(32)).decode()
    key = terraform.ExternalKey(aws, key_material_base64=material, **everything(aws))
    state = made(key)
    assert (state["key_state"], state["enabled"]) == ("Enabled", True)
    assert (state["expiration_model"], state["valid_to"]) == ("KEY_MATERIAL_DOES_NOT_EXPIRE", None)
    state = common_changes(key, state, aws)
    expires = {"expiration_model": "KEY_MATERIAL_EXPIRES"}
    state = changed(key, state, valid_to=in_days(30), also=expires)
    state = changed(key, state, valid_to=in_days(60))
    state = changed(key, state, enabled=False, also={"key_state": "Disabled"})
    state = changed(key, state, valid_to=in_days(90))
    state = changed(key, state, enabled=True, also={"key_state": "Enabled"})
    changed(key, state, valid_to=None, also={"expiration_model": "KEY_MATERIAL_DOES_NOT_EXPIRE"})
    destroyed(key)


def test_an_external_key_that_is_made_disabled(aws):
    material = base64.b64encode(os.urandom(32)).decode()
    key = terraform.ExternalKey(aws, key_material_base64=material, valid_to=in_days(10), enabled=False, **WINDOW)
    state = made(key)
    assert (state["key_state"], state["expiration_model"]) == ("Disabled", "KEY_MATERIAL_EXPIRES")
    destroyed(key)


def test_an_external_key_in_two_regions(aws, east):
    material = base64.b64encode(os.urandom(32)).decode()
    key = terraform.ExternalKey(aws, multi_region=True, key_material_base64=material, **everything(aws))
    state = made(key)
    bare = terraform.ReplicaExternalKey(aws.in_region("us-west-2"), primary_key_arn=state["arn"], **WINDOW)
    assert made(bare)["key_state"] == "PendingImport"
    replica = terraform.ReplicaExternalKey(
        east, primary_key_arn=state["arn"], key_material_base64=material, valid_to=in_days(20), **everything(aws)
    )
    other = made(replica)
    assert (other["key_state"], other["primary_key_arn"]) == ("Enabled", state["arn"])
    assert settled(key) == state
    other = common_changes(replica, other, east)
    other = changed(replica, other, valid_to=in_days(40))
    changed(replica, other, enabled=False, also={"key_state": "Disabled"})
    assert settled(key) == state
    # Whatever the other Region has, other material is refused.
    with refused("IncorrectKeyMaterialException"):
        terraform.imports.bring(bare.kms, bare.id, os.urandom(32))
    for one in (replica, bare):
        destroyed(one)
    destroyed(key, "PendingReplicaDeletion")


def test_a_policy_of_its_own(aws):
    key = terraform.Key(aws, **WINDOW)
    made(key)
    policy = terraform.KeyPolicy(aws, key_id=key.id, policy=policy_of(aws, Id="attached"))
    state = made(policy)
    changed(policy, state, policy=policy_of(aws, Id="changed"))
    policy.delete()
    assert key.read()["policy"] == terraform.default_policy(aws.number)
    destroyed(key)
    assert policy.read() is None


def test_an_alias(aws):
    keys = [aws.create_key()["KeyId"] for _ in range(2)]
    # As many as need several pages.
    for number in range(80):
        aws.kms.create_alias(AliasName=f"alias/other-{number}", TargetKeyId=keys[number % 2])
    alias = terraform.Alias(aws, name="alias/mine", target_key_id=keys[0])
    state = made(alias)
    assert state["arn"] == aws.alias_arn("alias/mine")
    changed(alias, state, target_key_id=keys[1])
    # An ARN is as good, and read back as the id.
    alias.update(target_key_id=aws.key_arn(keys[0]))
    assert alias.read() == alias.read() == state
    assert alias.delete() and alias.read() is None
    assert not alias.delete()


@pytest.mark.parametrize("retire", [False, True])
@pytest.mark.parametrize("by_arn", [False, True])
def test_a_grant(aws, retire, by_arn):
    key = aws.create_key()["KeyId"]
    key = aws.key_arn(key) if by_arn else key
    principals = {"grantee_principal": aws.root, "retiring_principal": aws.root}
    for more in (
        {},
        {"name": "named", "constraints": {"EncryptionContextEquals": {"tenant": "blue", "stage": "test"}}},
        {"constraints": {"EncryptionContextSubset": {"tenant": "blue"}}, **principals},
    ):
        wanted = {"key_id": key, "grantee_principal": aws.root, "operations": ["Encrypt", "Decrypt"], **more}
        grant = terraform.Grant(aws, **wanted, retire_on_delete=retire)
        made(grant)
        assert grant.delete() and grant.read() is None
        assert not grant.delete()


def test_a_grant_among_many(aws):
    key = aws.create_key()["KeyId"]
    grants = [
        terraform.Grant(aws, key_id=key, grantee_principal=aws.root, operations=["Decrypt"], name=f"grant-{number}")
        for number in range(120)
    ]
    for grant in grants:
        grant.create()
    for grant in grants[::17]:
        settled(grant)
    assert grants[60].delete()
    settled(grants[61])
    aws.kms.schedule_key_deletion(KeyId=key, PendingWindowInDays=7)
    # Grants of a key that is going are still found, and go.
    settled(grants[0])
    assert grants[0].delete()


def test_what_is_destroyed_with_the_clock(clocked):
    """A key that is destroyed in earnest: every read says so, and destroying it again is no error."""
    key = terraform.Key(clocked, **everything(clocked))
    made(key)
    alias = terraform.Alias(clocked, name="alias/mine", target_key_id=key.id)
    made(alias)
    grant = terraform.Grant(clocked, key_id=key.id, grantee_principal=clocked.root, operations=["Decrypt"])
    made(grant)
    destroyed(key)
    clocked.server.control("clock", {"advance": "8d"})
    for resource in (key, alias, grant):
        assert resource.read() is None
    assert key.delete() is None
    assert not alias.delete() and not grant.delete()
    # The next apply makes all of it anew.
    made(terraform.Key(clocked, **everything(clocked)))


def test_data_sources(aws):
    """aws_kms_key, aws_kms_alias, aws_kms_ciphertext, aws_kms_secrets and aws_kms_public_key."""
    key = terraform.Key(aws, **everything(aws))
    state = made(key)
    terraform.Alias(aws, name="alias/data", target_key_id=key.id).create()
    for identifier in (key.id, state["arn"], "alias/data", aws.alias_arn("alias/data")):
        assert aws.kms.describe_key(KeyId=identifier, GrantTokens=[])["KeyMetadata"] == key.find()
    assert terraform.Alias(aws, name="alias/data").read()["target_key_id"] == key.id

    context = {"tenant": "blue"}
    sealed = [aws.kms.encrypt(KeyId=key.id, Plaintext=b"a", EncryptionContext=more) for more in ({}, context)]
    assert sealed[0]["KeyId"] == state["arn"]
    for one, more in zip(sealed, ({}, context), strict=True):
        opened = aws.kms.decrypt(CiphertextBlob=one["CiphertextBlob"], EncryptionContext=more, GrantTokens=[])
        assert (opened["Plaintext"], opened["KeyId"]) == (b"a", state["arn"])
    pair = terraform.Key(aws, customer_master_key_spec="RSA_2048", key_usage="ENCRYPT_DECRYPT")
    made(pair)
    sealed = aws.kms.encrypt(KeyId=pair.id, Plaintext=b"a", EncryptionAlgorithm="RSAES_OAEP_SHA_256")
    opened = aws.kms.decrypt(
        CiphertextBlob=sealed["CiphertextBlob"], EncryptionAlgorithm="RSAES_OAEP_SHA_256", KeyId=pair.id
    )
    assert opened["Plaintext"] == b"a"
    public = aws.kms.get_public_key(KeyId=pair.id, GrantTokens=[])
    assert (public["KeyId"], public["CustomerMasterKeySpec"]) == (aws.key_arn(pair.id), "RSA_2048")
