"""AssumeRoleWithWebIdentity: roles for the bearers of tokens, and for nobody who bears a wrong one."""

import json
import time

import botocore
import botocore.config
import botocore.exceptions
import pytest
from support import server as servers
from support.aws import refused
from support.identities import unique
from support.issuer import Host, Issuer, Key, hmac_with, json64, text64, token
from support.people import ONE, SECRET, Person, allow, policy, role_of, root_of, user_of

ACTION = "sts:AssumeRoleWithWebIdentity"
NO_JWT = "The ID Token provided is not a valid JWT. (You may see this error if you sent an Access Token)"
NO_KEYS = (
    "Couldn't retrieve verification key from your identity provider,  please reference AssumeRoleWithWebIdentity "
    "documentation for requirements"
)


@pytest.fixture(scope="module")
def host():
    host = Host()
    yield host
    host.close()


@pytest.fixture(scope="module")
def enforcing(host):
    roots = ["--root", f"{ONE}={root_of(ONE)}:{SECRET}"]
    with servers.dev(None, "--enforce", *roots, "--allow-egress", f"127.0.0.1:{host.port}") as server:
        yield server


@pytest.fixture
def root(enforcing):
    return Person(enforcing, root_of(ONE), SECRET)


@pytest.fixture
def issuer(host, root):
    issuer = Issuer(host, unique("issuer"))
    issuer.arn = register(root, issuer)
    return issuer


def register(root, issuer, *clients):
    made = root.iam.create_open_id_connect_provider(Url=issuer.url, ClientIDList=clients or ["sts.amazonaws.com"])
    return made["OpenIDConnectProviderArn"]


def key_of(issuer, claim):
    return f"127.0.0.1{issuer.path}:{claim}"


def trusting(issuer, actions=ACTION, **condition):
    condition = condition or {"StringEquals": {key_of(issuer, "sub"): "someone"}}
    statement = {"Effect": "Allow", "Principal": {"Federated": issuer.arn}, "Action": actions, "Condition": condition}
    return policy(statement)


def anonymous(server):
    config = botocore.config.Config(
        signature_version=botocore.UNSIGNED, retries={"total_max_attempts": 1}, parameter_validation=False
    )
    return servers._session.client("sts", region_name=servers.REGION, endpoint_url=server.url, config=config)


def ask(root, role, given, name="session", **options):
    """Refusals above ten a second are turned away, so that nobody fills the audit log; they are tried again."""
    call = anonymous(root.server).assume_role_with_web_identity
    deadline = time.monotonic() + 20
    while True:
        try:
            return call(RoleArn=role["Arn"], RoleSessionName=name, WebIdentityToken=given, **options)
        except botocore.exceptions.ClientError as error:
            if error.response["Error"]["Code"] != "ServiceUnavailable" or time.monotonic() > deadline:
                raise
            time.sleep(0.1)


def unbelieved(message=None, code="InvalidIdentityToken", status=400):
    return refused(code, message, status)


def not_authorized(action=ACTION):
    return refused("AccessDenied", f"Not authorized to perform {action}", status=403)


def test_a_token_opens_a_role(root, issuer):
    role = role_of(root, trusting(issuer), allow("kms:*"), Path="/ci/")
    answer = ask(root, role, issuer.token())
    name = role["RoleName"]
    arn = f"arn:aws:sts::{ONE}:assumed-role/{name}/session"
    assert answer["AssumedRoleUser"] == {"Arn": arn, "AssumedRoleId": f"{role['RoleId']}:session"}
    assert answer["SubjectFromWebIdentityToken"] == "someone"
    assert (answer["Audience"], answer["Provider"]) == ("sts.amazonaws.com", issuer.arn)
    session = root.session(answer)
    assert session.who()[0] == arn
    assert session.kms.create_key()
    for subject in ("somebody", "someone else", "SOMEONE"):
        with not_authorized():
            ask(root, role, issuer.token(sub=subject))


def test_roles_that_do_not_trust_the_provider(root, issuer, host):
    user = user_of(root)
    missing = {"Arn": f"arn:aws:iam::{ONE}:role/no-such-role"}
    for_users = role_of(root, policy({"Effect": "Allow", "Principal": {"AWS": user.arn}, "Action": "sts:AssumeRole"}))
    everyone = role_of(root, policy({"Effect": "Allow", "Principal": "*", "Action": "sts:AssumeRole*"}))
    other = Issuer(host, unique("issuer"))
    other.arn = register(root, other)
    for role in (missing, for_users, everyone, role_of(root, trusting(other))):
        with not_authorized():
            ask(root, role, issuer.token())


