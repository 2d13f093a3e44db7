"""CreateKey, DescribeKey, ListKeys, EnableKey, DisableKey, UpdateKeyDescription."""

import datetime
import re
import uuid

import pytest
from support.aws import ABSENT_ID, must_not_be_null, pages, refused, violation


def test_a_new_key_has_the_documented_defaults(aws):
    before = datetime.datetime.now(datetime.UTC) - datetime.timedelta(seconds=2)
    answer = aws.kms.create_key()
    assert answer["ResponseMetadata"]["HTTPHeaders"]["content-type"] == "application/x-amz-json-1.1"
    assert answer["ResponseMetadata"]["RequestId"]
    metadata = answer["KeyMetadata"]
    key_id = metadata["KeyId"]
    assert uuid.UUID(key_id).version == 4 and str(uuid.UUID(key_id)) == key_id
    assert before <= metadata.pop("CreationDate") <= datetime.datetime.now(datetime.UTC) + datetime.timedelta(seconds=2)
    assert re.fullmatch("[0-9a-f]{64}", metadata.pop("CurrentKeyMaterialId"))
    assert metadata == {
        "AWSAccountId": aws.number,
        "KeyId": key_id,
        "Arn": aws.key_arn(key_id),
        "Enabled": True,
        "Description": "",
        "KeyUsage": "ENCRYPT_DECRYPT",
        "KeyState": "Enabled",
        "Origin": "AWS_KMS",
        "KeyManager": "CUSTOMER",
        "CustomerMasterKeySpec": "SYMMETRIC_DEFAULT",
        "KeySpec": "SYMMETRIC_DEFAULT",
        "EncryptionAlgorithms": ["SYMMETRIC_DEFAULT"],
        "MultiRegion": False,
    }


def test_describe_answers_what_create_answered(aws):
    created = aws.create_key(Description="ledger")
    assert created["Description"] == "ledger"
    for name in aws.every_identifier(created["KeyId"]):
        assert aws.metadata(name) == created


def test_dates_are_epoch_second_numbers(account):
    answer = account.signed("CreateKey", {})
    assert answer.status == 200
    assert isinstance(answer.json["KeyMetadata"]["CreationDate"], (int, float))
    assert 1_600_000_000 < answer.json["KeyMetadata"]["CreationDate"] < 10_000_000_000


def test_defaults_may_be_spelled_out(aws):
    metadata = aws.create_key(
        KeySpec="SYMMETRIC_DEFAULT", KeyUsage="ENCRYPT_DECRYPT", Origin="AWS_KMS", MultiRegion=False, Tags=[]
    )
    assert metadata["KeyState"] == "Enabled"
    assert aws.create_key(CustomerMasterKeySpec="SYMMETRIC_DEFAULT")["KeySpec"] == "SYMMETRIC_DEFAULT"


def test_both_names_of_the_spec_are_refused(account):
    text = (
        "You cannot specify KeySpec and CustomerMasterKeySpec in the same request. CustomerMasterKeySpec is deprecated."
    )
    with refused("ValidationException", text):
        account.create_key(KeySpec="SYMMETRIC_DEFAULT", CustomerMasterKeySpec="SYMMETRIC_DEFAULT")


def test_usage_must_fit_the_spec(account):
    with refused("ValidationException", "KeyUsage SIGN_VERIFY is not compatible with KeySpec SYMMETRIC_DEFAULT"):
        account.create_key(KeyUsage="SIGN_VERIFY")


def test_usage_is_needed_for_other_specs(account):
    text = "You must specify a KeyUsage value for all KMS keys except for symmetric encryption keys."
    with refused("ValidationException", text):
        account.create_key(KeySpec="RSA_2048")


def test_create_key_with_tags(aws):
    tags = [{"TagKey": "team", "TagValue": "payments"}, {"TagKey": "stage", "TagValue": ""}]
    key_id = aws.create_key(Tags=tags)["KeyId"]
    listed = aws.kms.list_resource_tags(KeyId=key_id)["Tags"]
    assert sorted(listed, key=lambda tag: tag["TagKey"]) == sorted(tags, key=lambda tag: tag["TagKey"])


@pytest.mark.parametrize(
    ("tags", "text"),
    [
        ([{"TagKey": "a", "TagValue": "1"}, {"TagKey": "a", "TagValue": "2"}], "Duplicate tag keys"),
        ([{"TagKey": f"k{number}", "TagValue": ""} for number in range(51)], "Too many tags"),
        ([{"TagKey": "aws:x", "TagValue": ""}], "Tags beginning with aws: are reserved"),
        ([{"TagKey": "AwS:x", "TagValue": ""}], "Tags beginning with aws: are reserved"),
    ],
)
def test_create_key_refuses_tags(account, tags, text):
    with refused("TagException", text):
        account.create_key(Tags=tags)
    assert account.kms.list_keys()["Keys"] == []


