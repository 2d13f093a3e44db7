"""The table of reference/key-states.md, transcribed by hand: what each operation answers in each state of a key.

Nothing here may be taken from the server's own tables. test_key_states.py tries every cell."""

ENABLED, DISABLED = "Enabled", "Disabled"
PENDING, PENDING_REPLICAS, PENDING_IMPORT = "PendingDeletion", "PendingReplicaDeletion", "PendingImport"
STATES = (ENABLED, DISABLED, PENDING, PENDING_REPLICAS, PENDING_IMPORT)

# Columns of the reference that cannot occur here, and why.
NOT_HERE = {
    "Unavailable": "a state of keys in custom key stores, which are not built",
    "Creating": "shown in the answer of ReplicateKey only (DIFFERENCES.md)",
    "Updating": "over when UpdatePrimaryRegion answers (DIFFERENCES.md)",
}

# Operations that use no existing key, as the reference lists them.
WITHOUT_KEY = (
    "CreateKey",
    "GenerateRandom",
    "ListKeys",
    "ListRetirableGrants",
    "ConnectCustomKeyStore",
    "CreateCustomKeyStore",
    "DeleteCustomKeyStore",
    "DescribeCustomKeyStores",
    "DisconnectCustomKeyStore",
    "UpdateCustomKeyStore",
)

# Operation: Enabled, Disabled, PendingDeletion and PendingReplicaDeletion, PendingImport. The codes are the
# reference's. A name behind a dot tells two uses of one operation apart.
_TABLE = """
CancelKeyDeletion                   N4   N4        ok        N4
CreateAlias                         ok   ok        S3        ok
CreateGrant                         ok   D1        P         I5
Decapsulate                         ok   D1        P         I5
Decrypt                             ok   D1        P         I5
DeleteAlias                         ok   ok        ok        ok
DeleteImportedKeyMaterial           ext  ext       ext       ok
DeriveSharedSecret                  ok   D1        P         I5
DescribeKey                         ok   ok        ok        ok
DisableKey                          ok   ok        S3        I5
DisableKeyRotation                  cks  D1|UNS    S3|UNS    E6
EnableKey                           ok   ok        S3        I5
EnableKeyRotation                   cks  D1|UNS    S3|UNS    E6
Encapsulate                         ok   D1        P         I5
Encrypt                             ok   D1        P         I5
GenerateDataKey                     ok   D1        P         I5
GenerateDataKeyWithoutPlaintext     ok   D1        P         I5
GenerateDataKeyPair                 ok   D1        P         I5
GenerateDataKeyPairWithoutPlaintext ok   D1        P         I5
GenerateMac                         ok   D1        P         I5
GetKeyLastUsage                     ok   ok        ok        ok
GetKeyPolicy                        ok   ok        ok        ok
GetKeyRotationStatus                cks  cks       cks       E6
GetParametersForImport              ext  ext       S3|UNS    ok
GetPublicKey                        ok   ok        P         note4
ImportKeyMaterial                   ext  ext       S3|UNS    ok
ListAliases                         ok   ok        ok        ok
ListGrants                          ok   ok        ok        ok
ListKeyPolicies                     ok   ok        ok        ok
ListKeyRotations                    cks  cks       cks       ok
ListResourceTags                    ok   ok        ok        ok
PutKeyPolicy                        ok   ok        ok        ok
ReEncrypt.From                      ok   D1        P         I5
ReEncrypt.To                        ok   D1        P         I5
ReplicateKey                        ok   D1        P         I5
RetireGrant                         ok   ok        ok        ok
RevokeGrant                         ok   ok        ok        ok
RotateKeyOnDemand                   cks  D1|UNS    S3|UNS    I5
ScheduleKeyDeletion                 ok   ok        S3        ok
Sign                                ok   D1        P         I5
TagResource                         ok   ok        S3        ok
UntagResource                       ok   ok        S3        ok
UpdateAlias.Away                    ok   ok        ok        ok
UpdateAlias.To                      ok   ok        S3        ok
UpdateKeyDescription                ok   ok        S3        ok
UpdatePrimaryRegion                 ok   D1        P         I5
Verify                              ok   D1        P         I5
VerifyMac                           ok   D1        P         I5
"""
# Refused for everybody until they are built (test_not_built.py): rows to leave out.
NOT_BUILT = ()

TABLE = {line.split()[0]: line.split()[1:] for line in _TABLE.strip().splitlines()}
TABLE = {operation: codes for operation, codes in TABLE.items() if operation not in NOT_BUILT}