@pytest.mark.parametrize("algorithm", ["RS256", "RS384", "RS512", "ES256", "ES384"])
def test_every_algorithm(root, host, algorithm):
    issuer = Issuer(host, unique("issuer"), [Key("decoy"), Key("two", algorithm)])
    issuer.arn = register(root, issuer)
    assert ask(root, role_of(root, trusting(issuer)), issuer.token(issuer.keys[1]))


def test_tokens_that_are_not_believed(root, issuer, host):
    role = role_of(root, trusting(issuer))
    good = issuer.token()
    head, claims, signature = good.split(".")
    now = int(time.time())
    key = issuer.keys[0]
    for rubbish in (
        "rubbish",
        "aa.bb",
        "a.b.c",
        "....",
        f"{head}.{claims}",
        f"{good}.{signature}",
        good + "=",
        "é" * 40,
    ):
        with unbelieved(NO_JWT):
            ask(root, role, rubbish)
    foreign = Key("one")
    public = hmac_with(key.pem)
    for wrong in (
        f"{head}.{claims}.",
        f"{head}.{claims}.{text64(bytes(256))}",
        f"{head}.{json64(issuer.claims(sub='other'))}.{signature}",
        f"{json64({'alg': 'none'})}.{claims}.",
        f"{json64({'alg': 'none', 'kid': 'one'})}.{claims}.{signature}",
        token(key, issuer.claims(), {"alg": "HS256"}, public),
        token(key, issuer.claims(), {"alg": "rs256"}),
        token(key, issuer.claims(), {"alg": None}),
        token(key, issuer.claims(), {"alg": "RS512"}),
        token(key, issuer.claims(), {"alg": "ES256"}),
        token(key, issuer.claims(), {"kid": "two"}),
        token(key, issuer.claims(), {"kid": 1}),
        token(key, issuer.claims(), {"crit": ["exp"]}),
        token(foreign, issuer.claims()),
        token(foreign, issuer.claims(), {"jwk": foreign.jwk, "jku": f"{issuer.url}/keys"}),
        token(key, b'{"iss":"%s","iss":"%s"}' % (issuer.url.encode(), issuer.url.encode())),
        token(key, json.dumps(issuer.claims())[:-1].encode() + b',"sub":"someone"}'),
        token(key, b"[]"),
        issuer.token(iat=None),
        issuer.token(exp=None),
        issuer.token(exp=str(now + 600)),
        issuer.token(exp=now + 600.5),
        issuer.token(sub=None),
        issuer.token(sub=7),
        issuer.token(sub=""),
        issuer.token(nbf=now + 900),
        issuer.token(iat=now + 900),
        issuer.token(nbf="soon"),
        issuer.token(aud=["sts.amazonaws.com", "other"]),
        issuer.token(aud=[]),
        issuer.token(aud=[1]),
        issuer.token(aud=None),
        issuer.token(azp="other"),
    ):
        with unbelieved():
            ask(root, role, wrong)
    with unbelieved("Incorrect token audience"):
        ask(root, role, issuer.token(aud="other"))
    expired = f"Token expired: current date/time {now}"
    with unbelieved(code="ExpiredTokenException") as caught:
        ask(root, role, issuer.token(iat=now - 1000, exp=now - 301))
    assert caught.value.response["Error"]["Message"].startswith(expired[:-3])
    for unknown in (
        f"{issuer.url}/x",
        "https://elsewhere.example",
        "http://127.0.0.1" + issuer.path,
        "127.0.0.1",
        "x" * 999,
    ):
        with unbelieved(f"No OpenIDConnect provider found in your account for {unknown[:255]}"):
            ask(root, role, issuer.token(iss=unknown))
    assert ask(root, role, issuer.token(exp=now - 200)) and ask(root, role, good)
    with refused("ValidationError"):
        ask(root, role, "x" * 20_001)
    with refused("ValidationError"):
        anonymous(root.server).assume_role_with_web_identity(RoleSessionName="session", WebIdentityToken=good)


def test_audiences_and_authorized_parties(root, host):
    issuer = Issuer(host, unique("issuer"))
    issuer.arn = register(root, issuer, "app", "sts.amazonaws.com")
    role = role_of(root, trusting(issuer, StringEquals={key_of(issuer, "aud"): "app"}))
    assert ask(root, role, issuer.token(aud="app"))
    assert ask(root, role, issuer.token(aud=["app"]))
    answer = ask(root, role, issuer.token(aud=["sts.amazonaws.com", "other"], azp="app"))
    assert answer["Audience"] == "app"
    with not_authorized():
        ask(root, role, issuer.token())
    root.iam.remove_client_id_from_open_id_connect_provider(OpenIDConnectProviderArn=issuer.arn, ClientID="app")
    with unbelieved("Incorrect token audience"):
        ask(root, role, issuer.token(aud="app"))


