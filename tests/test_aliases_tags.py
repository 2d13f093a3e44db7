"""The alias operations (lifecycle.md section 4) and the tag operations."""

import pytest
from support.aws import ABSENT_ID, must_not_be_null, pages, refused, violation

PREFIX_TEXT = (
    'Alias must start with the prefix "alias/". Please see '
    "https://docs.aws.amazon.com/kms/latest/developerguide/kms-alias.html"
)
RESERVED_TAG = "Tags beginning with aws: are reserved"


def aliases(account, **filters):
    """The account's own aliases; AWS lists predefined ones of services as well."""
    listed = pages(account.kms.list_aliases, "Aliases", Limit=100, **filters)
    return {a["AliasName"]: a for page in listed for a in page if not a["AliasName"].startswith("alias/aws/")}


def test_life_of_an_alias(aws):
    first, second = aws.create_key()["KeyId"], aws.create_key()["KeyId"]
    answer = aws.kms.create_alias(AliasName="alias/app/main_1", TargetKeyId=first)
    assert set(answer) == {"ResponseMetadata"}
    entry = aliases(aws)["alias/app/main_1"]
    assert entry["AliasArn"] == aws.alias_arn("alias/app/main_1")
    assert entry["TargetKeyId"] == first
    assert entry["CreationDate"] == entry["LastUpdatedDate"]
    assert set(entry) == {"AliasName", "AliasArn", "TargetKeyId", "CreationDate", "LastUpdatedDate"}

    aws.kms.update_alias(AliasName="alias/app/main_1", TargetKeyId=aws.key_arn(second))
    moved = aliases(aws)["alias/app/main_1"]
    assert moved["TargetKeyId"] == second and moved["CreationDate"] == entry["CreationDate"]
    assert moved["LastUpdatedDate"] >= entry["LastUpdatedDate"]
    assert aws.metadata("alias/app/main_1")["KeyId"] == second

    aws.kms.delete_alias(AliasName="alias/app/main_1")
    assert aliases(aws) == {}
    with refused("NotFoundException", f"Alias {aws.alias_arn('alias/app/main_1')} is not found."):
        aws.metadata("alias/app/main_1")
    aws.kms.create_alias(AliasName="alias/app/main_1", TargetKeyId=second)


def test_an_alias_name_is_unique_in_account_and_region(aws):
    key_id = aws.create_key()["KeyId"]
    aws.kms.create_alias(AliasName="alias/one", TargetKeyId=key_id)
    with refused("AlreadyExistsException", f"An alias with the name {aws.alias_arn('alias/one')} already exists"):
        aws.kms.create_alias(AliasName="alias/one", TargetKeyId=key_id)
    aws.kms.create_alias(AliasName="alias/One", TargetKeyId=key_id)
    elsewhere = aws.in_region("us-east-1")
    elsewhere.kms.create_alias(AliasName="alias/one", TargetKeyId=elsewhere.create_key()["KeyId"])
    assert sorted(aliases(aws)) == ["alias/One", "alias/one"]


def test_alias_names(account):
    key_id = account.create_key()["KeyId"]
    create = account.kms.create_alias
    for name in ("one", "Alias/one", "aliasone", "alias"):
        with refused("ValidationException", PREFIX_TEXT):
            create(AliasName=name, TargetKeyId=key_id)
    with refused("ValidationException", "alias/a:b contains invalid characters for an alias"):
        create(AliasName="alias/a:b", TargetKeyId=key_id)
    for name in ("alias/a b", "alias/ä", "alias/a*", "alias/a\n"):
        pattern = "Member must satisfy regular expression pattern: ^[a-zA-Z0-9:/_-]+$"
        with refused("ValidationException", violation(name, "aliasName", pattern)):
            create(AliasName=name, TargetKeyId=key_id)
    name = "alias/" + "a" * 251
    rule = "Member must have length less than or equal to 256"
    with refused("ValidationException", violation(name, "aliasName", rule)):
        create(AliasName=name, TargetKeyId=key_id)
    create(AliasName="alias/" + "a" * 250, TargetKeyId=key_id)
    with refused("ValidationException", must_not_be_null("aliasName")):
        create(TargetKeyId=key_id)
    with refused("ValidationException", must_not_be_null("targetKeyId")):
        create(AliasName="alias/x")
    with pytest.raises(account.kms.exceptions.ClientError):
        create(AliasName="alias/", TargetKeyId=key_id)


