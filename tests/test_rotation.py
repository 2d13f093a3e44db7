"""Rotation as boto3 sees it, over the years: the clock of `claviger dev` moves."""

import datetime

import pytest
from support import server as servers
from support.aws import Account, refused


@pytest.fixture
def account():
    with servers.dev() as server:
        yield Account(server, "123456789012")


def advance(account, time):
    account.server.control("clock", {"advance": time})


def status(account, key_id):
    reply = account.kms.get_key_rotation_status(KeyId=key_id)
    reply.pop("ResponseMetadata")
    return reply


def test_ten_years(account):
    key_id = account.create_key()["KeyId"]
    assert status(account, key_id) == {"KeyId": key_id, "KeyRotationEnabled": False}
    account.kms.enable_key_rotation(KeyId=key_id)
    first = status(account, key_id)["NextRotationDate"]
    assert status(account, key_id)["RotationPeriodInDays"] == 365
    blobs = []
    for _ in range(10):
        blob = account.kms.encrypt(KeyId=key_id, Plaintext=b"kept")["CiphertextBlob"]
        blobs.append((blob, account.metadata(key_id)["CurrentKeyMaterialId"]))
        advance(account, "365d")
    assert status(account, key_id)["NextRotationDate"] == first + datetime.timedelta(days=3650)
    for blob, material in blobs:
        opened = account.kms.decrypt(CiphertextBlob=blob)
        assert (opened["Plaintext"], opened["KeyMaterialId"]) == (b"kept", material)
    rotations = account.kms.list_key_rotations(KeyId=key_id)["Rotations"]
    assert [rotation["RotationType"] for rotation in rotations] == ["AUTOMATIC"] * 10
    assert rotations[0]["RotationDate"] >= first
    whole = account.kms.list_key_rotations(KeyId=key_id, IncludeKeyMaterial="ALL_KEY_MATERIAL")["Rotations"]
    assert whole[0] == {"KeyId": key_id, "KeyMaterialId": blobs[0][1], "KeyMaterialState": "NON_CURRENT"}
    assert whole[-1]["KeyMaterialState"] == "CURRENT"
    assert whole[-1]["KeyMaterialId"] == account.metadata(key_id)["CurrentKeyMaterialId"]


def test_re_encryption_moves_to_the_current_material(account):
    key = account.create_key()
    blob = account.kms.encrypt(KeyId=key["KeyId"], Plaintext=b"old")["CiphertextBlob"]
    assert account.kms.rotate_key_on_demand(KeyId=key["KeyId"])["KeyId"] == key["Arn"]
    moved = account.kms.re_encrypt(CiphertextBlob=blob, DestinationKeyId=key["KeyId"])
    assert moved["SourceKeyMaterialId"] == key["CurrentKeyMaterialId"]
    assert moved["DestinationKeyMaterialId"] == account.metadata(key["KeyId"])["CurrentKeyMaterialId"]
    assert moved["SourceKeyMaterialId"] != moved["DestinationKeyMaterialId"]
    assert account.kms.decrypt(CiphertextBlob=moved["CiphertextBlob"])["Plaintext"] == b"old"


def test_a_period_is_what_terraform_reads_back(account):
    key_id = account.create_key()["KeyId"]
    for days in (90, 2560, 365):
        account.kms.enable_key_rotation(KeyId=key_id, RotationPeriodInDays=days)
        assert status(account, key_id)["RotationPeriodInDays"] == days
    account.kms.disable_key_rotation(KeyId=key_id)
    assert status(account, key_id) == {"KeyId": key_id, "KeyRotationEnabled": False}
    for days in (89, 2561):
        with refused("ValidationException"):
            account.kms.enable_key_rotation(KeyId=key_id, RotationPeriodInDays=days)


def test_no_more_than_25_on_demand(account):
    key_id = account.create_key()["KeyId"]
    for _ in range(25):
        account.kms.rotate_key_on_demand(KeyId=key_id)
    text = (
        "The on-demand rotations limit has been reached for the given keyId. No more on-demand rotations can be "
        f"performed for this key: {account.key_arn(key_id)}"
    )
    with refused("LimitExceededException", text):
        account.kms.rotate_key_on_demand(KeyId=key_id)
    paginator = account.kms.get_paginator("list_key_rotations")
    pages = list(paginator.paginate(KeyId=key_id, PaginationConfig={"PageSize": 10}))
    assert [len(page["Rotations"]) for page in pages] == [10, 10, 5]
    assert {entry["RotationType"] for page in pages for entry in page["Rotations"]} == {"ON_DEMAND"}


def test_a_disabled_key_waits(account):
    key_id = account.create_key()["KeyId"]
    account.kms.enable_key_rotation(KeyId=key_id, RotationPeriodInDays=90)
    account.kms.disable_key(KeyId=key_id)
    advance(account, "400d")
    assert account.kms.list_key_rotations(KeyId=key_id)["Rotations"] == []
    with refused("DisabledException"):
        account.kms.rotate_key_on_demand(KeyId=key_id)
    account.kms.enable_key(KeyId=key_id)
    advance(account, "1d")
    assert len(account.kms.list_key_rotations(KeyId=key_id)["Rotations"]) == 1


def test_a_key_pair_does_not_rotate(account):
    key_id = account.create_key(KeySpec="ECC_NIST_P256", KeyUsage="SIGN_VERIFY")["KeyId"]
    for operation in ("enable_key_rotation", "disable_key_rotation", "rotate_key_on_demand", "list_key_rotations"):
        with refused("UnsupportedOperationException"):
            getattr(account.kms, operation)(KeyId=key_id)
    # Terraform asks every key with material of ours whether it rotates, and takes no error for an answer.
    assert status(account, key_id) == {"KeyId": key_id, "KeyRotationEnabled": False}