def test_conditions_on_claims(root, issuer):
    condition = {
        "StringLike": {key_of(issuer, "sub"): "repo:acme/*"},
        "StringEquals": {key_of(issuer, "environment"): "production", key_of(issuer, "protected"): "true"},
        "ForAnyValue:StringEquals": {key_of(issuer, "amr"): "second-factor"},
    }
    role = role_of(root, trusting(issuer, **condition))
    right = {
        "sub": "repo:acme/site",
        "environment": "production",
        "protected": True,
        "amr": ["password", "second-factor"],
    }
    assert ask(root, role, issuer.token(**right))
    for claim, wrong in (
        ("sub", "repo:other/site"),
        ("environment", "test"),
        ("environment", None),
        ("environment", {"a": "production"}),
        ("protected", False),
        ("environment", ["production", "test"]),
        ("amr", ["password"]),
        ("amr", None),
    ):
        with not_authorized():
            ask(root, role, issuer.token(**{**right, claim: wrong}))
    # Two claims that are one condition key leave open which counts.
    with not_authorized():
        ask(root, role, issuer.token(**right, Environment="test"))


def test_what_remains_of_the_claims(root, issuer):
    statements = [
        allow("kms:CreateKey", StringEquals={key_of(issuer, "sub"): "someone"}),
        allow("kms:ListKeys", StringEquals={key_of(issuer, "environment"): "production"}),
        allow("kms:ListAliases", StringEquals={"aws:FederatedProvider": issuer.arn}),
    ]
    role = role_of(root, trusting(issuer), *statements)
    session = root.session(ask(root, role, issuer.token(environment="production")))
    assert session.kms.create_key() and session.kms.list_aliases()
    with refused("AccessDeniedException"):
        session.kms.list_keys()


def test_claims_have_bounds_under_which_sessions_work(root, issuer):
    """Subjects have 255 bytes; what stays with a session must leave its token short enough to be used."""
    role = role_of(root, trusting(issuer, StringLike={key_of(issuer, "aud"): "*"}), allow("kms:ListKeys"))
    assert root.session(ask(root, role, issuer.token(sub="x" * 255))).kms.list_keys()
    with unbelieved("The claim sub is too long"):
        ask(root, role, issuer.token(sub="x" * 256))
    assert root.session(ask(root, role, issuer.token(amr=["x" * 100] * 30))).kms.list_keys()
    for long in (["x" * 100] * 42, "x" * 4_100, [""] * 1_100):
        with refused("PackedPolicyTooLarge"):
            ask(root, role, issuer.token(amr=long))
    # What does not stay may be long.
    assert root.session(ask(root, role, issuer.token(groups=["x" * 100] * 60))).kms.list_keys()


def test_session_policies_and_durations(root, issuer):
    role = role_of(root, trusting(issuer), allow("kms:*"), MaxSessionDuration=7200)
    answer = ask(root, role, issuer.token(), Policy=policy(allow("kms:ListKeys")), DurationSeconds=7200)
    session = root.session(answer)
    assert session.kms.list_keys()
    with refused("AccessDeniedException"):
        session.kms.create_key()
    with refused("ValidationError"):
        ask(root, role, issuer.token(), DurationSeconds=7201)


def test_tags_and_source_identity_come_from_the_token(root, issuer):
    actions = [ACTION, "sts:TagSession", "sts:SetSourceIdentity"]
    statement = allow("kms:CreateKey", StringEquals={"aws:PrincipalTag/team": "blue", "aws:SourceIdentity": "alice"})
    role, plain = role_of(root, trusting(issuer, actions), statement), role_of(root, trusting(issuer))
    tags = {"https://aws.amazon.com/tags": {"principal_tags": {"Team": ["blue"]}, "transitive_tag_keys": ["Team"]}}
    source = {"https://aws.amazon.com/source_identity": "alice"}
    answer = ask(root, role, issuer.token(**tags, **source))
    assert answer["SourceIdentity"] == "alice"
    assert root.session(answer).kms.create_key()
    with not_authorized("sts:TagSession"):
        ask(root, plain, issuer.token(**tags))
    with not_authorized("sts:SetSourceIdentity"):
        ask(root, plain, issuer.token(**source))
    for wrong in (
        {"https://aws.amazon.com/tags": []},
        {"https://aws.amazon.com/tags": {"principal_tags": {"Team": "blue"}}},
        {"https://aws.amazon.com/tags": {"principal_tags": {"Team": ["blue", "red"]}}},
        {"https://aws.amazon.com/tags": {"principal_tags": {"": ["blue"]}}},
        {"https://aws.amazon.com/source_identity": "a b"},
        {"https://aws.amazon.com/source_identity": ""},
    ):
        with unbelieved():
            ask(root, role, issuer.token(**wrong))


