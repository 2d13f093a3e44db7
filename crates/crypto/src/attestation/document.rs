//! The bytes of a document: `COSE_Sign1` (RFC 9052, section 4.2) around a CBOR map (RFC 8949).
//!
//! Every element is read as the type it must have, so nothing nests deeper than the format does and no value is
//! skipped unread. Nothing is copied but slices.

use std::collections::BTreeMap;

use minicbor::data::{Tag, Type};
use minicbor::decode::{Decoder, Error};
use minicbor::encode::Encoder;

use super::{BadAttestation, Platform};

/// The only protected header: `{1: -35}`, algorithm ES384.
const PROTECTED: &[u8] = b"\xa1\x01\x38\x22";
/// `COSE_Sign1`; AWS sends documents untagged and allows the tag.
const COSE_SIGN1: Tag = Tag::new(18);
const COSE_SIGN1_ELEMENTS: u64 = 4;
const PAYLOAD_BYTES_MAX: usize = 16 * 1024;
/// `r | s` of ECDSA P-384.
const SIGNATURE_BYTES: usize = 96;

/// AWS states no maximum; real ones have some 40 bytes.
const MODULE_ID_BYTES_MAX: usize = 256;
const CERTIFICATE_BYTES_MAX: usize = 1024;
/// AWS states no maximum; real bundles have 4 certificates.
const BUNDLE_CERTIFICATES_MAX: usize = 8;
/// Of `public_key`, `user_data` and `nonce`. AWS's text on enclaves has 1024 in its grammar, but 512 for the last two
/// in its checks; that on NitroTPM has 1024 for all.
const USER_BYTES_MAX: usize = 1024;
const REGISTER_INDEX_MAX: u8 = 31;

/// A document as it was read: well formed, nothing verified.
pub(super) struct Document<'d> {
    pub(super) module_id: &'d str,
    /// Milliseconds since the Unix epoch.
    pub(super) timestamp: u64,
    pub(super) platform: Platform,
    pub(super) registers: BTreeMap<u8, &'d [u8]>,
    /// What signed the document.
    pub(super) certificate: &'d [u8],
    /// The root first; never empty.
    pub(super) bundle: Vec<&'d [u8]>,
    pub(super) public_key: Option<&'d [u8]>,
    payload: &'d [u8],
    pub(super) signature: &'d [u8],
}

impl<'d> Document<'d> {
    pub(super) fn decode(input: &'d [u8]) -> Result<Self, BadAttestation> {
        let mut decoder = Decoder::new(input);
        if decoder.datatype().map_err(malformed)? == Type::Tag && decoder.tag().map_err(malformed)? != COSE_SIGN1 {
            return Err(BadAttestation::Malformed);
        }
        if decoder.array().map_err(malformed)? != Some(COSE_SIGN1_ELEMENTS) {
            return Err(BadAttestation::Malformed);
        }
        if decoder.bytes().map_err(malformed)? != PROTECTED || decoder.map().map_err(malformed)? != Some(0) {
            return Err(BadAttestation::OtherAlgorithm);
        }
        let payload = bounded(decoder.bytes().map_err(malformed)?, 1, PAYLOAD_BYTES_MAX, "payload")?;
        let signature = bounded(decoder.bytes().map_err(malformed)?, SIGNATURE_BYTES, SIGNATURE_BYTES, "signature")?;
        at_end(&decoder)?;
        Fields::decode(payload)?.document(payload, signature)
    }

    /// What was signed: `Sig_structure` (RFC 9052, section 4.4).
    pub(super) fn signed(&self) -> Result<Vec<u8>, BadAttestation> {
        let mut encoder = Encoder::new(Vec::new());
        let encoded = encoder
            .array(4)
            .and_then(|encoder| encoder.str("Signature1"))
            .and_then(|encoder| encoder.bytes(PROTECTED))
            .and_then(|encoder| encoder.bytes(b""))
            .and_then(|encoder| encoder.bytes(self.payload));
        match encoded {
            Ok(_) => Ok(encoder.into_writer()),
            Err(_) => Err(BadAttestation::Malformed),
        }
    }
}

