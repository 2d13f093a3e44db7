//! Random lives of keys, every operation of them, against the model of `life_model.rs`. Time jumps by seconds and by
//! years; what is due is done at random moments, or not for long.
//!
//! `CLAVIGER_TEST_SEED=7` lives the life 7 alone; a failure names its seed and what was done to the key.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex};

use claviger_api::kms::{
    AlgorithmSpec, CancelKeyDeletionRequest, CreateAliasRequest, CreateKeyRequest, DataKeyPairSpec, DecryptRequest,
    DeleteAliasRequest, DeleteImportedKeyMaterialRequest, DescribeKeyRequest, DisableKeyRequest,
    DisableKeyRotationRequest, EnableKeyRequest, EnableKeyRotationRequest, ExpirationModelType,
    GenerateDataKeyPairRequest, GenerateMacRequest, GetKeyRotationStatusRequest, GetParametersForImportRequest,
    ImportKeyMaterialRequest, ImportState, ImportType, IncludeKeyMaterial, KeyMaterialState, KeyMetadata, KeySpec,
    KeyState, KeyUsageType, ListAliasesRequest, ListKeyRotationsRequest, ListKeysRequest, MacAlgorithmSpec,
    MultiRegionKeyType, OriginType, ReplicateKeyRequest, Request, Response, RotateKeyOnDemandRequest,
    RotationsListEntry, ScheduleKeyDeletionRequest, SignRequest, SigningAlgorithmSpec, UpdateAliasRequest,
    UpdatePrimaryRegionRequest, VerifyMacRequest, VerifyRequest, WrappingKeySpec,
};
use claviger_api::{ServiceError, Timestamp};
use claviger_crypto::{
    KeyId, KeyMaterial, MacMaterial, MacSpec, OaepHash, PairMaterial, PairSpec, PublicKey, SymmetricMaterial,
};
use claviger_engine::Writer;
use claviger_secret::{SecretArray, SecretBytes};
use claviger_store::Memory;

use crate::life_model::{Family, Flaw, ImportStep, Kind, Material, Member, Model, Region, State, Step, Told};
use crate::{Base, DAY, Dice, OWNER, REGION, World, encrypt, request};

const REGIONS: [Region; 4] = [REGION, "us-east-1", "us-west-2", "eu-west-1"];
const NAMES: usize = 4;
/// Keys with their replicas at a time, about.
const FAMILIES: usize = 9;
const LIVES: u64 = 20;
const STEPS: usize = 5_300;
/// GetParametersForImport makes an RSA key; so often it does in a life, and the other tokens are made from one key.
const REAL_TOKENS: usize = 6;

/// What all lives share, since it takes long to make: the wrapping key, and private keys to import.
pub(crate) struct Ring {
    private: Vec<u8>,
    pub(crate) public: PublicKey,
    pairs: Vec<Vec<u8>>,
}

impl Ring {
    pub(crate) async fn new() -> Self {
        let (_, world) = World::new().await;
        let key = world.create().await;
        let make = async |key_pair_spec| {
            let request = GenerateDataKeyPairRequest {
                key_id: key.clone(),
                key_pair_spec,
                encryption_context: None,
                grant_tokens: None,
                recipient: None,
                dry_run: None,
            };
            let Ok(Response::GenerateDataKeyPair(made)) = world.call(request!(GenerateDataKeyPair, request)).await
            else {
                panic!("no key pair")
            };
            (made.private_key_plaintext.unwrap().expose().to_vec(), made.public_key.unwrap())
        };
        let (private, public) = make(DataKeyPairSpec::Rsa2048).await;
        let public = PublicKey::from_spki(PairSpec::Rsa2048, &public).unwrap();
        let mut pairs = Vec::new();
        for _ in 0..3 {
            pairs.push(make(DataKeyPairSpec::EccNistP256).await.0);
        }
        Self { private, public, pairs }
    }

    /// A token as GetParametersForImport gives them (docs/FORMATS.md, "Import tokens"), good until then.
    pub(crate) fn token(&self, base: &Base, id: &str, region: Region, until: i64) -> Vec<u8> {
        let algorithm = AlgorithmSpec::RsaesOaepSha256.as_str();
        let mut bound = Writer::record("kms import token", 1);
        bound.text(&arn(region, id));
        bound.i64(until);
        bound.text(algorithm);
        let key_id = KeyId::parse(id).unwrap();
        let pair = PairMaterial::from_private_key(key_id, PairSpec::Rsa2048, &self.private).unwrap();
        let wrapped = KeyMaterial::from(pair).wrap(&base.keys, &bound.finish()).unwrap();
        let mut token = Writer::record("kms import token", 1);
        token.i64(until);
        token.text(algorithm);
        token.bytes(&wrapped);
        token.finish()
    }
}

fn arn(region: Region, id: &str) -> String {
    format!("arn:aws:kms:{region}:{OWNER}:key/{id}")
}

/// The id that material has in a key.
fn material_id(kind: Kind, key: &str, bytes: &[u8]) -> String {
    let key = KeyId::parse(key).unwrap();
    let material = match kind {
        Kind::Symmetric => {
            KeyMaterial::from(SymmetricMaterial::from_bytes(key, SecretArray::from_slice(bytes).unwrap()).unwrap())
        }
        Kind::Hmac => {
            KeyMaterial::from(MacMaterial::from_bytes(key, MacSpec::Hmac256, SecretBytes::from_slice(bytes)).unwrap())
        }
        Kind::Pair => KeyMaterial::from(PairMaterial::from_private_key(key, PairSpec::P256, bytes).unwrap()),
    };
    material.material_id().to_string()
}

