"""STS GetCallerIdentity and the awsQuery protocol."""

import xml.etree.ElementTree as tree

import pytest
from support import server as servers

NAMESPACE = "{https://sts.amazonaws.com/doc/2011-06-15/}"


def query(account, text, method="POST", service="sts", **headers):
    import botocore.auth
    import botocore.awsrequest
    import botocore.credentials

    url = account.server.url + ("/?" + text if method == "GET" else "/")
    body = b"" if method == "GET" else text.encode()
    headers = {"Content-Type": "application/x-www-form-urlencoded; charset=utf-8", **headers}
    if method == "GET":
        headers.pop("Content-Type")
    request = botocore.awsrequest.AWSRequest(method, url, data=body, headers=headers)
    credentials = botocore.credentials.Credentials(account.number, "any")
    botocore.auth.SigV4Auth(credentials, service, servers.REGION).add_auth(request)
    return account.server.request(method, url.removeprefix(account.server.url), body, dict(request.headers.items()))


def test_get_caller_identity(aws):
    answer = aws.service("sts").get_caller_identity()
    assert (answer["Account"], answer["UserId"], answer["Arn"]) == (aws.number, aws.number, aws.root)


def test_sts_answers_whatever_the_region(account):
    for region in ("us-east-1", "eu-west-3"):
        assert account.service("sts", region=region).get_caller_identity()["Account"] == account.number


@pytest.mark.parametrize("method", ["GET", "POST"])
def test_the_xml_of_an_answer(account, method):
    answer = query(account, "Action=GetCallerIdentity&Version=2011-06-15", method)
    assert answer.status == 200 and answer.headers["content-type"].startswith("text/xml"), answer
    root = tree.fromstring(answer.body)
    assert root.tag == NAMESPACE + "GetCallerIdentityResponse"
    result = root.find(NAMESPACE + "GetCallerIdentityResult")
    assert [child.tag for child in result] == [NAMESPACE + name for name in ("Arn", "UserId", "Account")]
    request_id = root.findtext(f"{NAMESPACE}ResponseMetadata/{NAMESPACE}RequestId")
    assert request_id and request_id == answer.headers["x-amzn-requestid"]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("Action=Nonsense&Version=2011-06-15", "Could not find operation Nonsense for version 2011-06-15"),
        (
            "Action=GetCallerIdentity&Version=1999-01-01",
            "Could not find operation GetCallerIdentity for version 1999-01-01",
        ),
        ("Action=GetCallerIdentity", "Could not find operation GetCallerIdentity for version NO_VERSION_SPECIFIED"),
    ],
)
def test_unknown_actions(account, text, message):
    answer = query(account, text)
    assert answer.status == 400, answer
    root = tree.fromstring(answer.body)
    assert root.tag.endswith("}ErrorResponse")
    namespace = root.tag.removesuffix("ErrorResponse")
    assert root.findtext(f"{namespace}Error/{namespace}Code") == "InvalidAction"
    assert root.findtext(f"{namespace}Error/{namespace}Message") == message
    assert root.findtext(f"{namespace}Error/{namespace}Type") == "Sender"


def test_form_rubbish(account, chance):
    for text in [
        "",
        "&&&&",
        "=",
        "%",
        "%zz=%",
        "Action",
        "Action=GetCallerIdentity&" * 2000,
        "Action=%ff%fe&Version=x",
    ]:
        answer = query(account, text)
        assert 300 <= answer.status < 500, (text, answer)
    for _ in range(50):
        answer = query(account, chance.randbytes(80).decode("latin-1"))
        assert 300 <= answer.status < 500, answer


def test_unknown_and_repeated_parameters(account):
    answer = query(account, "Action=GetCallerIdentity&Version=2011-06-15&Unknown=1&Action=Nonsense")
    assert answer.status == 200


def test_access_key_operations_are_real_or_refused(account):
    """IAM's three operations decode in this release; they must not pretend to work."""
    iam = account.service("iam", region="us-east-1")
    for call in (iam.list_access_keys, iam.create_access_key):
        try:
            call()
        except iam.exceptions.ClientError as error:
            assert error.response["ResponseMetadata"]["HTTPStatusCode"] < 500
