"""Who may do what, as data: a row for each operation, transcribed from reference/operations.md and iam-sts.md by hand.

test_permissions_matrix.py checks every row against the server, and prints docs/PERMISSIONS.md from them. Nothing here
may be taken from the server's own tables."""

import dataclasses
import typing

from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import padding
from support.identities import ALLOW_KMS, trust, unique

# What somebody of another account gets.
BOTH_SIDES = "both sides"
NEVER = "never"
OWN_ACCOUNT = "own account"


@dataclasses.dataclass(frozen=True)
class Row:
    """An operation: the IAM action, what it is authorized on, and what crosses accounts.

    `prepare` makes what the call needs, as the root of the world's account, and answers the ARNs that a policy must
    allow and the call's arguments. `passes` names the errors that such a call may end in once it was allowed."""

    service: str
    operation: str
    resource: str
    across: str
    prepare: typing.Callable
    action: str = ""
    passes: tuple = ()
    # Which of several actions are asked on `*`.
    anywhere: tuple = ()
    # Whether a refusal gives no reason.
    unexplained: bool = False

    @property
    def actions(self):
        return (self.action or f"{self.service}:{self.operation}").split(" + ")

    @property
    def reads(self):
        return self.operation.startswith(("Get", "List", "Describe"))

    @property
    def elsewhere(self):
        """Errors of callers in whose account these names mean nothing, or something that the last caller made."""
        return ("EntityAlreadyExists", "NoSuchEntity", "NotFoundException", *self.passes)

    def __str__(self):
        return f"{self.service}-{self.operation}"


def words(name):
    """`GetUser` as boto3 spells it."""
    import botocore

    return botocore.xform_name(name)


# KMS


def on_key(spec="SYMMETRIC_DEFAULT", usage="ENCRYPT_DECRYPT", **more):
    """A fresh key, named by its ARN; arguments that are functions are given the world and the key's ARN."""

    def prepare(world):
        arn = world.key(spec, usage)
        return [arn], {"KeyId": arn, **{name: value(world, arn) for name, value in more.items()}}

    return prepare


def constant(value):
    return lambda world, arn: value


def ciphertext(world, arn):
    return world.kms.encrypt(KeyId=arn, Plaintext=b"plain")["CiphertextBlob"]


def signature(world, arn):
    answer = world.kms.sign(KeyId=arn, Message=b"m", SigningAlgorithm="ECDSA_SHA_256")
    return answer["Signature"]


def mac(world, arn):
    return world.kms.generate_mac(KeyId=arn, Message=b"m", MacAlgorithm="HMAC_SHA_256")["Mac"]


def public_key(world, arn):
    return world.kms.get_public_key(KeyId=world.key("ECC_NIST_P256", "KEY_AGREEMENT"))["PublicKey"]


def encapsulated(world, arn):
    answer = world.kms.encapsulate(KeyId=arn, EncapsulationAlgorithm="ML_KEM")
    return answer["SharedSecretCiphertextBlob"]


def key_policy(world, arn):
    return world.kms.get_key_policy(KeyId=arn)["Policy"]


def given(world, arn):
    """A grant of the key to somebody of another account."""
    return world.kms.create_grant(KeyId=arn, GranteePrincipal=world.other_root, Operations=["Decrypt"])["GrantId"]


def create_alias(world):
    alias, key = f"alias/{unique('made')}", world.key()
    return [key, world.alias_arn(alias)], {"AliasName": alias, "TargetKeyId": key}


def delete_alias(world):
    resources, made = create_alias(world)
    world.kms.create_alias(**made)
    return resources, {"AliasName": made["AliasName"]}


def update_alias(world):
    (old, alias), made = create_alias(world)
    world.kms.create_alias(**made)
    new = world.key()
    return [old, new, alias], {"AliasName": made["AliasName"], "TargetKeyId": new}


def disabled(world):
    arn = world.key()
    world.kms.disable_key(KeyId=arn)
    return [arn], {"KeyId": arn}


def pending(world):
    arn = world.key()
    world.kms.schedule_key_deletion(KeyId=arn, PendingWindowInDays=7)
    return [arn], {"KeyId": arn}


WRAPPING = {"WrappingAlgorithm": "RSAES_OAEP_SHA_256", "WrappingKeySpec": "RSA_2048"}