@pytest.mark.parametrize("method", ["create_alias", "update_alias", "delete_alias"])
def test_names_of_aws_services_are_reserved(account, method):
    target = {} if method == "delete_alias" else {"TargetKeyId": account.create_key()["KeyId"]}
    with refused("NotAuthorizedException", ""):
        getattr(account.kms, method)(AliasName="alias/aws/ebs", **target)


@pytest.mark.parametrize("method", ["create_alias", "update_alias"])
def test_alias_targets(account, method):
    key_id = account.create_key()["KeyId"]
    account.kms.create_alias(AliasName="alias/held", TargetKeyId=key_id)
    change = getattr(account.kms, method)
    name = "alias/held" if method == "update_alias" else "alias/new"
    for target in ("alias/held", account.alias_arn("alias/held")):
        with refused("ValidationException", "Aliases must refer to keys. Not aliases"):
            change(AliasName=name, TargetKeyId=target)
    with refused("NotFoundException", f"Key '{account.key_arn(ABSENT_ID)}' does not exist"):
        change(AliasName=name, TargetKeyId=ABSENT_ID)
    with refused("NotFoundException", "Invalid keyId 'nonsense'"):
        change(AliasName=name, TargetKeyId="nonsense")
    assert aliases(account)["alias/held"]["TargetKeyId"] == key_id and len(aliases(account)) == 1


def test_an_absent_alias_is_not_found(account):
    key_id = account.create_key()["KeyId"]
    text = f"Alias {account.alias_arn('alias/absent')} is not found."
    with refused("NotFoundException", text):
        account.kms.delete_alias(AliasName="alias/absent")
    with refused("NotFoundException", text):
        account.kms.update_alias(AliasName="alias/absent", TargetKeyId=key_id)


def test_list_aliases_of_one_key(aws):
    keys = [aws.create_key()["KeyId"] for _ in range(2)]
    for number in range(6):
        aws.kms.create_alias(AliasName=f"alias/n{number}", TargetKeyId=keys[number % 2])
    for name in (keys[0], aws.key_arn(keys[0])):
        found = pages(aws.kms.list_aliases, "Aliases", KeyId=name, Limit=2)
        assert sorted(a["AliasName"] for page in found for a in page) == ["alias/n0", "alias/n2", "alias/n4"]
        assert all(len(page) <= 2 for page in found)
    assert aws.kms.list_aliases(KeyId=aws.create_key()["KeyId"])["Aliases"] == []
    with refused("NotFoundException", f"Key '{aws.key_arn(ABSENT_ID)}' does not exist"):
        aws.kms.list_aliases(KeyId=ABSENT_ID)


def test_list_aliases_pages(account):
    key_ids = [account.create_key()["KeyId"] for _ in range(3)]
    names = {f"alias/{number:03}" for number in range(120)}
    for number, name in enumerate(sorted(names)):
        account.kms.create_alias(AliasName=name, TargetKeyId=key_ids[number % 3])
    assert len(account.kms.list_aliases()["Aliases"]) <= 50
    found = [a["AliasName"] for page in pages(account.kms.list_aliases, "Aliases") for a in page]
    assert len(found) == len(set(found)) and names <= set(found)
    with refused("InvalidMarkerException"):
        account.kms.list_aliases(Marker="nonsense")


def test_fifty_aliases_per_key(account):
    key_id = account.create_key()["KeyId"]
    for number in range(50):
        account.kms.create_alias(AliasName=f"alias/{number}", TargetKeyId=key_id)
    with refused("LimitExceededException"):
        account.kms.create_alias(AliasName="alias/more", TargetKeyId=key_id)
    account.kms.delete_alias(AliasName="alias/7")
    account.kms.create_alias(AliasName="alias/more", TargetKeyId=key_id)


def tags(account, key_id):
    return {tag["TagKey"]: tag["TagValue"] for tag in account.kms.list_resource_tags(KeyId=key_id)["Tags"]}


