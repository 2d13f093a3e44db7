"""`dev --enforce`: real credentials. Who signs wrongly, late, for elsewhere or not at all does not get in."""

import datetime
import json
import re
import urllib.parse

import botocore.auth
import botocore.awsrequest
import botocore.credentials
import pytest
from support import server as servers
from support.aws import Account, refused

NUMBER = "111122223333"
ACCESS_KEY = "AKIAIOSFODNN7EXAMPLE"
SECRET = "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY"
OTHER_NUMBER, OTHER_ACCESS_KEY, OTHER_SECRET = (
    "444455556666",
    "AKIAI44QH8DHBEXAMPLE",
    "je7MtGbClwBF/2Zp9Utk/h3yCo8nvbEXAMPLEKEY",
)
MISMATCH = (
    "The request signature we calculated does not match the signature you provided. Check your AWS Secret Access Key "
    "and signing method. Consult the service documentation for details."
)
INVALID_TOKEN = "The security token included in the request is invalid."


@pytest.fixture(scope="module")
def strict():
    roots = [f"{NUMBER}={ACCESS_KEY}:{SECRET}", f"{OTHER_NUMBER}={OTHER_ACCESS_KEY}:{OTHER_SECRET}"]
    options = [part for root in roots for part in ("--root", root)]
    with servers.dev(None, "--enforce", *options) as server:
        yield server


@pytest.fixture
def root(strict):
    """The first account's root; its number is not its access key, unlike without --enforce."""
    return Account(strict, NUMBER, account=ACCESS_KEY, secret=SECRET)


def ask(strict, body=None, operation="ListKeys", change=None, **options):
    options = {"account": ACCESS_KEY, "secret": SECRET, **options}
    return strict.signed(operation, {} if body is None else body, change=change, **options)


def rejected(answer, code, message=None, status=400):
    assert (answer.status, answer.code) == (status, code), answer
    if message is not None:
        assert answer.message == message


def test_the_roots_are_their_accounts(strict, root):
    key = root.create_key()
    assert key["Arn"].split(":")[4] == NUMBER
    other = Account(strict, OTHER_NUMBER, account=OTHER_ACCESS_KEY, secret=OTHER_SECRET)
    assert other.create_key()["AWSAccountId"] == OTHER_NUMBER
    with refused("AccessDeniedException"):
        other.kms.describe_key(KeyId=key["Arn"])


def test_a_wrong_secret(strict):
    rejected(ask(strict, secret="wrong"), "InvalidSignatureException", MISMATCH)
    rejected(ask(strict, secret=SECRET[:-1]), "InvalidSignatureException", MISMATCH)
    rejected(ask(strict, secret=OTHER_SECRET), "InvalidSignatureException", MISMATCH)


def test_an_unknown_access_key(strict):
    rejected(ask(strict, account="AKIAUNKNOWNUNKNOWN00"), "UnrecognizedClientException", INVALID_TOKEN)
    rejected(ask(strict, account=NUMBER), "UnrecognizedClientException", INVALID_TOKEN)


def test_a_session_token_that_nobody_issued(strict):
    rejected(ask(strict, token="token"), "UnrecognizedClientException", INVALID_TOKEN)


def test_no_signature(strict):
    headers = {"Content-Type": "application/x-amz-json-1.1", "X-Amz-Target": "TrentService.ListKeys"}
    answer = strict.request("POST", "/", b"{}", headers)
    rejected(answer, "MissingAuthenticationTokenException", status=answer.status)
    assert answer.status in (400, 403)


@pytest.mark.parametrize(
    "header",
    [
        "AWS4-HMAC-SHA256",
        "AWS4-HMAC-SHA256 Credential=x",
        "AWS4-HMAC-SHA256 Credential=x, SignedHeaders=host",
        "AWS4-HMAC-SHA256 SignedHeaders=host, Signature=00",
        "AWS4-HMAC-SHA256 Credential=a/20260101/eu-central-1/kms/aws4_request, SignedHeaders=host",
        "AWS4-HMAC-SHA256 " + "x" * 5000,
    ],
    ids=lambda header: header[:60],
)
def test_a_malformed_authorization_header(strict, header):
    def replace(headers):
        headers["Authorization"] = header

    rejected(ask(strict, change=replace), "IncompleteSignatureException")