/// Something that a key made: ciphertext, a MAC or a signature.
#[derive(Clone)]
struct Made {
    id: String,
    kind: Kind,
    /// Which of the key's materials made it.
    place: usize,
    message: Vec<u8>,
    bytes: Vec<u8>,
}

struct Life<'a> {
    seed: u64,
    ring: &'a Ring,
    dice: Dice,
    base: Base,
    world: World,
    model: Model,
    /// Every key that ever was, so that steps meet those that are gone too.
    ids: Vec<String>,
    made: Vec<Made>,
    /// Tokens of GetParametersForImport, with their wrapping keys and until when they are good.
    tokens: BTreeMap<(String, Region), (Vec<u8>, PublicKey, i64)>,
    real_tokens: usize,
    history: Mutex<Vec<String>>,
    counts: BTreeMap<(&'static str, &'static str), usize>,
}

fn name_of(step: &Step) -> &'static str {
    match step {
        Step::Enable => "EnableKey",
        Step::Disable => "DisableKey",
        Step::Schedule(_) => "ScheduleKeyDeletion",
        Step::Cancel => "CancelKeyDeletion",
        Step::RotateEvery(_) => "EnableKeyRotation",
        Step::RotateNoMore => "DisableKeyRotation",
        Step::RotateNow => "RotateKeyOnDemand",
        Step::RotationStatus => "GetKeyRotationStatus",
        Step::Rotations => "ListKeyRotations",
        Step::Describe => "DescribeKey",
        Step::Parameters => "GetParametersForImport",
        Step::Import(_) => "ImportKeyMaterial",
        Step::DeleteMaterial(_) => "DeleteImportedKeyMaterial",
        Step::Replicate(_) => "ReplicateKey",
        Step::MovePrimary(_) => "UpdatePrimaryRegion",
        Step::Alias(_) => "CreateAlias",
        Step::MoveAlias(_) => "UpdateAlias",
        Step::Unalias(_) => "DeleteAlias",
        Step::Use => "Encrypt, GenerateMac, Sign",
    }
}