def test_keys_are_kept_and_unknown_ones_are_not_asked_for_at_once(root, issuer):
    """How long, and when a provider is asked again, is tested with a clock that moves (crates/iam)."""
    role = role_of(root, trusting(issuer))
    for _ in range(5):
        assert ask(root, role, issuer.token())
    issuer.keys.append(Key("two"))
    issuer.publish()
    for kid in ("two", "unknown"):
        with unbelieved(NO_KEYS):
            ask(root, role, issuer.token(issuer.keys[1], {"kid": kid}))
    assert issuer.asked() == 1 and issuer.asked("/.well-known/openid-configuration") == 1
    assert ask(root, role, issuer.token())


def test_providers_that_do_not_answer_as_they_should(root, host):
    def refused_by(change, **expected):
        issuer = Issuer(host, unique("issuer"))
        issuer.arn = register(root, issuer)
        change(issuer)
        with unbelieved(**expected):
            ask(root, role_of(root, trusting(issuer)), issuer.token())

    missing = {"message": NO_KEYS}
    discovery = "/.well-known/openid-configuration"
    refused_by(lambda one: one.put(discovery, {}, 404), **missing)
    refused_by(lambda one: one.put(discovery, b"{"), **missing)
    refused_by(lambda one: one.publish(issuer="https://127.0.0.1/other"), **missing)
    refused_by(lambda one: one.publish(jwks_uri="http://127.0.0.1/keys"), **missing)
    refused_by(lambda one: one.publish(jwks_uri="https://127.0.0.2/keys"), **missing)
    refused_by(lambda one: one.publish(jwks_uri="https://169.254.169.254/latest/meta-data"), **missing)
    refused_by(lambda one: one.publish(jwks_uri=7), **missing)
    refused_by(lambda one: one.put("/keys", {}, 302, Location=f"{one.url}/other"), **missing)
    refused_by(lambda one: one.put("/keys", b" " * 300_000), **missing)
    refused_by(lambda one: one.put("/keys", {"keys": "none"}), **missing)
    refused_by(lambda one: one.put("/keys", {"keys": [1, {}, {"kty": "oct", "k": "AA", "kid": "one"}]}), **missing)
    refused_by(lambda one: one.put("/keys", {"keys": [{**one.keys[0].jwk, "use": "enc"}]}), **missing)
    refused_by(lambda one: one.put("/keys", {"keys": [one.keys[0].jwk] * 2}), **missing)
    small = {"kty": "RSA", "kid": "one", "n": text64(b"\xff" * 64), "e": "AQAB"}
    refused_by(lambda one: one.put("/keys", {"keys": [small]}), message="The token's signature is invalid")


def test_a_provider_that_is_gone(root, issuer):
    role = role_of(root, trusting(issuer), allow("kms:ListKeys"))
    session = root.session(ask(root, role, issuer.token()))
    root.iam.delete_open_id_connect_provider(OpenIDConnectProviderArn=issuer.arn)
    with unbelieved(f"No OpenIDConnect provider found in your account for {issuer.url}"):
        ask(root, role, issuer.token())
    assert session.kms.list_keys()


def test_nothing_else_goes_without_a_signature(root):
    sts = anonymous(root.server)
    for call in (sts.get_caller_identity, sts.get_session_token):
        with refused("MissingAuthenticationToken", status=403):
            call()
    body = b"Action=AssumeRoleWithWebIdentity&Version=2011-06-15&Padding=" + b"x" * 70_000
    answer = root.server.request("POST", "/", body, {"Content-Type": "application/x-www-form-urlencoded"})
    assert answer.status == 413
    unsigned = root.server.request(
        "POST", "/", b"{}", {"Content-Type": "application/x-amz-json-1.1", "X-Amz-Target": "TrentService.ListKeys"}
    )
    assert unsigned.code == "MissingAuthenticationTokenException"


def test_shared_issuers_need_a_claim(root):
    name = "token.actions.githubusercontent.com"
    arn = root.iam.create_open_id_connect_provider(Url=f"https://{name}", ClientIDList=["sts.amazonaws.com"])
    statement = {
        "Effect": "Allow",
        "Principal": {"Federated": arn["OpenIDConnectProviderArn"]},
        "Action": ACTION,
        "Condition": {"StringEquals": {f"{name}:aud": "sts.amazonaws.com"}},
    }
    with refused("MalformedPolicyDocument"):
        role_of(root, policy(statement))
    statement["Condition"]["StringLike"] = {f"{name}:sub": "repo:acme/site:*"}
    assert role_of(root, policy(statement))