def test_fifty_tags_are_accepted(account):
    account.create_key(Tags=[{"TagKey": f"k{number}", "TagValue": ""} for number in range(50)])


def test_list_keys_pages(aws):
    assert aws.kms.list_keys()["Keys"] == []
    made = {aws.create_key()["KeyId"] for _ in range(7)}
    found = pages(aws.kms.list_keys, "Keys", Limit=3)
    assert all(len(page) <= 3 for page in found)
    listed = [entry for page in found for entry in page]
    assert {entry["KeyId"] for entry in listed} == made and len(listed) == 7
    assert all(entry == {"KeyId": entry["KeyId"], "KeyArn": aws.key_arn(entry["KeyId"])} for entry in listed)


def test_list_keys_answers_a_hundred_by_default(account):
    for _ in range(103):
        account.create_key()
    first = account.kms.list_keys()
    assert len(first["Keys"]) == 100 and first["Truncated"]
    second = account.kms.list_keys(Marker=first["NextMarker"])
    assert len(second["Keys"]) == 3 and not second["Truncated"]
    assert len({key["KeyId"] for key in first["Keys"] + second["Keys"]}) == 103
    everything = account.kms.list_keys(Limit=1000)
    assert len(everything["Keys"]) == 103 and not everything["Truncated"]


def test_paging_survives_writes_between_pages(account):
    made = {account.create_key()["KeyId"] for _ in range(6)}
    first = account.kms.list_keys(Limit=2)
    for _ in range(3):
        account.create_key()
    rest = pages(account.kms.list_keys, "Keys", Limit=2, Marker=first["NextMarker"])
    listed = [entry["KeyId"] for page in [first["Keys"], *rest] for entry in page]
    assert made <= set(listed) and len(listed) == len(set(listed))


@pytest.mark.parametrize(("limit", "rule"), [(0, "greater than or equal to 1"), (1001, "less than or equal to 1000")])
def test_list_keys_limit_is_bounded(account, limit, rule):
    with refused("ValidationException", violation(limit, "limit", f"Member must have value {rule}")):
        account.kms.list_keys(Limit=limit)


def test_a_marker_that_was_never_given_out_is_refused(account):
    with refused("InvalidMarkerException"):
        account.kms.list_keys(Marker="nonsense")


def test_keys_of_other_accounts_and_regions_are_not_listed(account, other_account):
    mine = account.create_key()["KeyId"]
    other_account.create_key()
    account.in_region("us-east-1").create_key()
    assert [key["KeyId"] for key in account.kms.list_keys()["Keys"]] == [mine]


def test_disable_and_enable_are_idempotent(aws):
    key_id = aws.create_key()["KeyId"]
    for change, state in [("disable_key", "Disabled"), ("enable_key", "Enabled")]:
        for _ in range(2):
            getattr(aws.kms, change)(KeyId=key_id)
            metadata = aws.metadata(key_id)
            assert (metadata["KeyState"], metadata["Enabled"]) == (state, state == "Enabled")


def test_operations_without_output_answer_an_empty_body(account):
    key_id = account.create_key()["KeyId"]
    answer = account.signed("DisableKey", {"KeyId": key_id})
    assert (answer.status, answer.body) == (200, b"")


def test_the_description_is_replaced(aws):
    key_id = aws.create_key(Description="first")["KeyId"]
    for text in ["second", "", "ünïcödé \N{KEY}", "x" * 8192]:
        aws.kms.update_key_description(KeyId=aws.key_arn(key_id), Description=text)
        assert aws.metadata(key_id)["Description"] == text


def test_a_description_has_at_most_8192_characters(account):
    key_id = account.create_key()["KeyId"]
    text = "x" * 8193
    expected = violation(text, "description", "Member must have length less than or equal to 8192")
    with refused("ValidationException", expected):
        account.kms.update_key_description(KeyId=key_id, Description=text)
    with refused("ValidationException", expected):
        account.create_key(Description=text)
    with refused("ValidationException", must_not_be_null("description")):
        account.kms.update_key_description(KeyId=key_id)


def test_unknown_members_are_ignored(account):
    answer = account.signed("CreateKey", {"Unheard": {"of": [1, None]}, "Description": "known"})
    assert answer.status == 200 and answer.json["KeyMetadata"]["Description"] == "known"


def test_null_members_count_as_absent(account):
    answer = account.signed("CreateKey", {"Description": None, "Tags": None, "KeySpec": None})
    assert answer.status == 200 and answer.json["KeyMetadata"]["Description"] == ""


def test_enable_of_an_absent_key(account):
    with refused("NotFoundException", f"Key '{account.key_arn(ABSENT_ID)}' does not exist"):
        account.kms.enable_key(KeyId=ABSENT_ID)
