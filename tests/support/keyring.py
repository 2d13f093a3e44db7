"""One key of every kind on the shared dev server: RSA keys are slow to make, so all tests share them."""

import concurrent.futures

from support.aws import Account
from support.interface import KINDS, SYMMETRIC, Kind
from support.outside import Outside


def creation_options(kind):
    return {} if kind == SYMMETRIC else {"KeySpec": kind.spec, "KeyUsage": kind.usage}


class KeyRing:
    """Keys by kind. They are shared: a test must not disable, delete or change them."""

    def __init__(self, server):
        self.account = Account(server, "900000000000")
        self.kms = self.account.kms
        self._outside = {}
        # The slowest first; they are made while the first tests already use the others.
        self._pool = concurrent.futures.ThreadPoolExecutor(4)
        slow_first = sorted(KINDS, key=lambda kind: (kind.spec.startswith("RSA"), kind.spec), reverse=True)
        self._made = {kind: self._pool.submit(self.account.create_key, **creation_options(kind)) for kind in slow_first}

    def close(self):
        self._pool.shutdown(cancel_futures=True)

    def key(self, kind, usage=None):
        """The metadata as CreateKey answered it."""
        return self._made[Kind(kind, usage) if usage else kind].result()

    def id(self, kind, usage=None):
        return self.key(kind, usage)["KeyId"]

    def outside(self, kind, usage=None):
        """The public half, as someone outside holds it."""
        key = self.key(kind, usage)
        if key["KeyId"] not in self._outside:
            spki = self.kms.get_public_key(KeyId=key["KeyId"])["PublicKey"]
            self._outside[key["KeyId"]] = Outside(key["KeySpec"], spki)
        return self._outside[key["KeyId"]]
