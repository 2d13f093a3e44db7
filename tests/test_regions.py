"""The Regions of a deployment are those that its configuration names; the credential scope says which is meant."""

import contextlib
import json

import pytest
from support import server as servers
from support.aws import Account, refused
from support.operator import Operators
from support.production import Deployment

PLAINTEXT = b"attack at dawn"
INVALID = "Credential should be scoped to a valid region."
EAST = "us-east-1"
FRANKFURT, IRELAND, ELSEWHERE = "eu-central-1", "eu-west-1", "ap-southeast-2"


@pytest.fixture(scope="module")
def deployment(tmp_path_factory):
    deployment = Deployment(tmp_path_factory.mktemp("regions"))
    deployment.write_config(regions=f'["{FRANKFURT}", "{IRELAND}"]')
    status, output = deployment.init()
    assert status == 0, output
    assert f"regions {FRANKFURT} {IRELAND}\n" in output
    return deployment


@pytest.fixture(scope="module")
def production(deployment):
    with deployment.serve() as server:
        yield server


@pytest.fixture
def root(deployment, production):
    return Account(production, deployment.account, **deployment.credentials())


def test_the_regions_named_are_served_apart(root):
    ireland = root.in_region(IRELAND)
    key = root.create_key()
    assert key["Arn"].startswith(f"arn:aws:kms:{FRANKFURT}:")
    assert ireland.create_key()["Arn"].startswith(f"arn:aws:kms:{IRELAND}:")
    with refused("NotFoundException"):
        ireland.metadata(key["KeyId"])
    blob = root.kms.encrypt(KeyId=key["KeyId"], Plaintext=PLAINTEXT)["CiphertextBlob"]
    with refused("AccessDeniedException"):
        ireland.kms.decrypt(CiphertextBlob=blob)


@pytest.mark.parametrize("region", [EAST, ELSEWHERE, "eu-central-2", "eu-central", "nowhere"])
def test_another_region_is_none(root, region):
    with refused("InvalidSignatureException", INVALID):
        root.in_region(region).kms.list_keys()


def test_region_and_service_are_both_judged(root):
    correct = "Credential should be scoped to correct service: 'kms'."
    for region, message in [(FRANKFURT, correct), (ELSEWHERE, f"{INVALID} {correct}")]:
        answer = root.in_region(region).signed("ListKeys", {}, service="s3")
        told = json.loads(answer.body)
        assert (answer.status, told["__type"], told["message"]) == (400, "InvalidSignatureException", message)


def test_nobody_learns_there_whether_a_key_is_known(deployment, production):
    stranger = Account(production, deployment.account, account="AKIA" + "A" * 16, secret="x", region=ELSEWHERE)
    with refused("InvalidSignatureException", INVALID):
        stranger.kms.list_keys()


@pytest.mark.parametrize("region", [EAST, FRANKFURT, IRELAND])
def test_iam_and_sts_are_in_us_east_1_too(root, region):
    assert root.in_region(region).service("sts").get_caller_identity()["Arn"] == root.root
    root.in_region(region).service("iam").list_users()


@pytest.mark.parametrize("service", ["iam", "sts"])
def test_iam_and_sts_are_nowhere_else(root, service):
    with refused("SignatureDoesNotMatch", f"{INVALID} ", status=403):
        client = root.in_region(ELSEWHERE).service(service)
        client.list_users() if service == "iam" else client.get_caller_identity()


def test_replicas_go_to_regions_that_are_served(root):
    key_id = root.create_key(MultiRegion=True)["KeyId"]
    with refused("UnsupportedOperationException", f"{ELSEWHERE} is not a supported Region."):
        root.kms.replicate_key(KeyId=key_id, ReplicaRegion=ELSEWHERE)
    with refused("UnsupportedOperationException", f"{ELSEWHERE} is not a supported Region."):
        root.kms.update_primary_region(KeyId=key_id, PrimaryRegion=ELSEWHERE)
    root.kms.replicate_key(KeyId=key_id, ReplicaRegion=IRELAND)
    root.kms.update_primary_region(KeyId=key_id, PrimaryRegion=IRELAND)


def test_explain_supposes_a_region_that_is_served(deployment, production, root):
    operators = Operators(deployment.data, "--config", deployment.config)
    key_id = root.create_key()["KeyId"]
    asked = ("explain", "--caller", root.root, "--action", "kms:Decrypt", "--key", key_id)
    assert root.key_arn(key_id) in operators.obeyed(*asked)
    operators.refused("NoSuchRegion", *asked, "--region", EAST)


def test_keys_of_a_region_that_is_taken_out_stay(tmp_path):
    deployment = Deployment(tmp_path)
    deployment.write_config(regions=f'["{FRANKFURT}", "{IRELAND}"]')
    assert deployment.init()[0] == 0
    with deployment.serve() as server:
        ireland = Account(server, deployment.account, region=IRELAND, **deployment.credentials())
        key_id = ireland.create_key()["KeyId"]
        blob = ireland.kms.encrypt(KeyId=key_id, Plaintext=PLAINTEXT)["CiphertextBlob"]
    deployment.write_config(regions=f'["{FRANKFURT}"]')
    with deployment.serve() as server:
        with refused("InvalidSignatureException", INVALID):
            Account(server, deployment.account, region=IRELAND, **deployment.credentials()).kms.list_keys()
    deployment.write_config(regions=f'["{IRELAND}"]')
    with deployment.serve() as server:
        ireland = Account(server, deployment.account, region=IRELAND, **deployment.credentials())
        assert ireland.kms.decrypt(CiphertextBlob=blob)["Plaintext"] == PLAINTEXT


def test_a_configuration_names_them(tmp_path):
    deployment = Deployment(tmp_path)
    for bad in (None, "[]", '"eu-central-1"', '["EU"]', '["eu-central-1", ""]', "[1]"):
        deployment.write_config(regions=bad)
        status, output = deployment.init()
        assert status == 1 and "regions" in output.lower(), (bad, output)


def test_dev_serves_every_region_unless_some_are_named(tmp_path):
    with servers.Server("dev", "--listen", "127.0.0.1:0") as server:
        Account(server, "111122223333", region=ELSEWHERE).create_key()
    seed = {"keys": [{"keyId": "1234abcd-12ab-34cd-56ef-1234567890ab", "material": "A" * 43 + "="}]}
    file = tmp_path / "seed.json"
    file.write_text(json.dumps(seed))
    named = ("--region", IRELAND, "--region", FRANKFURT)
    with servers.Server("dev", "--listen", "127.0.0.1:0", *named, "--seed", file) as server:
        account = Account(server, "000000000000")
        assert account.metadata(seed["keys"][0]["keyId"])["Arn"].startswith(f"arn:aws:kms:{FRANKFURT}:")
        account.in_region(IRELAND).create_key()
        with refused("InvalidSignatureException", INVALID):
            account.in_region(ELSEWHERE).create_key()
    assert f"AWS_REGION={FRANKFURT}" in server.log
    seed["keys"][0]["region"] = ELSEWHERE
    file.write_text(json.dumps(seed))
    for arguments in ((*named, "--seed", file), ("--region", "EU")):
        with contextlib.suppress(servers.StartError):
            servers.Server("dev", "--listen", "127.0.0.1:0", *arguments).kill()
            raise AssertionError(f"it started: {arguments}")