def test_life_of_tags(aws):
    key_id = aws.create_key()["KeyId"]
    assert tags(aws, key_id) == {}
    aws.kms.tag_resource(KeyId=key_id, Tags=[{"TagKey": "a", "TagValue": "1"}, {"TagKey": "B", "TagValue": ""}])
    aws.kms.tag_resource(
        KeyId=aws.key_arn(key_id), Tags=[{"TagKey": "a", "TagValue": "2"}, {"TagKey": "b", "TagValue": "ü"}]
    )
    assert tags(aws, key_id) == {"a": "2", "B": "", "b": "ü"}
    aws.kms.untag_resource(KeyId=key_id, TagKeys=["a", "absent"])
    assert tags(aws, key_id) == {"B": "", "b": "ü"}
    aws.kms.untag_resource(KeyId=key_id, TagKeys=["a"])
    assert tags(aws, key_id) == {"B": "", "b": "ü"}


def test_list_resource_tags_pages(account):
    made = [{"TagKey": f"k{number:02}", "TagValue": str(number)} for number in range(50)]
    key_id = account.create_key(Tags=made)["KeyId"]
    found = pages(account.kms.list_resource_tags, "Tags", KeyId=key_id, Limit=7)
    assert all(len(page) <= 7 for page in found)
    assert sorted((tag for page in found for tag in page), key=lambda tag: tag["TagKey"]) == made
    assert len(account.kms.list_resource_tags(KeyId=key_id)["Tags"]) == 50


def test_fifty_tags_per_key(account):
    key_id = account.create_key(Tags=[{"TagKey": f"k{n}", "TagValue": ""} for n in range(50)])["KeyId"]
    with pytest.raises(account.kms.exceptions.ClientError) as caught:
        account.kms.tag_resource(KeyId=key_id, Tags=[{"TagKey": "more", "TagValue": ""}])
    assert caught.value.response["Error"]["Code"] in ("TagException", "LimitExceededException")
    account.kms.tag_resource(KeyId=key_id, Tags=[{"TagKey": "k7", "TagValue": "replaced"}])
    assert len(tags(account, key_id)) == 50 and tags(account, key_id)["k7"] == "replaced"


def test_tag_refusals(account):
    key_id = account.create_key()["KeyId"]
    duplicate = [{"TagKey": "a", "TagValue": "1"}, {"TagKey": "a", "TagValue": "2"}]
    with refused("TagException", "Duplicate tag keys"):
        account.kms.tag_resource(KeyId=key_id, Tags=duplicate)
    for name in ("aws:x", "AWS:x", "aws:"):
        with refused("TagException", RESERVED_TAG):
            account.kms.tag_resource(KeyId=key_id, Tags=[{"TagKey": name, "TagValue": ""}])
    assert tags(account, key_id) == {}
    with refused("ValidationException", must_not_be_null("tags")):
        account.kms.tag_resource(KeyId=key_id)
    with refused("ValidationException", must_not_be_null("tags.1.member.tagValue")):
        account.kms.tag_resource(KeyId=key_id, Tags=[{"TagKey": "a"}])
    with refused("ValidationException", must_not_be_null("tagKeys")):
        account.kms.untag_resource(KeyId=key_id)


@pytest.mark.parametrize("place", ["CreateKey", "TagResource"])
def test_tag_lengths(account, place):
    key_id = account.create_key()["KeyId"]

    def put(tags):
        if place == "CreateKey":
            return account.create_key(Tags=tags)
        return account.kms.tag_resource(KeyId=key_id, Tags=tags)

    put([{"TagKey": "k" * 128, "TagValue": "v" * 256}])
    good = {"TagKey": "good", "TagValue": ""}
    long_key, long_value = "k" * 129, "v" * 257
    rule = "Member must have length less than or equal to"
    with refused("ValidationException", violation(long_key, "tags.1.member.tagKey", f"{rule} 128")):
        put([{"TagKey": long_key, "TagValue": ""}])
    with refused("ValidationException", violation(long_value, "tags.2.member.tagValue", f"{rule} 256")):
        put([good, {"TagKey": "a", "TagValue": long_value}])
    least = "Member must have length greater than or equal to 1"
    with refused("ValidationException", violation("", "tags.1.member.tagKey", least)):
        put([{"TagKey": "", "TagValue": ""}])