/// The map, field by field, each at most once.
#[derive(Default)]
struct Fields<'d> {
    module_id: Option<&'d str>,
    digest: Option<&'d str>,
    timestamp: Option<u64>,
    registers: Option<(Platform, BTreeMap<u8, &'d [u8]>)>,
    certificate: Option<&'d [u8]>,
    bundle: Option<Vec<&'d [u8]>>,
    public_key: Option<Option<&'d [u8]>>,
    user_data: Option<Option<&'d [u8]>>,
    nonce: Option<Option<&'d [u8]>>,
}

impl<'d> Fields<'d> {
    fn decode(payload: &'d [u8]) -> Result<Self, BadAttestation> {
        let mut fields = Self::default();
        let mut decoder = Decoder::new(payload);
        let count = decoder.map().map_err(malformed)?;
        for_each(&mut decoder, count, |decoder| fields.field(decoder))?;
        at_end(&decoder)?;
        Ok(fields)
    }

    fn field(&mut self, decoder: &mut Decoder<'d>) -> Result<(), BadAttestation> {
        match decoder.str().map_err(malformed)? {
            "module_id" => once(&mut self.module_id, "module_id", decoder.str().map_err(malformed)?),
            "digest" => once(&mut self.digest, "digest", decoder.str().map_err(malformed)?),
            "timestamp" => once(&mut self.timestamp, "timestamp", decoder.u64().map_err(malformed)?),
            "pcrs" => self.registers(Platform::NitroEnclave, decoder),
            "nitrotpm_pcrs" => self.registers(Platform::NitroTpm, decoder),
            "certificate" => once(&mut self.certificate, "certificate", certificate(decoder)?),
            "cabundle" => once(&mut self.bundle, "cabundle", bundle(decoder)?),
            "public_key" => once(&mut self.public_key, "public_key", user_bytes(decoder, 1, "public_key")?),
            "user_data" => once(&mut self.user_data, "user_data", user_bytes(decoder, 0, "user_data")?),
            "nonce" => once(&mut self.nonce, "nonce", user_bytes(decoder, 0, "nonce")?),
            _ => Err(BadAttestation::UnknownField),
        }
    }

    /// A document of one platform has no registers of the other: a second map is a repetition.
    fn registers(&mut self, platform: Platform, decoder: &mut Decoder<'d>) -> Result<(), BadAttestation> {
        let mut registers = BTreeMap::new();
        let count = decoder.map().map_err(malformed)?;
        for_each(decoder, count, |decoder| {
            let index = decoder.u64().map_err(malformed)?;
            let index = u8::try_from(index).ok().filter(|index| *index <= REGISTER_INDEX_MAX);
            let index = index.ok_or(BadAttestation::OutOfBounds("pcrs"))?;
            let value = decoder.bytes().map_err(malformed)?;
            if !matches!(value.len(), 32 | 48 | 64) {
                return Err(BadAttestation::OutOfBounds("pcrs"));
            }
            registers.insert(index, value).map_or(Ok(()), |_| Err(BadAttestation::Repeated("pcrs")))
        })?;
        if registers.is_empty() {
            return Err(BadAttestation::OutOfBounds("pcrs"));
        }
        once(&mut self.registers, "pcrs", (platform, registers))
    }