INVALID, UNSUPPORTED = "KMSInvalidStateException", "UnsupportedOperationException"
TEXTS = {
    "D1": ("DisabledException", "{arn} is disabled."),
    "N4": (INVALID, "{arn} is not pending deletion."),
    "I5": (INVALID, "{arn} is pending import."),
    "E6": (UNSUPPORTED, "{arn} origin is EXTERNAL which is not valid for this operation."),
    "OWN": (UNSUPPORTED, "{arn} origin is AWS_KMS which is not valid for this operation."),
    "UNS": (UNSUPPORTED, None),
    PENDING: (INVALID, "{arn} is pending deletion."),
    PENDING_REPLICAS: (INVALID, "{arn} is pending replica deletion."),
}

# The kinds of key: spec, usage. Each operation is tried with the first kind that it is for.
KINDS = {
    "symmetric": ("SYMMETRIC_DEFAULT", "ENCRYPT_DECRYPT"),
    "signing": ("ECC_NIST_P256", "SIGN_VERIFY"),
    "agreement": ("ECC_NIST_P256", "KEY_AGREEMENT"),
    "hmac": ("HMAC_256", "GENERATE_VERIFY_MAC"),
    "kem": ("ML_KEM_512", "ENCAPSULATE_DECAPSULATE"),
}
NATURAL = {
    **dict.fromkeys(("Sign", "Verify", "GetPublicKey"), "signing"),
    "DeriveSharedSecret": "agreement",
    **dict.fromkeys(("GenerateMac", "VerifyMac"), "hmac"),
    **dict.fromkeys(("Encapsulate", "Decapsulate"), "kem"),
}
ROTATION = ("DisableKeyRotation", "EnableKeyRotation", "GetKeyRotationStatus", "ListKeyRotations", "RotateKeyOnDemand")
IMPORT = ("DeleteImportedKeyMaterial", "GetParametersForImport", "ImportKeyMaterial")
OF_PRIMARIES = ("ReplicateKey", "UpdatePrimaryRegion")
# Replicas and grants are made of a key that has its material, which goes later.
NEEDS_A_PAST = (*OF_PRIMARIES, "RetireGrant", "RevokeGrant")

# How a key came to wait for its material.
FRESH, DELETED, EXPIRED = "fresh", "deleted", "expired"

# Combinations that cannot occur, and why.
IMPOSSIBLE = {
    ("kem", PENDING_IMPORT): "ML-KEM keys take no imported material",
}

# Cells that differ from the reference, each with a line in DIFFERENCES.md.
DIFFERENT = {
    # The public half goes with the material.
    ("GetPublicKey", PENDING_IMPORT): "I5",
}


def cells():
    """Every cell, with the keys to try it on: (operation, state, kind, origin, way to PendingImport)."""
    for operation in TABLE:
        for state in STATES:
            kind = NATURAL.get(operation, "symmetric")
            if (kind, state) in IMPOSSIBLE:
                continue
            if state == PENDING_IMPORT:
                ways = (DELETED, EXPIRED) if operation in NEEDS_A_PAST else (FRESH, DELETED, EXPIRED)
                yield from ((operation, state, kind, "EXTERNAL", way) for way in ways)
                continue
            yield operation, state, kind, "AWS_KMS", None
            if operation in ROTATION + IMPORT:
                yield operation, state, kind, "EXTERNAL", None
            if operation in ROTATION and state != PENDING_REPLICAS:
                yield operation, state, "hmac", "AWS_KMS", None
                yield operation, state, "signing", "AWS_KMS", None


def expected(operation, state, kind, origin):
    """The error and its text, with {arn} for the key's; None where the call is to succeed."""
    if (operation, state) in DIFFERENT:
        return TEXTS[DIFFERENT[operation, state]]
    columns = {ENABLED: 0, DISABLED: 1, PENDING: 2, PENDING_REPLICAS: 2, PENDING_IMPORT: 3}
    code = TABLE[operation][columns[state]]
    external = origin == "EXTERNAL"
    if operation in ROTATION and kind != "symmetric":
        # A key that cannot rotate says so when asked for its status (Terraform asks it of every key).
        return None if operation == "GetKeyRotationStatus" else TEXTS["UNS"]
    if operation in ("EnableKeyRotation", "DisableKeyRotation", "GetKeyRotationStatus") and external:
        return TEXTS["E6"]
    if operation in IMPORT and not external:
        return TEXTS["OWN"]
    code = code.removesuffix("|UNS")
    if code in ("ok", "cks", "ext"):
        return None
    return TEXTS[state if code in ("P", "S3") else code]
