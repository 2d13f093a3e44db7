"""People with access keys: what the tests of sessions share."""

import json

from support.identities import unique

ONE, OTHER = "111122223333", "444455556666"
SECRET = "a secret access key for tests of sts 1234"


def policy(*statements):
    return json.dumps({"Version": "2012-10-17", "Statement": list(statements)})


def allow(action, resource="*", **condition):
    statement = {"Effect": "Allow", "Action": action, "Resource": resource}
    return {**statement, "Condition": condition} if condition else statement


def root_of(number):
    return f"AKIAROOT{number}"


class Person:
    """Whoever holds an access key: clients, and the names of what it is."""

    def __init__(self, server, key, secret, token=None, **facts):
        self.server, self.key, self.secret, self.token = server, key, secret, token
        self.__dict__.update(facts)

    def service(self, name):
        return self.server.client(name, account=self.key, secret=self.secret, token=self.token)

    @property
    def kms(self):
        return self.service("kms")

    @property
    def iam(self):
        return self.service("iam")

    @property
    def sts(self):
        return self.service("sts")

    def session(self, answer):
        """The holder of credentials that were given."""
        given = answer["Credentials"]
        return Person(self.server, given["AccessKeyId"], given["SecretAccessKey"], given["SessionToken"])

    def assume(self, role, name="session", **options):
        return self.session(self.sts.assume_role(RoleArn=role["Arn"], RoleSessionName=name, **options))

    def who(self):
        answer = self.sts.get_caller_identity()
        return answer["Arn"], answer["UserId"], answer["Account"]


def user_of(root, *statements, **options):
    name = unique("user")
    made = root.iam.create_user(UserName=name, **options)["User"]
    if statements:
        root.iam.put_user_policy(UserName=name, PolicyName="own", PolicyDocument=policy(*statements))
    key = root.iam.create_access_key(UserName=name)["AccessKey"]
    return Person(root.server, key["AccessKeyId"], key["SecretAccessKey"], name=name, made=made, arn=made["Arn"])


def role_of(root, document, *statements, **options):
    name = unique("role")
    role = root.iam.create_role(RoleName=name, AssumeRolePolicyDocument=document, **options)["Role"]
    if statements:
        root.iam.put_role_policy(RoleName=name, PolicyName="own", PolicyDocument=policy(*statements))
    return role