    fn document(self, payload: &'d [u8], signature: &'d [u8]) -> Result<Document<'d>, BadAttestation> {
        let module_id = self.module_id.ok_or(BadAttestation::Missing("module_id"))?;
        bounded(module_id.as_bytes(), 1, MODULE_ID_BYTES_MAX, "module_id")?;
        if self.digest.ok_or(BadAttestation::Missing("digest"))? != "SHA384" {
            return Err(BadAttestation::OutOfBounds("digest"));
        }
        let timestamp = self.timestamp.ok_or(BadAttestation::Missing("timestamp"))?;
        if timestamp == 0 {
            return Err(BadAttestation::OutOfBounds("timestamp"));
        }
        let (platform, registers) = self.registers.ok_or(BadAttestation::Missing("pcrs"))?;
        Ok(Document {
            module_id,
            timestamp,
            platform,
            registers,
            certificate: self.certificate.ok_or(BadAttestation::Missing("certificate"))?,
            bundle: self.bundle.ok_or(BadAttestation::Missing("cabundle"))?,
            public_key: self.public_key.flatten(),
            payload,
            signature,
        })
    }
}

fn certificate<'d>(decoder: &mut Decoder<'d>) -> Result<&'d [u8], BadAttestation> {
    bounded(decoder.bytes().map_err(malformed)?, 1, CERTIFICATE_BYTES_MAX, "certificate")
}

fn bundle<'d>(decoder: &mut Decoder<'d>) -> Result<Vec<&'d [u8]>, BadAttestation> {
    let mut certificates = Vec::new();
    let count = decoder.array().map_err(malformed)?;
    for_each(decoder, count, |decoder| {
        if certificates.len() == BUNDLE_CERTIFICATES_MAX {
            return Err(BadAttestation::OutOfBounds("cabundle"));
        }
        certificates.push(bounded(decoder.bytes().map_err(malformed)?, 1, CERTIFICATE_BYTES_MAX, "cabundle")?);
        Ok(())
    })?;
    if certificates.is_empty() {
        return Err(BadAttestation::OutOfBounds("cabundle"));
    }
    Ok(certificates)
}

/// An optional field. AWS's text forbids null, yet its documents have null where nothing was given.
fn user_bytes<'d>(
    decoder: &mut Decoder<'d>,
    bytes_min: usize,
    name: &'static str,
) -> Result<Option<&'d [u8]>, BadAttestation> {
    if decoder.datatype().map_err(malformed)? == Type::Null {
        decoder.null().map_err(malformed)?;
        return Ok(None);
    }
    bounded(decoder.bytes().map_err(malformed)?, bytes_min, USER_BYTES_MAX, name).map(Some)
}

/// Runs `each` for every entry of an array or map that was opened with `count` entries, or until its end if `None`.
/// A count that exceeds the input ends in an error at the end of the input: every entry has at least one byte.
fn for_each<'d>(
    decoder: &mut Decoder<'d>,
    count: Option<u64>,
    mut each: impl FnMut(&mut Decoder<'d>) -> Result<(), BadAttestation>,
) -> Result<(), BadAttestation> {
    let mut left = count;
    loop {
        match &mut left {
            Some(0) => return Ok(()),
            Some(left) => *left = left.saturating_sub(1),
            None if decoder.datatype().map_err(malformed)? == Type::Break => {
                decoder.set_position(decoder.position().saturating_add(1));
                return Ok(());
            }
            None => {}
        }
        each(decoder)?;
    }
}

fn once<T>(field: &mut Option<T>, name: &'static str, value: T) -> Result<(), BadAttestation> {
    field.replace(value).map_or(Ok(()), |_| Err(BadAttestation::Repeated(name)))
}

fn bounded<'d>(bytes: &'d [u8], min: usize, max: usize, name: &'static str) -> Result<&'d [u8], BadAttestation> {
    if (min..=max).contains(&bytes.len()) { Ok(bytes) } else { Err(BadAttestation::OutOfBounds(name)) }
}

fn at_end(decoder: &Decoder<'_>) -> Result<(), BadAttestation> {
    if decoder.position() == decoder.input().len() { Ok(()) } else { Err(BadAttestation::Malformed) }
}

fn malformed(_: Error) -> BadAttestation {
    BadAttestation::Malformed
}