impl Life<'_> {
    async fn new(seed: u64, ring: &Ring) -> Life<'_> {
        let base = Base::over(Arc::new(Memory::new()), seed);
        let world = base.open().await.unwrap();
        Life {
            seed,
            ring,
            dice: Dice::new(seed ^ 0x11fe),
            base,
            world,
            model: Model::default(),
            ids: Vec::new(),
            made: Vec::new(),
            tokens: BTreeMap::new(),
            real_tokens: 0,
            history: Mutex::default(),
            counts: BTreeMap::new(),
        }
    }

    fn now(&self) -> i64 {
        claviger_engine::Clock::now(&*self.base.clock).millis()
    }

    fn note(&self, text: &str) {
        self.history.lock().unwrap().push(format!("{:>14}  {text}", self.now() - crate::START));
    }

    fn count(&mut self, name: &'static str, told: Told) {
        *self.counts.entry((name, told.err().unwrap_or("done"))).or_default() += 1;
    }

    /// Fails, with what was done to this key and what time did.
    fn fail(&self, id: &str, what: &str) -> ! {
        let history = self.history.lock().unwrap();
        let lines: Vec<&str> =
            history.iter().filter(|line| line.contains(id) || line.contains('*')).map(String::as_str).collect();
        let from = lines.iter().position(|line| line.contains(id)).unwrap_or_default();
        panic!(
            "CLAVIGER_TEST_SEED={}, step {}: {id}: {what}\nthe model: {:?}\nmilliseconds from the start, and what was \
             done:\n{}",
            self.seed,
            history.len(),
            self.model.families.get(id),
            lines[from..].join("\n")
        );
    }

    fn demand(&self, id: &str, is_so: bool, what: impl FnOnce() -> String) {
        if !is_so {
            self.fail(id, &what());
        }
    }

    async fn call(&self, region: Region, request: Request) -> Result<Response, ServiceError> {
        self.world.call_in(region, OWNER, request).await
    }

    // What is done.

    fn pick<T: Copy>(&self, from: &[T]) -> T {
        from[self.dice.below(from.len())]
    }

    /// A key, mostly one that is there, and mostly a Region where it is.
    fn some_key(&self) -> (String, Region) {
        let alive: Vec<&String> = self.model.families.keys().collect();
        let id = match self.dice.below(16) {
            0 => self.ids[self.dice.below(self.ids.len())].clone(),
            _ if alive.is_empty() => self.ids[0].clone(),
            _ => alive[self.dice.below(alive.len())].clone(),
        };
        let region = match self.model.families.get(&id) {
            Some(family) if self.dice.below(12) > 0 => {
                let all: Vec<Region> = family.members.keys().copied().collect();
                if self.dice.below(2) == 0 { family.primary } else { self.pick(&all) }
            }
            _ => self.pick(&REGIONS),
        };
        (id, region)
    }

    fn some_step(&self, id: &str, region: Region) -> Step {
        let name = format!("alias/n{}", self.dice.below(NAMES));
        match self.dice.below(100) {
            0..10 => Step::Enable,
            10..14 => Step::Disable,
            14..17 => Step::Schedule(self.pick(&[Some(7), Some(7), Some(30), None, Some(6), Some(31)])),
            17..22 => Step::Cancel,
            22..28 => Step::RotateEvery(self.pick(&[None, Some(90), Some(91), Some(365), Some(2_560)])),
            28..30 => Step::RotateNoMore,
            30..38 => Step::RotateNow,
            38..40 => Step::RotationStatus,
            40..42 => Step::Rotations,
            42..44 => Step::Describe,
            44..46 => Step::Parameters,
            46..64 => Step::Import(self.some_import(id, region)),
            64..68 => Step::DeleteMaterial(self.some_material(id)),
            68..74 => Step::Replicate(self.pick(&REGIONS)),
            74..79 => Step::MovePrimary(self.some_successor(id)),
            79..82 => Step::Alias(name),
            82..85 => Step::MoveAlias(name),
            85..87 => Step::Unalias(name),
            _ => Step::Use,
        }
    }

    /// A Region for the primary, mostly one where a replica is.
    fn some_successor(&self, id: &str) -> Region {
        match self.model.families.get(id).map(Family::replicas) {
            Some(replicas) if !replicas.is_empty() && self.dice.below(4) > 0 => self.pick(&replicas),
            _ => self.pick(&REGIONS),
        }
    }

    fn some_material(&self, id: &str) -> Option<String> {
        let materials = self.model.families.get(id).map(|family| family.materials.as_slice()).unwrap_or_default();
        match self.dice.below(8) {
            0 => Some("0".repeat(64)),
            1..4 => None,
            _ if materials.is_empty() => None,
            _ => materials[self.dice.below(materials.len())].id.clone(),
        }
    }

    fn some_until(&self) -> Option<i64> {
        let now = self.now();
        match self.dice.below(16) {
            0 => Some(now),
            1 => Some(now + 365 * DAY + 1),
            2 => Some(now + 365 * DAY),
            3..5 => Some(now + 1_000 * i64::try_from(1 + self.dice.below(3_600)).unwrap()),
            5..8 => Some(now + DAY * i64::try_from(1 + self.dice.below(30)).unwrap()),
            _ => None,
        }
    }

    fn fresh_bytes(&self, kind: Kind) -> Vec<u8> {
        if kind == Kind::Pair {
            return self.ring.pairs[self.dice.below(self.ring.pairs.len())].clone();
        }
        (0..4).flat_map(|_| self.dice.roll().to_be_bytes()).collect()
    }

    /// An import, mostly of what the key lacks.
    fn some_import(&self, id: &str, region: Region) -> ImportStep {
        let family = self.model.families.get(id);
        let kind = family.map_or(Kind::Symmetric, |family| family.kind);
        let mut bytes = self.fresh_bytes(kind);
        if let Some((family, member)) = self.model.member(id, region)
            && family.external
            && !family.materials.is_empty()
        {
            let lacking: Vec<&Material> =
                family.materials.iter().filter(|it| !family.is_there(member, it, self.now())).collect();
            if !lacking.is_empty() && self.dice.below(4) > 0 {
                bytes.clone_from(&lacking[self.dice.below(lacking.len())].bytes);
            } else if self.dice.below(3) == 0 {
                bytes.clone_from(&family.materials[self.dice.below(family.materials.len())].bytes);
            }
        }
        let known = family.is_some_and(|family| family.materials.iter().any(|material| material.bytes == bytes));
        let several = kind == Kind::Symmetric || self.dice.below(12) == 0;
        let mut how = match self.dice.below(8) {
            _ if !several => None,
            0 => Some(ImportType::NewKeyMaterial),
            1 => Some(ImportType::ExistingKeyMaterial),
            2..4 if known => Some(ImportType::ExistingKeyMaterial),
            _ if known => None,
            _ => Some(ImportType::NewKeyMaterial),
        };
        if kind != Kind::Symmetric && self.dice.below(4) > 0 {
            how = None;
        }
        let id_of_bytes = material_id(kind, id, &bytes);
        let named = match self.dice.below(12) {
            0 if several => Some("1".repeat(64)),
            1..3 if several => Some(id_of_bytes.clone()),
            _ => None,
        };
        let flaws = [
            Flaw::AnotherKeysToken,
            Flaw::ExpiredToken,
            Flaw::AnotherWrappingKey,
            Flaw::ImpossibleLength,
            Flaw::WrongKindOfMaterial,
        ];
        let flaw = if self.dice.below(12) == 0 { self.pick(&flaws) } else { Flaw::None };
        let description = (several && self.dice.below(8) == 0).then(|| format!("batch {}", self.dice.below(5)));
        ImportStep { bytes, id: id_of_bytes, until: self.some_until(), how, named, description, flaw }
    }

    fn import_request(&self, id: &str, region: Region, import: &ImportStep) -> ImportKeyMaterialRequest {
        let now = self.now();
        let real = self.tokens.get(&(id.to_owned(), region)).filter(|(_, _, until)| now < *until);
        let (token, public) = match (import.flaw, real) {
            (Flaw::AnotherKeysToken, _) => {
                let other = REGIONS.iter().find(|other| **other != region).unwrap();
                (self.ring.token(&self.base, id, other, now + DAY), &self.ring.public)
            }
            (Flaw::ExpiredToken, _) => (self.ring.token(&self.base, id, region, now), &self.ring.public),
            (Flaw::AnotherWrappingKey, Some((token, _, _))) => (token.clone(), &self.ring.public),
            (_, Some((token, public, _))) => (token.clone(), public),
            _ => (self.ring.token(&self.base, id, region, now + 1), &self.ring.public),
        };
        let plain = if import.flaw == Flaw::WrongKindOfMaterial { &import.bytes[..31] } else { &import.bytes };
        let mut wrapped = public.encrypt(OaepHash::Sha256, plain).unwrap();
        match import.flaw {
            Flaw::ImpossibleLength => drop(wrapped.pop()),
            Flaw::AnotherWrappingKey if real.is_none() => wrapped[100] ^= 1,
            _ => {}
        }
        let never = ExpirationModelType::KeyMaterialDoesNotExpire;
        ImportKeyMaterialRequest {
            key_id: id.to_owned(),
            import_token: token,
            encrypted_key_material: wrapped,
            valid_to: import.until.map(Timestamp::from_millis),
            expiration_model: import.until.is_none().then_some(never),
            import_type: import.how,
            key_material_id: import.named.clone(),
            key_material_description: import.description.clone(),
        }
    }

    fn ask(&self, id: &str, region: Region, step: &Step) -> Request {
        let key_id = id.to_owned();
        let days = |days: Option<i64>| days.map(|days| i32::try_from(days).unwrap());
        let target_key_id = key_id.clone();
        match step.clone() {
            Step::Enable => request!(EnableKey, EnableKeyRequest { key_id }),
            Step::Disable => request!(DisableKey, DisableKeyRequest { key_id }),
            Step::Schedule(window) => {
                let pending_window_in_days = days(window);
                request!(ScheduleKeyDeletion, ScheduleKeyDeletionRequest { key_id, pending_window_in_days })
            }
            Step::Cancel => request!(CancelKeyDeletion, CancelKeyDeletionRequest { key_id }),
            Step::RotateEvery(period) => {
                let rotation_period_in_days = days(period);
                request!(EnableKeyRotation, EnableKeyRotationRequest { key_id, rotation_period_in_days })
            }
            Step::RotateNoMore => request!(DisableKeyRotation, DisableKeyRotationRequest { key_id }),
            Step::RotateNow => request!(RotateKeyOnDemand, RotateKeyOnDemandRequest { key_id }),
            Step::RotationStatus => request!(GetKeyRotationStatus, GetKeyRotationStatusRequest { key_id }),
            Step::Rotations => {
                request!(ListKeyRotations, ListKeyRotationsRequest { key_id, ..ListKeyRotationsRequest::default() })
            }
            Step::Describe => {
                request!(DescribeKey, DescribeKeyRequest { key_id, ..DescribeKeyRequest::default() })
            }
            Step::Parameters => {
                let (wrapping_algorithm, wrapping_key_spec) =
                    (AlgorithmSpec::RsaesOaepSha256, WrappingKeySpec::Rsa2048);
                let request = GetParametersForImportRequest { key_id, wrapping_algorithm, wrapping_key_spec };
                request!(GetParametersForImport, request)
            }
            Step::Import(import) => request!(ImportKeyMaterial, self.import_request(id, region, &import)),
            Step::DeleteMaterial(key_material_id) => {
                let request = DeleteImportedKeyMaterialRequest { key_id, key_material_id };
                request!(DeleteImportedKeyMaterial, request)
            }
            Step::Replicate(to) => {
                let replica_region = to.to_owned();
                let request = ReplicateKeyRequest { key_id, replica_region, ..ReplicateKeyRequest::default() };
                request!(ReplicateKey, request)
            }
            Step::MovePrimary(to) => {
                let request = UpdatePrimaryRegionRequest { key_id, primary_region: to.to_owned() };
                request!(UpdatePrimaryRegion, request)
            }
            Step::Alias(alias_name) => request!(CreateAlias, CreateAliasRequest { alias_name, target_key_id }),
            Step::MoveAlias(alias_name) => request!(UpdateAlias, UpdateAliasRequest { alias_name, target_key_id }),
            Step::Unalias(alias_name) => request!(DeleteAlias, DeleteAliasRequest { alias_name }),
            Step::Use => self.ask_use(key_id),
        }
    }

    fn kind(&self, id: &str) -> Kind {
        self.model.families.get(id).map_or(Kind::Symmetric, |family| family.kind)
    }

    fn ask_use(&self, key_id: String) -> Request {
        let message = SecretBytes::from_slice(key_id.as_bytes());
        match self.kind(&key_id) {
            Kind::Symmetric => request!(Encrypt, encrypt(&key_id, key_id.as_bytes())),
            Kind::Hmac => {
                let mac_algorithm = MacAlgorithmSpec::HmacSha256;
                let request = GenerateMacRequest { message, key_id, mac_algorithm, grant_tokens: None, dry_run: None };
                request!(GenerateMac, request)
            }
            Kind::Pair => {
                let signing_algorithm = SigningAlgorithmSpec::EcdsaSha256;
                let (message_type, grant_tokens, dry_run) = (None, None, None);
                let request = SignRequest { key_id, message, message_type, grant_tokens, signing_algorithm, dry_run };
                request!(Sign, request)
            }
        }
    }

    async fn create(&mut self) {
        let region = self.pick(&REGIONS[..2]);
        let kind = self.pick(&[Kind::Symmetric, Kind::Symmetric, Kind::Symmetric, Kind::Hmac, Kind::Pair]);
        let (external, multi_region) = (self.dice.below(2) == 0, self.dice.below(2) == 0);
        let (spec, usage) = match kind {
            Kind::Symmetric => (KeySpec::SymmetricDefault, KeyUsageType::EncryptDecrypt),
            Kind::Hmac => (KeySpec::Hmac256, KeyUsageType::GenerateVerifyMac),
            Kind::Pair => (KeySpec::EccNistP256, KeyUsageType::SignVerify),
        };
        let request = CreateKeyRequest {
            key_spec: Some(spec),
            key_usage: Some(usage),
            origin: external.then_some(OriginType::External),
            multi_region: Some(multi_region),
            ..CreateKeyRequest::default()
        };
        let Ok(Response::CreateKey(made)) = self.call(region, request!(CreateKey, request)).await else {
            self.fail("", "no key could be made")
        };
        let id = made.key_metadata.unwrap().key_id;
        self.model.create(&id, region, (kind, external, multi_region), self.now());
        self.note(&format!("{region} {id} CreateKey {kind:?}, external {external}, multi-Region {multi_region}"));
        self.count("CreateKey", Ok(()));
        self.ids.push(id.clone());
        self.observe_key(&id).await;
    }

    async fn step(&mut self) {
        let (id, region) = self.some_key();
        let step = self.some_step(&id, region);
        if matches!(step, Step::Parameters) && self.real_tokens >= REAL_TOKENS {
            let told = self.model.clone().step(&id, region, &step, self.now());
            if told.is_ok() {
                return self.open_something().await;
            }
        }
        self.one(&id, region, step).await;
        if self.dice.below(6) == 0 {
            self.observe_key(&id).await;
        }
    }

    /// Rotates a key until it cannot be rotated any more.
    async fn wear_out(&mut self) {
        let works = |family: &&Family| {
            let enabled = family.members[family.primary].state == State::Enabled;
            family.kind == Kind::Symmetric && !family.external && enabled
        };
        let found = self.model.families.iter().find(|(_, family)| works(family));
        let Some((id, region)) = found.map(|(id, family)| (id.clone(), family.primary)) else { return };
        for _ in 0..26 {
            self.one(&id, region, Step::RotateNow).await;
        }
    }

    async fn one(&mut self, id: &str, region: Region, step: Step) {
        let request = self.ask(id, region, &step);
        let expected = self.model.step(id, region, &step, self.now());
        let shown = format!("{step:?}");
        self.note(&format!("{region} {id} {shown}: {}", expected.err().unwrap_or("done")));
        self.count(name_of(&step), expected);
        let told = self.call(region, request).await;
        match (told, expected) {
            (Ok(response), Ok(())) => self.told(id, region, &step, response),
            (Err(error), Err(code)) if error.code == code => {}
            (told, _) => {
                let told = told.map(|_| "done");
                self.fail(id, &format!("{region} {step:?} should be {expected:?} and is {told:?}"));
            }
        }
    }

    /// What the answer says is what the model knows.
    fn told(&mut self, id: &str, region: Region, step: &Step, response: Response) {
        let kind = self.kind(id);
        let place = self.model.families.get(id).and_then(Family::current);
        let mut keep = |bytes: Vec<u8>| {
            let message = id.as_bytes().to_vec();
            let one = Made { id: id.to_owned(), kind, place: place.unwrap(), message, bytes };
            self.made.push(one);
        };
        match response {
            Response::Encrypt(told) => keep(told.ciphertext_blob.unwrap()),
            Response::GenerateMac(told) => keep(told.mac.unwrap()),
            Response::Sign(told) => keep(told.signature.unwrap()),
            Response::GetParametersForImport(told) => {
                let until = told.parameters_valid_to.unwrap().millis();
                self.demand(id, until == self.now() + DAY, || format!("the token is good until {until}"));
                let public = PublicKey::from_spki(PairSpec::Rsa2048, told.public_key.unwrap().expose()).unwrap();
                self.tokens.insert((id.to_owned(), region), (told.import_token.unwrap(), public, until));
                self.real_tokens += 1;
            }
            Response::ImportKeyMaterial(told) => {
                let Step::Import(import) = step else { return };
                let expected = (kind == Kind::Symmetric).then(|| import.id.clone());
                self.demand(id, told.key_material_id == expected, || {
                    format!("{:?} was imported", told.key_material_id)
                });
            }
            _ => {}
        }
    }

    async fn pass_time(&mut self) {
        let (now, due) = (self.now(), self.model.next_due(self.now()));
        let some = |most: usize| i64::try_from(1 + self.dice.below(most)).unwrap();
        let millis = match self.dice.below(24) {
            0..8 if !due.is_empty() => due[self.dice.below(due.len())] - now - some(3) + 2,
            0..3 => 1,
            3..12 => 1_000 * some(3_600),
            12..20 => DAY * some(5) + some(1_000),
            20..23 => DAY * some(100),
            _ => DAY * some(1_200),
        };
        self.base.advance(millis.max(0));
        self.model.settle(self.now());
        self.note(&format!("* {millis} milliseconds pass"));
        if self.dice.below(5) > 1 {
            self.run_due().await;
        }
    }

    /// What is due is done, and what follows from it a millisecond later.
    async fn run_due(&mut self) {
        loop {
            self.note("* what is due is done");
            let done = self.world.engine.run_due(&self.world.kms).await;
            self.model.run_due(self.now());
            match done {
                Ok(0) => break,
                Ok(_) => self.base.advance(1),
                Err(fault) => self.fail("*", &format!("what is due could not be done: {fault:?}")),
            }
        }
        let ids: Vec<String> = self.model.families.keys().cloned().collect();
        for id in ids.iter().skip(self.dice.below(ids.len())).take(2) {
            self.observe_key(id).await;
        }
    }

    // What is seen.

    async fn open_something(&mut self) {
        if self.made.is_empty() {
            return;
        }
        let made = self.made[self.dice.below(self.made.len())].clone();
        let there = self.model.families.get(&made.id).map(|family| family.members.keys().copied().collect::<Vec<_>>());
        let region = match there {
            Some(there) if self.dice.below(8) > 0 => self.pick(&there),
            _ => self.pick(&REGIONS),
        };
        let told = self.open(&made, region).await;
        self.count("Decrypt, VerifyMac, Verify", told);
    }

    /// What was made once opens, or not, as the model says, in this Region.
    async fn open(&self, made: &Made, region: Region) -> Told {
        let id = &made.id;
        let expected = self.model.open(id, region, made.kind != Kind::Symmetric);
        let told = self.call(region, ask_back(made)).await;
        let shown = told.as_ref().map(|_| "done").map_err(|error| error.code);
        self.demand(id, shown.map(drop) == expected, || {
            format!("what material {} made should open in {region} as {expected:?}, and told {shown:?}", made.place)
        });
        if let Ok(Response::Decrypt(told)) = &told {
            let material = self.model.families[id].materials[made.place].id.as_ref();
            let same = material.is_none_or(|material| told.key_material_id.as_ref() == Some(material));
            let plain = told.plaintext.as_ref().is_some_and(|plain| plain.expose() == made.message);
            self.demand(id, same && plain, || format!("{region}: material {:?} opened it", told.key_material_id));
        }
        expected
    }

    async fn observe_key(&mut self, id: &str) {
        let Some(family) = self.model.families.get(id).cloned() else { return };
        for region in family.members.keys() {
            self.observe_metadata(id, &family, region).await;
            if family.kind == Kind::Symmetric {
                self.observe_rotation(id, &family, region).await;
                self.observe_materials(id, region).await;
            }
        }
    }

    async fn observe_metadata(&self, id: &str, family: &Family, region: Region) {
        let request = DescribeKeyRequest { key_id: id.to_owned(), ..DescribeKeyRequest::default() };
        let Ok(Response::DescribeKey(told)) = self.call(region, request!(DescribeKey, request)).await else {
            self.fail(id, &format!("it cannot be described in {region}"));
        };
        let shown = told.key_metadata.unwrap();
        let member = &family.members[region];
        let (state, at, window) = match member.state {
            State::Enabled => (KeyState::Enabled, None, None),
            State::Disabled => (KeyState::Disabled, None, None),
            State::PendingImport => (KeyState::PendingImport, None, None),
            State::PendingDeletion { at } => (KeyState::PendingDeletion, Some(at), None),
            State::PendingReplicaDeletion { days } => {
                (KeyState::PendingReplicaDeletion, None, i32::try_from(days).ok())
            }
        };
        let seen = (shown.key_state, shown.deletion_date.map(Timestamp::millis), shown.pending_deletion_window_in_days);
        self.demand(id, seen == (Some(state), at, window), || format!("{region} shows the state {seen:?}"));
        let enabled = shown.enabled == Some(member.state == State::Enabled);
        self.demand(id, enabled, || format!("{region} shows Enabled as {:?}", shown.enabled));
        self.demand(id, family_of(&shown) == expected_family(family, region), || {
            format!("{region} shows the family {:?}", family_of(&shown))
        });
        let current = family.current().map(|place| &family.materials[place]).filter(|_| family.kind == Kind::Symmetric);
        let seen = &shown.current_key_material_id;
        let same = match current.map(|material| material.id.as_ref()) {
            None => seen.is_none(),
            Some(None) => seen.is_some(),
            Some(known) => seen.as_ref() == known,
        };
        self.demand(id, same, || format!("{region} shows {seen:?} as the current material"));
        self.observe_expiry(id, member, &shown);
    }

    fn observe_expiry(&self, id: &str, member: &Member, shown: &KeyMetadata) {
        let ended = member.imports.values().flatten().any(|until| *until <= self.now());
        // Until the job has come, the service may show material that has ended, as long as it does not use it.
        if ended {
            return;
        }
        let until = member.imports.values().flatten().min().copied();
        let model = match until {
            _ if member.imports.is_empty() => None,
            Some(_) => Some(ExpirationModelType::KeyMaterialExpires),
            None => Some(ExpirationModelType::KeyMaterialDoesNotExpire),
        };
        let seen = (shown.valid_to.map(Timestamp::millis), shown.expiration_model);
        self.demand(id, seen == (until, model), || format!("it shows the expiry {seen:?}"));
    }

    async fn observe_rotation(&self, id: &str, family: &Family, region: Region) {
        let request = GetKeyRotationStatusRequest { key_id: id.to_owned() };
        let told = self.call(region, request!(GetKeyRotationStatus, request)).await;
        let Ok(Response::GetKeyRotationStatus(told)) = told else {
            return self.demand(id, family.external, || format!("{region} shows no rotation status"));
        };
        let state = family.members[region].state;
        let gone = matches!(state, State::PendingDeletion { .. } | State::PendingReplicaDeletion { .. });
        let expected = family.rotation.filter(|_| !gone).map(|rotation| (rotation.days, rotation.next));
        let next = told.next_rotation_date.map(Timestamp::millis);
        let seen = told.rotation_period_in_days.map(i64::from).zip(next);
        let same = seen == expected && told.key_rotation_enabled == Some(expected.is_some());
        self.demand(id, same, || format!("{region} shows the rotation {told:?}"));
    }

    async fn listed(&self, id: &str, region: Region, include: IncludeKeyMaterial) -> Vec<RotationsListEntry> {
        let request = ListKeyRotationsRequest {
            key_id: id.to_owned(),
            include_key_material: Some(include),
            limit: Some(1_000),
            ..ListKeyRotationsRequest::default()
        };
        match self.call(region, request!(ListKeyRotations, request)).await {
            Ok(Response::ListKeyRotations(told)) => told.rotations.unwrap(),
            told => self.fail(id, &format!("{region} lists no materials: {:?}", told.map(|_| "another response"))),
        }
    }

    /// The materials are those of the model; of new ones that the service made the ids are learned.
    async fn observe_materials(&mut self, id: &str, region: Region) {
        let listed = self.listed(id, region, IncludeKeyMaterial::AllKeyMaterial).await;
        let ids: Vec<Option<String>> = listed.iter().map(|entry| entry.key_material_id.clone()).collect();
        let family = self.model.families.get_mut(id).unwrap();
        for (material, shown) in family.materials.iter_mut().zip(&ids) {
            material.id = material.id.take().or_else(|| shown.clone());
        }
        let family = self.model.families[id].clone();
        let expected: Vec<_> =
            family.materials.iter().map(|material| self.expected(&family, region, material)).collect();
        let seen: Vec<_> = listed.iter().map(shown_material).collect();
        self.demand(id, seen == expected, || format!("{region} lists {seen:?}, and not {expected:?}"));
        let distinct: BTreeSet<_> = ids.iter().collect();
        self.demand(id, distinct.len() == ids.len(), || format!("{region} lists a material twice: {ids:?}"));
        if self.dice.below(8) == 0 {
            let rotated = self.listed(id, region, IncludeKeyMaterial::RotationsOnly).await;
            let expected: Vec<_> = expected.into_iter().filter(|shown| shown.how.is_some()).collect();
            let seen: Vec<_> = rotated.iter().map(shown_material).collect();
            self.demand(id, seen == expected, || format!("{region} lists the rotations {seen:?}"));
        }
    }

    fn expected(&self, family: &Family, region: Region, material: &Material) -> Shown {
        let (now, member) = (self.now(), &family.members[region]);
        let current = family.current().map(|place| &family.materials[place].id);
        // A replica knows of itself only; from the primary, material goes by being forgotten.
        let mut others = family.members.iter().filter(|(other, _)| **other != family.primary);
        let everywhere = region != family.primary || others.all(|(_, it)| family.is_there(it, material, now));
        let state = match material.since {
            None if everywhere => KeyMaterialState::PendingRotation,
            None => KeyMaterialState::PendingMultiRegionImportAndRotation,
            Some(_) if current == Some(&material.id) => KeyMaterialState::Current,
            Some(_) => KeyMaterialState::NonCurrent,
        };
        let is_there = family.is_there(member, material, now);
        let until = material.id.as_ref().and_then(|id| member.imports.get(id)).copied().filter(|_| is_there);
        Shown {
            id: material.id.clone(),
            state: Some(state),
            how: material.how,
            since: material.since.filter(|_| material.how.is_some()),
            is_there: family.external.then_some(is_there),
            until: until.flatten(),
            expires: until.map(|until| until.is_some()),
            description: material.description.clone(),
        }
    }

    /// Everything that can be seen without asking for one key.
    async fn observe_all(&mut self) {
        for region in REGIONS {
            let request = ListKeysRequest { limit: Some(1_000), ..ListKeysRequest::default() };
            let Ok(Response::ListKeys(told)) = self.call(region, request!(ListKeys, request)).await else {
                self.fail("*", "keys cannot be listed")
            };
            let seen: BTreeSet<String> = told.keys.unwrap().into_iter().filter_map(|entry| entry.key_id).collect();
            let families = self.model.families.iter();
            let expected: BTreeSet<String> =
                families.filter(|(_, it)| it.members.contains_key(region)).map(|(id, _)| id.clone()).collect();
            self.demand("*", seen == expected, || format!("{region} lists the keys {seen:?}, not {expected:?}"));
            let request = ListAliasesRequest { limit: Some(100), ..ListAliasesRequest::default() };
            let Ok(Response::ListAliases(told)) = self.call(region, request!(ListAliases, request)).await else {
                self.fail("*", "aliases cannot be listed")
            };
            let listed = told.aliases.unwrap().into_iter();
            let seen: BTreeMap<_, _> =
                listed.map(|alias| ((region, alias.alias_name.unwrap()), alias.target_key_id.unwrap())).collect();
            let aliases = self.model.aliases.iter().filter(|((there, _), _)| *there == region);
            let expected: BTreeMap<_, _> = aliases.map(|(name, id)| (name.clone(), id.clone())).collect();
            self.demand("*", seen == expected, || format!("{region} lists the aliases {seen:?}, not {expected:?}"));
        }
        let newest = self.made.len().saturating_sub(40);
        let recent = self.made[newest..].to_vec();
        for made in recent.iter().chain((0..20).filter_map(|_| self.made.get(self.dice.below(self.made.len())))) {
            self.open(made, self.pick(&REGIONS)).await.ok();
        }
        self.observe_rows().await;
    }

    /// No row is left of keys that are gone, and no material that is not there has a row.
    async fn observe_rows(&self) {
        let rows = crate::rows(&*self.base.store).await;
        for (row, _) in rows {
            let row = String::from_utf8_lossy(&row).into_owned();
            let of = |id: &&String| row.contains(id.as_str());
            let Some(id) = self.ids.iter().find(of) else { continue };
            let region = REGIONS.iter().find(|region| row.contains(**region)).unwrap();
            let is_there = self.model.member(id, region).is_some();
            // Jobs of material that waited in a replica and was given up in the primary stay, and do nothing.
            let expiry = row.starts_with("due/") && row.contains(" expire ");
            self.demand(id, is_there || expiry, || format!("{row} is left of a key that is gone"));
            if let (Some((_, material)), Some((family, member))) =
                (row.split_once("/material/"), self.model.member(id, region))
                && family.external
            {
                let known = member.imports.contains_key(material);
                self.demand(id, known, || format!("{row} holds material that is not there"));
            }
            if let (Some(job), Some((family, member))) = (row.strip_prefix("due/kms/"), self.model.member(id, region)) {
                let words: Vec<&str> = job.split(' ').collect();
                let at: i64 = words[0].parse().unwrap();
                // Of material that waited in a replica and was given up in the primary, the job stays and does nothing.
                let forgotten = |named: &&str| family.materials.iter().all(|it| it.id.as_deref() != Some(*named));
                let wanted = match words[1] {
                    "delete" => member.state == State::PendingDeletion { at },
                    "expire" => {
                        member.imports.get(words[4]).is_some_and(|until| *until == Some(at)) || forgotten(&words[4])
                    }
                    _ => true,
                };
                self.demand(id, wanted, || format!("{row} is planned for nothing"));
            }
        }
    }

    async fn go(mut self) -> BTreeMap<(&'static str, &'static str), usize> {
        for turn in 0..STEPS {
            self.model.settle(self.now());
            match self.dice.below(100) {
                _ if self.ids.is_empty() => self.create().await,
                0..6 if self.model.families.len() < FAMILIES => self.create().await,
                6..9 => self.pass_time().await,
                9 => self.run_due().await,
                10..22 => self.open_something().await,
                _ => self.step().await,
            }
            if turn % 500 == 100 {
                self.wear_out().await;
            }
            if turn % 250 == 249 {
                self.run_due().await;
                for id in self.model.families.keys().cloned().collect::<Vec<_>>() {
                    self.observe_key(&id).await;
                }
                self.observe_all().await;
                assert!(self.world.engine.scrub().await.unwrap().broken.is_empty());
                self.world = self.base.open().await.unwrap();
            }
        }
        self.counts
    }
}

