#!/bin/sh
# Makes the key pairs that the tests use where making one is not what they test: DER PKCS#8. They guard nothing.
set -eu
cd "$(dirname "$0")"

pkcs8() {
    openssl pkcs8 -topk8 -nocrypt -outform DER -out "$1"
}

for bits in 2048 3072 4096; do
    openssl genpkey -quiet -algorithm RSA -pkeyopt rsa_keygen_bits:$bits | pkcs8 rsa_$bits.der
done
openssl rsa -in rsa_2048.der -traditional -outform DER -out rsa_2048_pkcs1.der
openssl genpkey -algorithm ED25519 | pkcs8 ed25519.der
for curve in P-256 P-384 P-521 secp256k1; do
    name=$(echo "$curve" | tr -d - | tr P p)
    openssl genpkey -algorithm EC -pkeyopt ec_paramgen_curve:$curve | pkcs8 "$name.der"
    # The same key in other encodings, and its public key in encodings that are not accepted.
    openssl ec -in "$name.der" -no_public | pkcs8 "${name}_no_public.der"
    openssl pkey -in "$name.der" -ec_conv_form compressed | pkcs8 "${name}_compressed.der"
    openssl pkey -in "$name.der" -ec_param_enc explicit | pkcs8 "${name}_explicit.der"
    openssl pkey -in "$name.der" -ec_param_enc explicit -pubout -outform DER -out "${name}_explicit.pub.der"
    openssl pkey -in "$name.der" -ec_conv_form compressed -pubout -outform DER -out "${name}_compressed.pub.der"
done
