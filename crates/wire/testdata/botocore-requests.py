"""Writes botocore-requests.txt: one request of every operation with every member, by botocore's own serializers.

Run with botocore 1.44.5 installed: python3 botocore-requests.py botocore-requests.txt
"""

import datetime
import pathlib
import re
import sys
import urllib.parse

import botocore
import botocore.serialize
import botocore.session

CODEGEN = pathlib.Path(__file__).resolve().parents[2] / "xtask/src/codegen.rs"


def chosen(service):
    """The operations of a service that code is generated for; none is all of them."""
    text = CODEGEN.read_text()
    selection = re.search(rf'service: "{service}",.*?operations: &\[(.*?)\]', text, re.DOTALL)
    return re.findall(r'"(\w+)"', selection[1])


SERVICES = ["kms", "iam", "sts"]

# Values that hold the patterns of their shapes, and some that need care in an encoding.
SAMPLES = {
    "AccountIdType": "111111111111",
    "BackingKeyIdType": "0" * 64,
    "CloudHsmClusterIdType": "cluster-abcdefghijk",
    "EncryptionContextValue": "v\t\"\u00e9\U0001d11e",
    "GrantConstraintSourceArnType": "arn:aws:s3:eu-central-1:111122223333:bucket",
    "KeyIdType": "alias/ key&\"\u00e9\n\u2028",
    "KeyStorePasswordType": "p&\"\\ssword",
    "PolicyNameType": "default",
    "RegionType": "eu-central-1",
    "ServicePrincipalType": "a.amazonaws.com",
    "TagValueType": "",
    "XksProxyAuthenticationAccessKeyIdType": "A" * 20,
    "XksProxyAuthenticationRawSecretAccessKeyType": "a/+=" * 11,
    "XksProxyUriEndpointType": "https://xks.example.com",
    "XksProxyUriPathType": "/kms/xks/v1",
    "XksProxyVpcEndpointServiceNameType": "com.amazonaws.vpce.us-east-1.vpce-svc-0a1b",
    "OpenIDConnectProviderUrlType": "https://issuer.example.com/id",
    "accessKeyIdType": "AKIAIOSFODNN7EXAMPLE",
    "accountAliasType": "a-b-c",
    "arnType": "arn:aws:iam::111122223333:policy/a+b",
    "authenticationCodeType": "012345",
    "existingUserNameType": "a+b@c=d",
    "pathPrefixType": "/a&b/",
    "pathType": "/a&b=c+d/",
    "policyDocumentType": '{ "a":\t"b+c%20&\u00e9"}\n',
    "policyPathType": "/a+b/c/",
    "policyVersionIdType": "v12",
    "serialNumberType": "arn:aws:iam::111122223333:mfa/a+b",
    "tagKeyType": "Team \u00e9\u65e5:/=+",
    "tagValueType": "",
    "thumbprintType": "0a" * 20,
    "tokenCodeType": "012345",
}


def sample(shape):
    if shape.name in SAMPLES:
        return SAMPLES[shape.name]
    kind = shape.type_name
    if kind == "structure":
        return {name: sample(member) for name, member in shape.members.items()}
    if kind == "list":
        return [sample(shape.member)] * 2
    if kind == "map":
        return {"k": sample(shape.value), "another key": "x"}
    if kind == "string":
        return shape.enum[-1] if shape.enum else "abcdefg"
    if kind == "blob":
        return bytes([250, 251, 252, 253, 254, 255, 0, 1])
    if kind == "integer":
        return shape.metadata["max"]
    if kind == "boolean":
        return True
    if kind == "timestamp":
        return datetime.datetime(2026, 1, 2, 3, 4, 5, 678000, tzinfo=datetime.timezone.utc)
    raise ValueError(kind)


def main():
    if botocore.__version__ != "1.44.5":
        raise SystemExit(f"botocore {botocore.__version__} is not the version of the models")
    session = botocore.session.get_session()
    with open(sys.argv[1], "w", encoding="utf-8") as output:
        for service in SERVICES:
            model = session.get_service_model(service)
            serializer = botocore.serialize.create_serializer(model.metadata["protocol"], include_validation=False)
            for name in chosen(service) or model.operation_names:
                operation = model.operation_model(name)
                parameters = sample(operation.input_shape) if operation.input_shape else {}
                body = serializer.serialize_to_request(parameters, operation)["body"]
                if isinstance(body, dict):
                    body = urllib.parse.urlencode(body)
                if isinstance(body, bytes):
                    body = body.decode()
                output.write(f"{service} {name} {body}\n")


main()
