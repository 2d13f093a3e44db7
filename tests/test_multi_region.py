"""Multi-Region keys as boto3 sees them: one server serves every Region, and each Region has keys of its own."""

import json

import pytest
from support.aws import DEFAULT_POLICY, refused
from support.server import REGION

EAST = "us-east-1"
WEST = "us-west-2"
PLAINTEXT = b"attack at dawn"


@pytest.fixture
def east(aws):
    return aws.in_region(EAST)


@pytest.fixture
def west(aws):
    return aws.in_region(WEST)


def primary_of(aws, **options):
    return aws.create_key(MultiRegion=True, **options)


def replicate(aws, key_id, region, **options):
    return aws.kms.replicate_key(KeyId=key_id, ReplicaRegion=region, **options)


def family(account, key_id):
    """The kind of the key in this Region, the primary's Region, the replicas' Regions."""
    metadata = account.metadata(key_id)
    assert metadata["MultiRegion"] is True and metadata["Arn"] == account.key_arn(key_id)
    config = metadata["MultiRegionConfiguration"]
    for related in [config["PrimaryKey"], *config["ReplicaKeys"]]:
        assert related["Arn"] == account.in_region(related["Region"]).key_arn(key_id)
    return config["MultiRegionKeyType"], config["PrimaryKey"]["Region"], [key["Region"] for key in config["ReplicaKeys"]]


def test_a_lone_primary(aws):
    key = primary_of(aws)
    assert key["KeyId"].startswith("mrk-") and len(key["KeyId"]) == 36
    assert aws.metadata(key["KeyId"]) == key
    assert family(aws, key["KeyId"]) == ("PRIMARY", REGION, [])
    single = aws.create_key(MultiRegion=False)
    assert single["MultiRegion"] is False and "MultiRegionConfiguration" not in single


def test_regions_keep_their_keys_apart(aws, east):
    key_id = aws.create_key()["KeyId"]
    aws.kms.create_alias(AliasName="alias/here", TargetKeyId=key_id)
    blob = aws.kms.encrypt(KeyId=key_id, Plaintext=PLAINTEXT)["CiphertextBlob"]
    with refused("NotFoundException", f"Key '{east.key_arn(key_id)}' does not exist"):
        east.metadata(key_id)
    with refused("NotFoundException"):
        east.metadata(aws.key_arn(key_id))
    with refused("NotFoundException"):
        east.metadata("alias/here")
    with refused("AccessDeniedException"):
        east.kms.decrypt(CiphertextBlob=blob)
    assert east.kms.list_keys()["Keys"] == []


def test_what_replicate_key_answers(aws, east):
    key = primary_of(aws, Description="primary", Tags=[{"TagKey": "team", "TagValue": "blue"}])
    answer = replicate(aws, key["KeyId"], EAST)
    replica = answer["ReplicaKeyMetadata"]
    assert (replica["KeyState"], replica["Enabled"]) == ("Creating", False)
    assert (replica["Arn"], replica["Description"]) == (east.key_arn(key["KeyId"]), "")
    assert "CurrentKeyMaterialId" not in replica
    assert replica["MultiRegionConfiguration"]["MultiRegionKeyType"] == "REPLICA"
    assert answer["ReplicaPolicy"] == DEFAULT_POLICY % aws.root
    assert answer["ReplicaTags"] == []
    metadata = east.metadata(key["KeyId"])
    assert (metadata["KeyState"], metadata["Enabled"]) == ("Enabled", True)
    assert metadata["CurrentKeyMaterialId"] == key["CurrentKeyMaterialId"]
    assert [entry["KeyId"] for entry in east.kms.list_keys()["Keys"]] == [key["KeyId"]]
    assert east.kms.list_resource_tags(KeyId=key["KeyId"])["Tags"] == []
    assert family(aws, key["KeyId"]) == ("PRIMARY", REGION, [EAST])
    assert family(east, key["KeyId"]) == ("REPLICA", REGION, [EAST])


def test_a_replica_with_a_policy_tags_and_a_description(aws, east):
    key_id = primary_of(aws)["KeyId"]
    policy = json.dumps(json.loads(DEFAULT_POLICY % aws.root) | {"Id": "east"})
    tags = [{"TagKey": "team", "TagValue": "blue"}]
    answer = replicate(aws, key_id, EAST, Policy=policy, Tags=tags, Description="replica")
    assert json.loads(answer["ReplicaPolicy"])["Id"] == "east"
    assert answer["ReplicaTags"] == tags
    assert json.loads(east.kms.get_key_policy(KeyId=key_id)["Policy"])["Id"] == "east"
    assert aws.kms.get_key_policy(KeyId=key_id)["Policy"] == DEFAULT_POLICY % aws.root
    assert east.kms.list_resource_tags(KeyId=key_id)["Tags"] == tags
    assert (aws.metadata(key_id)["Description"], east.metadata(key_id)["Description"]) == ("", "replica")