/// A row of ListKeyRotations.
#[derive(Debug, PartialEq, Eq)]
struct Shown {
    id: Option<String>,
    state: Option<KeyMaterialState>,
    how: Option<claviger_api::kms::RotationType>,
    since: Option<i64>,
    is_there: Option<bool>,
    until: Option<i64>,
    expires: Option<bool>,
    description: Option<String>,
}

fn shown_material(entry: &RotationsListEntry) -> Shown {
    Shown {
        id: entry.key_material_id.clone(),
        state: entry.key_material_state,
        how: entry.rotation_type,
        since: entry.rotation_date.map(Timestamp::millis),
        is_there: entry.import_state.map(|state| state == ImportState::Imported),
        until: entry.valid_to.map(Timestamp::millis),
        expires: entry.expiration_model.map(|model| model == ExpirationModelType::KeyMaterialExpires),
        description: entry.key_material_description.clone(),
    }
}

type Related = Option<(MultiRegionKeyType, Option<String>, Vec<Option<String>>)>;

fn family_of(shown: &KeyMetadata) -> Related {
    let regions = shown.multi_region_configuration.clone()?;
    let replicas = regions.replica_keys?.into_iter().map(|replica| replica.region).collect();
    Some((regions.multi_region_key_type?, regions.primary_key?.region, replicas))
}