@pytest.mark.parametrize("header", ["Basic dXNlcjpwYXNz", "Bearer token", "", "AWS4-ECDSA-P256-SHA256 Credential=x"])
def test_another_kind_of_authorization(strict, header):
    def replace(headers):
        headers["Authorization"] = header

    answer = ask(strict, change=replace)
    assert answer.status in (400, 403)
    assert answer.code in ("IncompleteSignatureException", "MissingAuthenticationTokenException"), answer


@pytest.mark.parametrize("position", [0, 31, 63])
def test_a_changed_signature(strict, position):
    def flip(headers):
        head, _, signature = headers["Authorization"].rpartition("=")
        digit = "0" if signature[position] != "0" else "1"
        headers["Authorization"] = f"{head}={signature[:position]}{digit}{signature[position + 1 :]}"

    rejected(ask(strict, change=flip), "InvalidSignatureException", MISMATCH)


def test_a_changed_body(strict):
    body = json.dumps({"Limit": 1}).encode()
    headers = servers.sign(strict.url, "ListKeys", body, ACCESS_KEY, SECRET)
    rejected(strict.request("POST", "/", body.replace(b"1", b"2"), headers), "InvalidSignatureException", MISMATCH)


def test_a_changed_target(strict, root):
    key_id = root.create_key()["KeyId"]

    def swap(headers):
        headers["X-Amz-Target"] = "TrentService.ScheduleKeyDeletion"

    rejected(ask(strict, {"KeyId": key_id}, "DescribeKey", swap), "InvalidSignatureException", MISMATCH)
    assert root.metadata(key_id)["KeyState"] == "Enabled"


def test_the_target_must_be_signed(strict, root):
    """A signature that does not cover the target could be used for any operation."""
    key_id = root.create_key()["KeyId"]
    body = json.dumps({"KeyId": key_id}).encode()
    headers = servers.sign(strict.url, "", body, ACCESS_KEY, SECRET, target="")
    headers["X-Amz-Target"] = "TrentService.ScheduleKeyDeletion"
    answer = strict.request("POST", "/", body, headers)
    assert answer.status == 400
    assert answer.code in ("InvalidSignatureException", "IncompleteSignatureException"), answer
    assert root.metadata(key_id)["KeyState"] == "Enabled"


def test_other_headers_may_be_added(strict):
    def add(headers):
        headers["X-Forwarded-For"] = "192.0.2.1"
        headers["User-Agent"] = "anything"

    assert ask(strict, change=add).status == 200


def test_a_signed_header_may_not_be_removed_or_changed(strict):
    def drop(headers):
        del headers["X-Amz-Meta"]

    def edit(headers):
        headers["X-Amz-Meta"] = "b"

    for change in (drop, edit):
        answer = ask(strict, extra={"X-Amz-Meta": "a"}, change=change)
        assert answer.status == 400
        assert answer.code in ("InvalidSignatureException", "IncompleteSignatureException"), answer
    assert ask(strict, extra={"X-Amz-Meta": "  a    b  "}).status == 200


def test_the_clock_may_be_five_minutes_off(strict):
    now = datetime.datetime.now(datetime.UTC)
    for minutes in (-4, 4):
        assert ask(strict, at=now + datetime.timedelta(minutes=minutes)).status == 200
    stamp = r"\d{8}T\d{6}Z"
    late = ask(strict, at=now - datetime.timedelta(minutes=20))
    rejected(late, "InvalidSignatureException")
    assert re.fullmatch(rf"Signature expired: {stamp} is now earlier than {stamp} \({stamp} - 5 min\.\)", late.message)
    early = ask(strict, at=now + datetime.timedelta(minutes=20))
    rejected(early, "InvalidSignatureException")
    assert re.fullmatch(
        rf"Signature not yet current: {stamp} is still later than {stamp} \({stamp} \+ 5 min\.\)", early.message
    )