def external(world):
    arn = world.kms.create_key(Origin="EXTERNAL")["KeyMetadata"]["Arn"]
    return [arn], {"KeyId": arn}


def import_parameters(world):
    resources, named = external(world)
    return resources, {**named, **WRAPPING}


def wrapped_material(world):
    resources, named = external(world)
    given = world.kms.get_parameters_for_import(**named, **WRAPPING)
    oaep = padding.OAEP(padding.MGF1(hashes.SHA256()), hashes.SHA256(), None)
    wrapped = serialization.load_der_public_key(given["PublicKey"]).encrypt(bytes(32), oaep)
    forever = {"ExpirationModel": "KEY_MATERIAL_DOES_NOT_EXPIRE"}
    return resources, {**named, "ImportToken": given["ImportToken"], "EncryptedKeyMaterial": wrapped, **forever}


ELSEWHERE = "us-east-1"


def replicate(world):
    arn = world.kms.create_key(MultiRegion=True)["KeyMetadata"]["Arn"]
    return [arn], {"KeyId": arn, "ReplicaRegion": ELSEWHERE, "Tags": [TAG]}


def promote(world):
    (arn,), replicated = replicate(world)
    replica = world.kms.replicate_key(**replicated)["ReplicaKeyMetadata"]["Arn"]
    return [arn, replica], {"KeyId": arn, "PrimaryRegion": ELSEWHERE}


def re_encrypt(world):
    source, destination = world.key(), world.key()
    blob = ciphertext(world, source)
    named = {"SourceKeyId": source, "DestinationKeyId": destination}
    return [source, destination], {"CiphertextBlob": blob, **named}


def retire(world):
    arn = world.key()
    return [arn], {"KeyId": arn, "GrantId": given(world, arn)}


def anything(**arguments):
    return lambda world: (["*"], dict(arguments))


EC = ("ECC_NIST_P256", "SIGN_VERIFY")
AGREEMENT = ("ECC_NIST_P256", "KEY_AGREEMENT")
HMAC = ("HMAC_256", "GENERATE_VERIFY_MAC")
KEM = ("ML_KEM_768", "ENCAPSULATE_DECAPSULATE")
SIGNING = {"Message": constant(b"m"), "SigningAlgorithm": constant("ECDSA_SHA_256")}
MACS = {"Message": constant(b"m"), "MacAlgorithm": constant("HMAC_SHA_256")}
TAG = {"TagKey": "team", "TagValue": "blue"}
AES = {"KeySpec": constant("AES_256")}
PAIR = {"KeyPairSpec": constant("ECC_NIST_P256")}


def kms(operation, across, prepare, resource="key", **more):
    return Row("kms", operation, resource, across, prepare, **more)