fn expected_family(family: &Family, region: Region) -> Related {
    let primary = region == family.primary;
    let id = |other: &Region| Some((*other).to_owned());
    let kind = if primary { MultiRegionKeyType::Primary } else { MultiRegionKeyType::Replica };
    family.multi_region.then(|| (kind, id(&family.primary), family.replicas().iter().map(id).collect()))
}

/// Decrypt, VerifyMac or Verify.
fn ask_back(made: &Made) -> Request {
    let (key_id, grant_tokens, dry_run) = (made.id.clone(), None, None);
    let message = SecretBytes::from_slice(&made.message);
    match made.kind {
        Kind::Symmetric => {
            let request = DecryptRequest { ciphertext_blob: Some(made.bytes.clone()), ..DecryptRequest::default() };
            request!(Decrypt, request)
        }
        Kind::Hmac => {
            let (mac, mac_algorithm) = (made.bytes.clone(), MacAlgorithmSpec::HmacSha256);
            request!(VerifyMac, VerifyMacRequest { message, key_id, mac_algorithm, mac, grant_tokens, dry_run })
        }
        Kind::Pair => {
            let request = VerifyRequest {
                key_id,
                message,
                message_type: None,
                signature: made.bytes.clone(),
                signing_algorithm: SigningAlgorithmSpec::EcdsaSha256,
                grant_tokens,
                dry_run,
            };
            request!(Verify, request)
        }
    }
}

