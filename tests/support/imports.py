"""Key material made outside and brought in through GetParametersForImport and ImportKeyMaterial."""

import os

from cryptography.hazmat.primitives import keywrap, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from support.outside import oaep

FOREVER = {"ExpirationModel": "KEY_MATERIAL_DOES_NOT_EXPIRE"}
# Key pairs are longer than RSA can wrap: an AES key comes between.
PLAIN, LONG = "RSAES_OAEP_SHA_256", "RSA_AES_KEY_WRAP_SHA_256"


def new_material(spec="SYMMETRIC_DEFAULT"):
    """Fresh material for a key of this spec."""
    if not spec.startswith("ECC_"):
        return os.urandom(32)
    private = ec.generate_private_key(ec.SECP256R1())
    form = (serialization.Encoding.DER, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    return private.private_bytes(*form)


def wrapped(kms, key, plain):
    """Material on its way in: the arguments of ImportKeyMaterial but for its expiry."""
    algorithm = PLAIN if len(plain) <= 64 else LONG
    given = kms.get_parameters_for_import(KeyId=key, WrappingAlgorithm=algorithm, WrappingKeySpec="RSA_2048")
    public = serialization.load_der_public_key(given["PublicKey"])
    if algorithm == PLAIN:
        text = public.encrypt(plain, oaep(algorithm))
    else:
        between = os.urandom(32)
        text = public.encrypt(between, oaep(algorithm)) + keywrap.aes_key_wrap_with_padding(between, plain)
    return {"KeyId": key, "ImportToken": given["ImportToken"], "EncryptedKeyMaterial": text}


def bring(kms, key, plain, **options):
    """Imports the material, for ever unless told otherwise."""
    expiry = {} if {"ValidTo", "ExpirationModel"} & set(options) else FOREVER
    return kms.import_key_material(**wrapped(kms, key, plain), **expiry, **options)