def test_every_region_opens_what_one_of_them_sealed(aws, east, west):
    key_id = primary_of(aws)["KeyId"]
    before = aws.kms.encrypt(KeyId=key_id, Plaintext=PLAINTEXT, EncryptionContext={"a": "b"})["CiphertextBlob"]
    replicate(aws, key_id, EAST)
    replicate(aws, key_id, WEST)
    data_key = west.kms.generate_data_key(KeyId=key_id, KeySpec="AES_256")
    materials = set()
    for account in [aws, east, west]:
        opened = account.kms.decrypt(CiphertextBlob=before, EncryptionContext={"a": "b"})
        assert (opened["Plaintext"], opened["KeyId"]) == (PLAINTEXT, account.key_arn(key_id))
        materials.add(opened["KeyMaterialId"])
        assert account.kms.decrypt(CiphertextBlob=data_key["CiphertextBlob"])["Plaintext"] == data_key["Plaintext"]
        with refused("InvalidCiphertextException"):
            account.kms.decrypt(CiphertextBlob=before)
    assert materials == {aws.metadata(key_id)["CurrentKeyMaterialId"]}
    with refused("NotFoundException"):
        east.kms.decrypt(CiphertextBlob=before, EncryptionContext={"a": "b"}, KeyId=aws.key_arn(key_id))


@pytest.mark.parametrize(
    ("spec", "usage", "algorithm"),
    [("ECC_NIST_P256", "SIGN_VERIFY", "ECDSA_SHA_256"), ("RSA_2048", "SIGN_VERIFY", "RSASSA_PSS_SHA_256")],
)
def test_a_signature_of_one_region_holds_in_another(account, spec, usage, algorithm):
    east = account.in_region(EAST)
    key_id = primary_of(account, KeySpec=spec, KeyUsage=usage)["KeyId"]
    replicate(account, key_id, EAST)
    signed = east.kms.sign(KeyId=key_id, Message=PLAINTEXT, SigningAlgorithm=algorithm)
    verified = account.kms.verify(
        KeyId=key_id, Message=PLAINTEXT, Signature=signed["Signature"], SigningAlgorithm=algorithm
    )
    assert verified["SignatureValid"] is True
    public = [one.kms.get_public_key(KeyId=key_id)["PublicKey"] for one in (account, east)]
    assert public[0] == public[1]


def test_what_cannot_be_replicated(aws, east):
    single = aws.create_key()
    with refused("UnsupportedOperationException", f"{single['Arn']} is not a multi-region primary key."):
        replicate(aws, single["KeyId"], EAST)
    key_id = primary_of(aws)["KeyId"]
    replicate(aws, key_id, EAST)
    with refused("AlreadyExistsException"):
        replicate(aws, key_id, EAST)
    with refused("AlreadyExistsException"):
        replicate(aws, key_id, REGION)
    with refused("UnsupportedOperationException", f"{east.key_arn(key_id)} is not a multi-region primary key."):
        replicate(east, key_id, WEST)
    with refused("ValidationException"):
        replicate(aws, key_id, "nowhere")
    aws.kms.disable_key(KeyId=key_id)
    with refused("DisabledException", f"{aws.key_arn(key_id)} is disabled."):
        replicate(aws, key_id, WEST)
    assert east.metadata(key_id)["KeyState"] == "Enabled"


def test_the_primary_moves(aws, east, west):
    key_id = primary_of(aws)["KeyId"]
    replicate(aws, key_id, EAST)
    blob = aws.kms.encrypt(KeyId=key_id, Plaintext=PLAINTEXT)["CiphertextBlob"]
    with refused("NotFoundException"):
        aws.kms.update_primary_region(KeyId=key_id, PrimaryRegion=WEST)
    with refused("UnsupportedOperationException"):
        east.kms.update_primary_region(KeyId=key_id, PrimaryRegion=REGION)
    aws.kms.update_primary_region(KeyId=key_id, PrimaryRegion=EAST)
    assert family(aws, key_id) == ("REPLICA", EAST, [REGION])
    assert family(east, key_id) == ("PRIMARY", EAST, [REGION])
    replicate(east, key_id, WEST)
    assert family(aws, key_id) == ("REPLICA", EAST, [REGION, WEST])
    assert west.kms.decrypt(CiphertextBlob=blob)["Plaintext"] == PLAINTEXT