KMS = [
    kms("CancelKeyDeletion", NEVER, pending),
    kms("CreateAlias", NEVER, create_alias, "alias, key"),
    kms(
        "CreateGrant",
        BOTH_SIDES,
        on_key(GranteePrincipal=lambda world, arn: world.other_root, Operations=constant(["Decrypt"])),
    ),
    kms("CreateKey", OWN_ACCOUNT, anything(), "*"),
    kms(
        "Decapsulate",
        BOTH_SIDES,
        on_key(*KEM, EncapsulationAlgorithm=constant("ML_KEM"), SharedSecretCiphertextBlob=encapsulated),
    ),
    kms("Decrypt", BOTH_SIDES, on_key(CiphertextBlob=ciphertext)),
    kms("DeleteAlias", OWN_ACCOUNT, delete_alias, "alias, key"),
    kms(
        "DeriveSharedSecret",
        BOTH_SIDES,
        on_key(*AGREEMENT, KeyAgreementAlgorithm=constant("ECDH"), PublicKey=public_key),
    ),
    kms("DescribeKey", BOTH_SIDES, on_key()),
    kms("DisableKey", NEVER, on_key()),
    kms("EnableKey", NEVER, disabled),
    kms("Encapsulate", BOTH_SIDES, on_key(*KEM, EncapsulationAlgorithm=constant("ML_KEM"))),
    kms("Encrypt", BOTH_SIDES, on_key(Plaintext=constant(b"plain"))),
    kms("GenerateDataKey", BOTH_SIDES, on_key(**AES)),
    kms("GenerateDataKeyPair", BOTH_SIDES, on_key(**PAIR)),
    kms("GenerateDataKeyPairWithoutPlaintext", BOTH_SIDES, on_key(**PAIR)),
    kms("GenerateDataKeyWithoutPlaintext", BOTH_SIDES, on_key(**AES)),
    kms("GenerateMac", BOTH_SIDES, on_key(*HMAC, **MACS)),
    kms("GenerateRandom", OWN_ACCOUNT, anything(NumberOfBytes=32), "*"),
    kms("GetKeyPolicy", NEVER, on_key()),
    kms("GetPublicKey", BOTH_SIDES, on_key(*EC)),
    kms("ListAliases", OWN_ACCOUNT, anything(), "*"),
    kms("ListGrants", BOTH_SIDES, on_key()),
    kms("ListKeyPolicies", NEVER, on_key()),
    kms("ListKeys", OWN_ACCOUNT, anything(), "*"),
    kms("ListResourceTags", NEVER, on_key()),
    kms(
        "ListRetirableGrants",
        OWN_ACCOUNT,
        lambda world: (["*"], {"RetiringPrincipal": world.root_arn}),
        "*",
    ),
    kms("PutKeyPolicy", NEVER, on_key(Policy=key_policy)),
    kms("ReEncrypt", BOTH_SIDES, re_encrypt, "both keys", action="kms:ReEncryptFrom + kms:ReEncryptTo"),
    kms("RetireGrant", OWN_ACCOUNT, retire, "key, by the account that made the grant", unexplained=True),
    kms("RevokeGrant", BOTH_SIDES, on_key(GrantId=given)),
    kms("ScheduleKeyDeletion", NEVER, on_key(PendingWindowInDays=constant(7))),
    kms("Sign", BOTH_SIDES, on_key(*EC, **SIGNING)),
    kms("TagResource", NEVER, on_key(Tags=constant([TAG]))),
    kms("UntagResource", NEVER, on_key(TagKeys=constant(["team"]))),
    kms("UpdateAlias", OWN_ACCOUNT, update_alias, "alias, both keys"),
    kms("UpdateKeyDescription", NEVER, on_key(Description=constant("d"))),
    kms("Verify", BOTH_SIDES, on_key(*EC, **SIGNING, Signature=signature)),
    kms("VerifyMac", BOTH_SIDES, on_key(*HMAC, **MACS, Mac=mac)),
]

KMS += [
    kms("DeleteImportedKeyMaterial", NEVER, external),
    kms("DisableKeyRotation", NEVER, on_key()),
    kms("EnableKeyRotation", NEVER, on_key()),
    kms("GetKeyLastUsage", NEVER, on_key()),
    kms("GetKeyRotationStatus", BOTH_SIDES, on_key()),
    kms("GetParametersForImport", NEVER, import_parameters),
    kms("ImportKeyMaterial", NEVER, wrapped_material),
    kms("ListKeyRotations", NEVER, on_key()),
    kms(
        "ReplicateKey",
        NEVER,
        replicate,
        "key; * for the replica and its tags",
        action="kms:ReplicateKey + kms:CreateKey + kms:TagResource",
        anywhere=("kms:CreateKey", "kms:TagResource"),
    ),
    kms("RotateKeyOnDemand", NEVER, on_key()),
    kms("UpdatePrimaryRegion", NEVER, promote, "key in both Regions"),
]
KMS.sort(key=lambda row: row.operation)

# Not built yet: refused for everybody, whatever policies say (test_not_built.py).
KMS_NOT_BUILT = [
    "ConnectCustomKeyStore",
    "CreateCustomKeyStore",
    "DeleteCustomKeyStore",
    "DescribeCustomKeyStores",
    "DisconnectCustomKeyStore",
    "UpdateCustomKeyStore",
]

# IAM

TAGS = [{"Key": "team", "Value": "blue"}]