/// Every operation was done often, and refused often for every reason that counts.
fn demand_often(counts: &BTreeMap<(&'static str, &'static str), usize>) {
    let names: BTreeSet<&str> = counts.keys().map(|(name, _)| *name).collect();
    assert_eq!(names.len(), 21, "{names:?}");
    let rare = [
        ("RotateKeyOnDemand", "LimitExceededException"),
        ("RotateKeyOnDemand", "ConflictException"),
        ("ReplicateKey", "AlreadyExistsException"),
        ("ImportKeyMaterial", "IncorrectKeyMaterialException"),
        ("ImportKeyMaterial", "InvalidImportTokenException"),
        ("ImportKeyMaterial", "ExpiredImportTokenException"),
        ("ImportKeyMaterial", "InvalidCiphertextException"),
    ];
    for what in rare {
        assert!(counts.get(&what).is_some_and(|number| *number >= 20), "{what:?}: {counts:?}");
    }
    for name in names {
        let done = counts.get(&(name, "done")).copied().unwrap_or_default();
        let refused: usize =
            counts.iter().filter(|((it, told), _)| *it == name && *told != "done").map(|(_, n)| n).sum();
        let (least_done, least_refused) = match name {
            "CreateKey" => (500, 0),
            "GetParametersForImport" => (60, 500),
            _ => (150, 100),
        };
        assert!(done >= least_done && refused >= least_refused, "{name}: {done} done, {refused} refused: {counts:?}");
    }
}

#[tokio::test]
async fn random_lives_agree_with_the_model() {
    let ring = Ring::new().await;
    let only: Option<u64> = std::env::var("CLAVIGER_TEST_SEED").ok().and_then(|seed| seed.parse().ok());
    if let Some(seed) = only {
        drop(Life::new(seed, &ring).await.go().await);
        return;
    }
    let mut counts = BTreeMap::new();
    for seed in 0..LIVES {
        for (what, number) in Life::new(seed, &ring).await.go().await {
            *counts.entry(what).or_insert(0) += number;
        }
    }
    let steps: usize = counts.values().sum();
    assert!(steps >= 100_000, "{steps} steps");
    demand_often(&counts);
}