def test_a_primary_waits_for_its_replicas(clocked):
    east = clocked.in_region(EAST)
    key_id = primary_of(clocked)["KeyId"]
    replicate(clocked, key_id, EAST)
    answer = clocked.kms.schedule_key_deletion(KeyId=key_id, PendingWindowInDays=9)
    assert (answer["KeyState"], answer["PendingWindowInDays"]) == ("PendingReplicaDeletion", 9)
    assert "DeletionDate" not in answer
    metadata = clocked.metadata(key_id)
    assert (metadata["KeyState"], metadata["PendingDeletionWindowInDays"]) == ("PendingReplicaDeletion", 9)
    assert "DeletionDate" not in metadata
    clocked.server.control("clock", {"advance": "100d"})
    assert clocked.metadata(key_id)["KeyState"] == "PendingReplicaDeletion"
    east.kms.schedule_key_deletion(KeyId=key_id, PendingWindowInDays=7)
    clocked.server.control("clock", {"advance": "8d"})
    with refused("NotFoundException"):
        east.metadata(key_id)
    metadata = clocked.metadata(key_id)
    assert metadata["KeyState"] == "PendingDeletion" and "DeletionDate" in metadata
    assert metadata["MultiRegionConfiguration"]["ReplicaKeys"] == []
    clocked.server.control("clock", {"advance": "8d"})
    assert clocked.metadata(key_id)["KeyState"] == "PendingDeletion"
    clocked.server.control("clock", {"advance": "2d"})
    with refused("NotFoundException"):
        clocked.metadata(key_id)


def test_a_replica_made_again(clocked):
    east = clocked.in_region(EAST)
    key_id = primary_of(clocked)["KeyId"]
    replicate(clocked, key_id, EAST)
    blob = east.kms.encrypt(KeyId=key_id, Plaintext=PLAINTEXT)["CiphertextBlob"]
    east.kms.schedule_key_deletion(KeyId=key_id, PendingWindowInDays=7)
    clocked.server.control("clock", {"advance": "8d"})
    assert family(clocked, key_id) == ("PRIMARY", REGION, [])
    with refused("AccessDeniedException"):
        east.kms.decrypt(CiphertextBlob=blob)
    replicate(clocked, key_id, EAST)
    assert east.kms.decrypt(CiphertextBlob=blob)["Plaintext"] == PLAINTEXT


def test_rotation_reaches_every_region(clocked):
    east = clocked.in_region(EAST)
    key_id = primary_of(clocked)["KeyId"]
    replicate(clocked, key_id, EAST)
    clocked.kms.enable_key_rotation(KeyId=key_id, RotationPeriodInDays=90)
    with refused("UnsupportedOperationException"):
        east.kms.enable_key_rotation(KeyId=key_id)
    assert east.kms.get_key_rotation_status(KeyId=key_id)["RotationPeriodInDays"] == 90
    seen = {clocked.metadata(key_id)["CurrentKeyMaterialId"]}
    blobs = [east.kms.encrypt(KeyId=key_id, Plaintext=PLAINTEXT)["CiphertextBlob"]]
    for _ in range(3):
        clocked.server.control("clock", {"advance": "91d"})
        current = {one.metadata(key_id)["CurrentKeyMaterialId"] for one in (clocked, east)}
        assert len(current) == 1 and not current & seen
        seen |= current
        blobs.append(east.kms.encrypt(KeyId=key_id, Plaintext=PLAINTEXT)["CiphertextBlob"])
    # The work goes where the primary goes, and a replica made later has everything.
    clocked.kms.update_primary_region(KeyId=key_id, PrimaryRegion=EAST)
    clocked.server.control("clock", {"advance": "91d"})
    current = {one.metadata(key_id)["CurrentKeyMaterialId"] for one in (clocked, east)}
    assert len(current) == 1 and not current & seen
    replicate(east, key_id, WEST)
    for account in [clocked, east, clocked.in_region(WEST)]:
        for blob in blobs:
            assert account.kms.decrypt(CiphertextBlob=blob)["Plaintext"] == PLAINTEXT