def test_a_replayed_old_request(strict):
    """The date is under the signature: an old request cannot be made young."""
    old = datetime.datetime.now(datetime.UTC) - datetime.timedelta(days=1)

    def rejuvenate(headers):
        headers["X-Amz-Date"] = datetime.datetime.now(datetime.UTC).strftime("%Y%m%dT%H%M%SZ")

    answer = ask(strict, at=old, change=rejuvenate)
    assert answer.status == 400
    assert answer.code in ("InvalidSignatureException", "IncompleteSignatureException"), answer


def test_freshness_is_judged_by_the_wall_clock():
    """The movable clock moves the life of keys, not the life of signatures."""
    with servers.dev(None, "--enforce", "--root", f"{NUMBER}={ACCESS_KEY}:{SECRET}") as server:
        server.control("clock", {"advance": "400d"})
        account = Account(server, NUMBER, account=ACCESS_KEY, secret=SECRET)
        created = account.create_key()["CreationDate"]
        assert created > datetime.datetime.now(datetime.UTC) + datetime.timedelta(days=399)


def test_the_date_header_will_do(strict):
    assert ask(strict, extra={"Date": "placeholder"}).status == 200


def test_the_scope(strict):
    answer = ask(strict, service="s3")
    rejected(answer, "InvalidSignatureException", "Credential should be scoped to correct service: 'kms'.")
    answer = ask(strict, service="sts")
    assert answer.status in (400, 403) and answer.code in ("InvalidSignatureException", "SignatureDoesNotMatch")


def test_a_region_of_the_scope_is_the_region_of_the_key(root):
    for region in ("us-east-1", "ap-southeast-2"):
        assert root.in_region(region).create_key()["Arn"].split(":")[3] == region


def test_a_wrong_signature_and_an_unknown_key_leave_no_trace_of_a_call(strict, root):
    before = {key["KeyId"] for key in root.kms.list_keys(Limit=1000)["Keys"]}
    ask(strict, operation="CreateKey", secret="wrong")
    ask(strict, operation="CreateKey", account="AKIAUNKNOWNUNKNOWN00")
    assert {key["KeyId"] for key in root.kms.list_keys(Limit=1000)["Keys"]} == before


def presigned(strict, expires=300, secret=SECRET):
    """A presigned GetCallerIdentity, the form that Kubernetes and Vault use to prove who they are."""
    request = botocore.awsrequest.AWSRequest("GET", strict.url + "/?Action=GetCallerIdentity&Version=2011-06-15")
    credentials = botocore.credentials.Credentials(ACCESS_KEY, secret)
    botocore.auth.SigV4QueryAuth(credentials, "sts", servers.REGION, expires=expires).add_auth(request)
    parts = urllib.parse.urlsplit(request.url)
    return f"{parts.path}?{parts.query}"


def test_a_presigned_query(strict):
    answer = strict.request("GET", presigned(strict))
    assert answer.status == 200 and f"<Account>{NUMBER}</Account>".encode() in answer.body, answer


def test_a_presigned_query_that_is_wrong(strict):
    good = presigned(strict)
    for bad in [
        presigned(strict, secret="wrong"),
        good.replace("X-Amz-Signature=", "X-Amz-Signature=0"),
        good.replace("X-Amz-Expires=300", "X-Amz-Expires=301"),
        good.replace("Action=GetCallerIdentity", "Action=GetSessionToken"),
        good + "&X=1",
        presigned(strict, expires=10_000_000),
        presigned(strict, expires=-5),
    ]:
        answer = strict.request("GET", bad)
        assert answer.status in (400, 403) and b"<ErrorResponse" in answer.body, (bad, answer)


def test_without_enforcement_a_form_is_still_needed(account):
    """Any secret will do in plain dev, but the header must be there and whole."""
    assert account.signed("ListKeys", {}, secret="whatever").status == 200

    def spoil(headers):
        headers["Authorization"] = "AWS4-HMAC-SHA256 Credential=x"

    rejected(account.signed("ListKeys", {}, change=spoil), "IncompleteSignatureException")