class Thing:
    """A user, group, role, policy, provider or device of the world's account: how it is made and called."""

    def __init__(self, world, kind, make=True):
        self.world, self.kind, self.name = world, kind, unique(kind)
        iam, name = world.iam, self.name
        self.arn = f"arn:aws:iam::{world.number}:{kind}/{name}"
        self.parameter = {"user": "UserName", "group": "GroupName", "role": "RoleName"}.get(kind)
        if kind == "oidc-provider":
            self.arn = f"arn:aws:iam::{world.number}:oidc-provider/{name}.example.com"
        if not make:
            return
        if kind == "user":
            iam.create_user(UserName=name)
        elif kind == "group":
            iam.create_group(GroupName=name)
        elif kind == "role":
            iam.create_role(RoleName=name, AssumeRolePolicyDocument=trust({"AWS": world.root_arn}))
        elif kind == "policy":
            iam.create_policy(PolicyName=name, PolicyDocument=ALLOW_KMS)
        elif kind == "mfa":
            iam.create_virtual_mfa_device(VirtualMFADeviceName=name)
        else:
            iam.create_open_id_connect_provider(Url=f"https://{name}.example.com", ClientIDList=["one"])

    @property
    def named(self):
        return {self.parameter: self.name}


def on(kind, before=None, **more):
    """About a thing that is there. `before` prepares it and may answer further arguments."""
    parameters = {"policy": "PolicyArn", "mfa": "SerialNumber", "oidc-provider": "OpenIDConnectProviderArn"}

    def prepare(world):
        thing = Thing(world, kind)
        named = thing.named if thing.parameter else {parameters[kind]: thing.arn}
        found = before(world, thing) if before else None
        return [thing.arn], {**named, **more, **(found or {})}

    return prepare


def new(kind, parameter, **more):
    """About a thing that is not there yet."""

    def prepare(world):
        thing = Thing(world, kind, make=False)
        return [thing.arn], {parameter: thing.name, **more}

    return prepare


def new_provider(world):
    thing = Thing(world, "oidc-provider", make=False)
    return [thing.arn], {"Url": f"https://{thing.name}.example.com", "ClientIDList": ["one"]}


def managed(world, thing):
    return {"PolicyArn": Thing(world, "policy").arn}


def attached(world, thing):
    arn = managed(world, thing)["PolicyArn"]
    getattr(world.iam, f"attach_{thing.kind}_policy")(**thing.named, PolicyArn=arn)
    return {"PolicyArn": arn}


def inline(world, thing):
    put = getattr(world.iam, f"put_{thing.kind}_policy")
    put(**thing.named, PolicyName="inline", PolicyDocument=ALLOW_KMS)
    return {"PolicyName": "inline"}


def boundary(world, thing):
    return {"PermissionsBoundary": Thing(world, "policy").arn}


def bounded(world, thing):
    put = getattr(world.iam, f"put_{thing.kind}_permissions_boundary")
    put(**thing.named, **boundary(world, thing))


def tagged(world, thing):
    if thing.kind in ("user", "role"):
        getattr(world.iam, f"tag_{thing.kind}")(**thing.named, Tags=TAGS)


def member(world, thing):
    name = Thing(world, "user").name
    world.iam.add_user_to_group(GroupName=thing.name, UserName=name)
    return {"UserName": name}


def access_key(world, thing):
    return {"AccessKeyId": world.iam.create_access_key(UserName=thing.name)["AccessKey"]["AccessKeyId"]}


def second_version(world, thing):
    world.iam.create_policy_version(PolicyArn=thing.arn, PolicyDocument=ALLOW_KMS)


def key_last_used(world):
    user = Thing(world, "user")
    return [user.arn], access_key(world, user)


def account_alias(world):
    world.iam.create_account_alias(AccountAlias="the-account")
    return ["*"], {"AccountAlias": "the-account"}


def simulated(**more):
    def prepare(world):
        thing = Thing(world, "user")
        return [thing.arn], {"PolicySourceArn": thing.arn, **more}

    return prepare


def renamed(kind):
    def prepare(world):
        thing, later = Thing(world, kind), Thing(world, kind, make=False)
        return [thing.arn, later.arn], {**thing.named, f"New{thing.parameter}": later.name}

    return prepare


def iam(operation, resource, prepare, across=OWN_ACCOUNT, **more):
    return Row("iam", operation, resource, across, prepare, **more)


CODES = {"AuthenticationCode1": "000000", "AuthenticationCode2": "111111"}
WRONG_CODES = ("InvalidAuthenticationCode",)
ABSENT = ("NoSuchEntity",)
TRUST = trust({"AWS": "*"})


