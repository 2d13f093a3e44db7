"""Request quotas: off in dev unless asked for, AWS's in a server, and as the configuration says."""

import concurrent.futures
import itertools
import json

import botocore.exceptions
import pytest
from support import server as servers
from support.aws import Account
from support.production import Deployment

THROTTLED = "ThrottlingException"
TEXT = "You have exceeded the rate at which you may call KMS. Reduce the frequency of your calls."
ACCOUNTS = itertools.count(300_000_000_001)


@pytest.fixture(scope="module")
def limited():
    """A dev server with AWS's quotas."""
    with servers.dev(None, "--quotas") as server:
        yield server


@pytest.fixture
def account(limited):
    return Account(limited, str(next(ACCOUNTS)))


def policy_of(action):
    statement = {"Effect": "Allow", "Action": action, "Resource": "*"}
    return json.dumps({"Version": "2012-10-17", "Statement": [statement]})


def codes(call, times):
    """What each of so many calls comes to: None, or the code of its error."""
    told = []
    for _ in range(times):
        try:
            call()
            told.append(None)
        except botocore.exceptions.ClientError as error:
            told.append(error.response["Error"]["Code"])
    return told


def test_dev_has_none_unless_asked(dev):
    account = Account(dev, str(next(ACCOUNTS)))
    assert codes(account.kms.create_key, 40) == [None] * 40


def test_create_key_is_throttled_with_the_text_of_aws(account):
    told = codes(account.kms.create_key, 40)
    assert told[:5] == [None] * 5
    assert THROTTLED in told
    assert set(told) == {None, THROTTLED}
    with pytest.raises(botocore.exceptions.ClientError) as raised:
        for _ in range(40):
            account.kms.create_key()
    error = raised.value.response
    assert error["Error"]["Message"] == TEXT
    assert error["ResponseMetadata"]["HTTPStatusCode"] == 400


def test_a_flood_leaves_another_account_its_rate(limited, account):
    other = Account(limited, str(next(ACCOUNTS)))
    with concurrent.futures.ThreadPoolExecutor(4) as pool:
        floods = [pool.submit(codes, account.kms.create_key, 50) for _ in range(4)]
        quiet = codes(other.kms.create_key, 5)
        told = [code for flood in floods for code in flood.result()]
    assert quiet == [None] * 5
    assert THROTTLED in told


def test_dry_runs_and_denied_calls_count(limited, account):
    key = account.create_key()
    data_key_pair = {"KeyId": key["Arn"], "KeyPairSpec": "RSA_4096", "DryRun": True}
    told = codes(lambda: account.kms.generate_data_key_pair(**data_key_pair), 20)
    assert told[0] == "DryRunOperationException"
    assert THROTTLED in told
    other = Account(limited, str(next(ACCOUNTS)))
    told = codes(lambda: other.kms.generate_data_key_pair(**data_key_pair), 20)
    assert told[0] == "AccessDeniedException"
    assert THROTTLED in told


def configured(directory, **settings):
    deployment = Deployment(directory)
    deployment.write_config(**settings)
    status, output = deployment.init()
    assert status == 0, output
    return deployment


def test_a_server_has_the_quotas_of_its_configuration(tmp_path):
    settings = {"quotas.requests": "true", "quotas.DescribeKey": "3", "quotas.keys": "4"}
    deployment = configured(tmp_path, **settings)
    with deployment.serve() as server:
        account = Account(server, deployment.account, **deployment.credentials())
        keys = [account.create_key() for _ in range(4)]
        told = codes(lambda: account.kms.describe_key(KeyId=keys[0]["KeyId"]), 30)
        assert told[:3] == [None] * 3
        assert THROTTLED in told
        # One more key than there may be, by a client that waits out what it is throttled.
        for _ in range(100):
            (code,) = codes(account.kms.create_key, 1)
            if code != THROTTLED:
                break
        assert code == "LimitExceededException"


def test_iam_and_sts_have_quotas_of_their_own(limited, account):
    text = policy_of("kms:ListKeys")

    def simulate(client):
        return lambda: client.simulate_custom_policy(PolicyInputList=[text], ActionNames=["kms:ListKeys"])

    told = codes(simulate(account.service("iam")), 30)
    assert told[:5] == [None] * 5
    assert set(told) == {None, "Throttling"}
    # IAM has one Region, whatever Region a request names.
    told = codes(simulate(account.service("iam", region="eu-north-1")), 10)
    told += codes(simulate(account.service("iam", region="sa-east-1")), 10)
    assert told.count("Throttling") > 5
    assert account.service("iam").list_users() and account.service("sts").get_caller_identity()


def test_sts_is_throttled_as_configured(tmp_path):
    rates = {"quotas.STS": "3", "quotas.IAM-writes": "2", "quotas.IAM-reads": "400"}
    deployment = configured(tmp_path, **{"quotas.requests": "true", **rates})
    with deployment.serve() as server:
        account = Account(server, deployment.account, **deployment.credentials())
        told = codes(account.service("sts").get_caller_identity, 30)
        assert told[:3] == [None] * 3
        assert set(told) == {None, "Throttling"}
        iam = account.service("iam")
        assert codes(iam.list_users, 30) == [None] * 30
        assert "Throttling" in codes(lambda: iam.delete_user(UserName="nobody"), 20)


def test_a_wrong_quota_is_told_with_its_line(tmp_path):
    deployment = Deployment(tmp_path)
    deployment.write_config(**{"quotas.Encrypt": "5"})
    status, output = deployment.init()
    assert status != 0
    assert "quotas.Encrypt is not a quota" in output
