"""Real clients end to end: the AWS CLI, SOPS, and many boto3 clients at once."""

import base64
import concurrent.futures
import json
import os
import pathlib
import subprocess
import sys

import pytest
from support.server import REGION

TOOLS = pathlib.Path(sys.executable).parent


@pytest.fixture
def environment(aws, tmp_path):
    """What a user of command line tools sets, and nothing of the machine's own configuration."""
    return {
        **{name: value for name, value in os.environ.items() if not name.startswith("AWS_")},
        "AWS_ENDPOINT_URL": aws.server.url,
        "AWS_ACCESS_KEY_ID": aws.number,
        "AWS_SECRET_ACCESS_KEY": "any",
        "AWS_REGION": REGION,
        "AWS_DEFAULT_REGION": REGION,
        "AWS_CONFIG_FILE": str(tmp_path / "none"),
        "AWS_SHARED_CREDENTIALS_FILE": str(tmp_path / "none"),
        "AWS_EC2_METADATA_DISABLED": "true",
        "HOME": str(tmp_path),
    }


def run(tool, *arguments, environment, directory, fails=False):
    done = subprocess.run(
        [TOOLS / tool, *arguments],
        env=environment,
        cwd=directory,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert (done.returncode != 0) == fails, (done.returncode, done.stdout, done.stderr)
    return done.stderr if fails else done.stdout


def test_the_aws_cli(aws, environment, tmp_path):
    def kms(*arguments, **options):
        text = run("aws", "kms", *arguments, environment=environment, directory=tmp_path, **options)
        return json.loads(text) if text.startswith("{") else text

    key = kms("create-key", "--description", "from the CLI")["KeyMetadata"]
    kms("create-alias", "--alias-name", "alias/cli", "--target-key-id", key["KeyId"])
    (tmp_path / "secret.txt").write_bytes(b"attack at dawn")
    sealed = kms(
        *("encrypt", "--key-id", "alias/cli", "--plaintext", "fileb://secret.txt"),
        *("--encryption-context", "tenant=blue,purpose=test"),
    )
    assert sealed["KeyId"] == key["Arn"]
    (tmp_path / "sealed.bin").write_bytes(base64.b64decode(sealed["CiphertextBlob"]))
    opened = kms(
        *("decrypt", "--ciphertext-blob", "fileb://sealed.bin"),
        *("--encryption-context", "purpose=test,tenant=blue"),
    )
    assert base64.b64decode(opened["Plaintext"]) == b"attack at dawn"
    refusal = kms("decrypt", "--ciphertext-blob", "fileb://sealed.bin", fails=True)
    assert "InvalidCiphertextException" in refusal
    data_key = kms("generate-data-key", "--key-id", "alias/cli", "--key-spec", "AES_256")
    assert len(base64.b64decode(data_key["Plaintext"])) == 32
    assert [entry["KeyId"] for entry in kms("list-keys")["Keys"]] == [key["KeyId"]]
    kms("tag-resource", "--key-id", key["KeyId"], "--tags", "TagKey=a,TagValue=b")
    assert kms("list-resource-tags", "--key-id", key["KeyId"])["Tags"] == [{"TagKey": "a", "TagValue": "b"}]
    kms("schedule-key-deletion", "--key-id", key["KeyId"], "--pending-window-in-days", "7")
    refusal = kms("encrypt", "--key-id", "alias/cli", "--plaintext", "fileb://secret.txt", fails=True)
    assert f"{key['Arn']} is pending deletion." in refusal
    identity = json.loads(run("aws", "sts", "get-caller-identity", environment=environment, directory=tmp_path))
    assert identity["Account"] == aws.number


def test_the_aws_cli_pages_through_listings(aws, environment, tmp_path):
    made = {aws.create_key()["KeyId"] for _ in range(12)}
    text = run("aws", "kms", "list-keys", "--page-size", "5", environment=environment, directory=tmp_path)
    assert {entry["KeyId"] for entry in json.loads(text)["Keys"]} == made


def test_sops(aws, environment, tmp_path):
    key = aws.create_key()
    (tmp_path / "secrets.yaml").write_text("database:\n  password: hunter2\n")
    sealed = run(
        *("sops", "encrypt", "--kms", key["Arn"], "--encryption-context", "stage:test", "secrets.yaml"),
        environment=environment,
        directory=tmp_path,
    )
    assert "hunter2" not in sealed and key["Arn"] in sealed
    (tmp_path / "sealed.yaml").write_text(sealed)
    opened = run("sops", "decrypt", "sealed.yaml", environment=environment, directory=tmp_path)
    assert "password: hunter2" in opened
    (tmp_path / "other.yaml").write_text(sealed.replace("stage: test", "stage: prod"))
    run("sops", "decrypt", "other.yaml", environment=environment, directory=tmp_path, fails=True)
    aws.kms.disable_key(KeyId=key["KeyId"])
    run("sops", "decrypt", "sealed.yaml", environment=environment, directory=tmp_path, fails=True)


def test_boto3_paginators(aws):
    made = {aws.create_key()["KeyId"] for _ in range(9)}
    listed = aws.kms.get_paginator("list_keys").paginate(PaginationConfig={"PageSize": 4})
    assert {entry["KeyId"] for page in listed for entry in page["Keys"]} == made


def test_boto3_knows_the_exceptions(aws):
    try:
        aws.metadata("nonsense")
    except aws.kms.exceptions.NotFoundException as error:
        assert error.response["Error"]["Message"] == "Invalid keyId 'nonsense'"
    else:
        raise AssertionError("no exception")


def test_many_clients_at_once(aws, chance):
    """Sixteen threads on their own keys and one shared key; nobody sees another's plaintext."""
    shared = aws.create_key()["KeyId"]

    def work(number):
        own = aws.create_key(Description=str(number))["KeyId"]
        for turn in range(20):
            plaintext = f"thread {number} turn {turn}".encode()
            context = {"thread": str(number)}
            for key_id in (own, shared):
                sealed = aws.kms.encrypt(KeyId=key_id, Plaintext=plaintext, EncryptionContext=context)
                opened = aws.kms.decrypt(CiphertextBlob=sealed["CiphertextBlob"], EncryptionContext=context)
                assert opened["Plaintext"] == plaintext
            aws.kms.tag_resource(KeyId=shared, Tags=[{"TagKey": f"t{number}", "TagValue": str(turn)}])
        assert aws.metadata(own)["Description"] == str(number)

    with concurrent.futures.ThreadPoolExecutor(16) as threads:
        list(threads.map(work, range(16)))
    tags = {tag["TagKey"]: tag["TagValue"] for tag in aws.kms.list_resource_tags(KeyId=shared)["Tags"]}
    assert tags == {f"t{number}": "19" for number in range(16)}


def test_one_alias_is_won_by_one_of_many(aws):
    keys = [aws.create_key()["KeyId"] for _ in range(8)]

    def take(key_id):
        try:
            aws.kms.create_alias(AliasName="alias/contested", TargetKeyId=key_id)
        except aws.kms.exceptions.AlreadyExistsException:
            return None
        return key_id

    with concurrent.futures.ThreadPoolExecutor(8) as threads:
        winners = [key_id for key_id in threads.map(take, keys) if key_id]
    assert len(winners) == 1 and aws.metadata("alias/contested")["KeyId"] == winners[0]