def device(world, thing):
    return {"SerialNumber": Thing(world, "mfa").arn}


def of_three(kind, title):
    """What users, groups and roles have alike."""
    document = {"PolicyName": "inline", "PolicyDocument": ALLOW_KMS}
    return [
        iam(f"Attach{title}Policy", kind, on(kind, managed)),
        iam(f"Detach{title}Policy", kind, on(kind, attached)),
        iam(f"ListAttached{title}Policies", kind, on(kind)),
        iam(f"Put{title}Policy", kind, on(kind, **document)),
        iam(f"Get{title}Policy", kind, on(kind, inline)),
        iam(f"List{title}Policies", kind, on(kind)),
        iam(f"Delete{title}Policy", kind, on(kind, inline)),
    ]


def of_two(kind, title):
    """What users and roles have alike."""
    return [
        iam(f"Put{title}PermissionsBoundary", kind, on(kind, boundary)),
        iam(f"Delete{title}PermissionsBoundary", kind, on(kind, bounded)),
    ]


def of_tags(kind, name, across=OWN_ACCOUNT):
    return [
        iam(f"Tag{name}", kind, on(kind, Tags=TAGS), across),
        iam(f"Untag{name}", kind, on(kind, tagged, TagKeys=["team"]), across),
        iam(f"List{name}Tags", kind, on(kind), across),
    ]


IAM = [
    iam("CreateUser", "user", new("user", "UserName")),
    iam("GetUser", "user", on("user")),
    iam("ListUsers", "*", anything()),
    iam("UpdateUser", "user, old and new", renamed("user")),
    iam("DeleteUser", "user", on("user")),
    iam("CreateGroup", "group", new("group", "GroupName")),
    iam("GetGroup", "group", on("group")),
    iam("ListGroups", "*", anything()),
    iam("UpdateGroup", "group, old and new", renamed("group")),
    iam("DeleteGroup", "group", on("group")),
    iam("AddUserToGroup", "group", on("group", lambda world, thing: {"UserName": Thing(world, "user").name})),
    iam("RemoveUserFromGroup", "group", on("group", member)),
    iam("ListGroupsForUser", "user", on("user")),
    iam("CreateAccessKey", "user", on("user")),
    iam("ListAccessKeys", "user", on("user")),
    iam("UpdateAccessKey", "user", on("user", access_key, Status="Inactive")),
    iam("DeleteAccessKey", "user", on("user", access_key)),
    iam("GetAccessKeyLastUsed", "user", key_last_used),
    iam("ListSSHPublicKeys", "user", on("user")),
    iam("ListSigningCertificates", "user", on("user")),
    iam("ListServiceSpecificCredentials", "user", on("user")),
    iam("GetLoginProfile", "user", on("user"), passes=ABSENT),
    iam("DeleteLoginProfile", "user", on("user"), passes=ABSENT),
    iam("CreateRole", "role", new("role", "RoleName", AssumeRolePolicyDocument=TRUST)),
    iam("GetRole", "role", on("role")),
    iam("ListRoles", "*", anything()),
    iam("UpdateRole", "role", on("role", Description="d")),
    iam("UpdateRoleDescription", "role", on("role", Description="d")),
    iam("UpdateAssumeRolePolicy", "role", on("role", PolicyDocument=TRUST)),
    iam("DeleteRole", "role", on("role")),
    iam("ListInstanceProfilesForRole", "role", on("role")),
    *of_three("user", "User"),
    *of_three("group", "Group"),
    *of_three("role", "Role"),
    *of_two("user", "User"),
    *of_two("role", "Role"),
    iam("CreatePolicy", "policy", new("policy", "PolicyName", PolicyDocument=ALLOW_KMS)),
    iam("GetPolicy", "policy", on("policy"), NEVER),
    iam("ListPolicies", "*", anything()),
    iam("CreatePolicyVersion", "policy", on("policy", PolicyDocument=ALLOW_KMS), NEVER),
    iam("GetPolicyVersion", "policy", on("policy", VersionId="v1"), NEVER),
    iam("ListPolicyVersions", "policy", on("policy"), NEVER),
    iam("SetDefaultPolicyVersion", "policy", on("policy", second_version, VersionId="v2"), NEVER),
    iam("DeletePolicyVersion", "policy", on("policy", second_version, VersionId="v2"), NEVER),
    iam("DeletePolicy", "policy", on("policy"), NEVER),
    iam("ListEntitiesForPolicy", "policy", on("policy"), NEVER),
    *of_tags("user", "User"),
    *of_tags("role", "Role"),
    *of_tags("policy", "Policy", NEVER),
    *of_tags("oidc-provider", "OpenIDConnectProvider", NEVER),
    *of_tags("mfa", "MFADevice", NEVER),
    iam("CreateOpenIDConnectProvider", "oidc-provider", new_provider),
    iam("GetOpenIDConnectProvider", "oidc-provider", on("oidc-provider"), NEVER),
    iam("ListOpenIDConnectProviders", "*", anything()),
    iam(
        "UpdateOpenIDConnectProviderThumbprint",
        "oidc-provider",
        on("oidc-provider", ThumbprintList=["0a" * 20]),
        NEVER,
    ),
    iam("AddClientIDToOpenIDConnectProvider", "oidc-provider", on("oidc-provider", ClientID="two"), NEVER),
    iam("RemoveClientIDFromOpenIDConnectProvider", "oidc-provider", on("oidc-provider", ClientID="one"), NEVER),
    iam("DeleteOpenIDConnectProvider", "oidc-provider", on("oidc-provider"), NEVER),
    iam("CreateVirtualMFADevice", "mfa", new("mfa", "VirtualMFADeviceName")),
    iam("EnableMFADevice", "user", on("user", device, **CODES), passes=WRONG_CODES),
    iam("ResyncMFADevice", "user", on("user", device, **CODES), passes=(*ABSENT, *WRONG_CODES)),
    iam("DeactivateMFADevice", "user", on("user", device), passes=ABSENT),
    iam("DeleteVirtualMFADevice", "mfa", on("mfa"), NEVER),
    iam("ListMFADevices", "user", on("user")),
    iam("ListVirtualMFADevices", "*", anything()),
    iam("GetMFADevice", "user", on("user", device), passes=ABSENT),
    iam("SimulatePrincipalPolicy", "user, group or role", simulated(ActionNames=["kms:Encrypt"]), NEVER),
    iam("GetContextKeysForPrincipalPolicy", "user, group or role", simulated(), NEVER),
    iam("SimulateCustomPolicy", "*", anything(ActionNames=["kms:Encrypt"], PolicyInputList=[ALLOW_KMS])),
    iam("GetContextKeysForCustomPolicy", "*", anything(PolicyInputList=[ALLOW_KMS])),
    iam("GetAccountSummary", "*", anything()),
    iam("GetAccountAuthorizationDetails", "*", anything()),
    iam("GetAccountPasswordPolicy", "*", anything(), passes=ABSENT),
    iam("CreateAccountAlias", "*", anything(AccountAlias="the-account")),
    iam("ListAccountAliases", "*", anything()),
    iam("DeleteAccountAlias", "*", account_alias),
]

# STS

# The action of calls that no policy governs.
NOTHING = "-"
# The action of the one call that nobody signs: the role's trust policy alone decides (test_web_identity.py).
TOKEN = "token"


def assume_role(world):
    role = Thing(world, "role")
    return [role.arn], {"RoleArn": role.arn, "RoleSessionName": "session"}


def federation(world):
    name = unique("f")
    return [f"arn:aws:sts::{world.number}:federated-user/{name}"], {"Name": name}


def sts(operation, resource, prepare, across=OWN_ACCOUNT, **more):
    return Row("sts", operation, resource, across, prepare, **more)


STS = [
    sts("GetCallerIdentity", "-", anything(), action=NOTHING),
    sts("GetSessionToken", "-", anything(), action=NOTHING),
    sts("AssumeRole", "role", assume_role, BOTH_SIDES, unexplained=True),
    sts("AssumeRoleWithWebIdentity", "role", anything(), BOTH_SIDES, action=TOKEN),
    sts("GetFederationToken", "federated-user", federation),
    sts("GetAccessKeyInfo", "*", anything(AccessKeyId="AKIAROOTROOTROOTROOT"), passes=("ValidationError",)),
    sts(
        "DecodeAuthorizationMessage",
        "*",
        anything(EncodedMessage="x"),
        passes=("InvalidAuthorizationMessageException",),
    ),
]
