//! `claviger dev`: a faithful KMS on localhost.

use std::path::PathBuf;
use std::sync::Arc;

use claviger_api::Timestamp;
use claviger_audit::{Log, Settings};
use claviger_crypto::{Random, SystemRandom, UnsealSecret};
use claviger_engine::{Authentication, Clock, ClockRule, Deployment, Engine, Parts, Regions, Value};
use claviger_iam::{Iam, RootCredential};
use claviger_policy::AccountId;
use claviger_secret::{LogText, SecretBytes, event};
use claviger_server::{
    Dev, EgressRules, Gateway, HostAndPort, HostRule, Limits, Metrics, Observer, Outside, Server, SystemClock,
};
use claviger_store::{Embedded, Memory, Store};

use crate::arguments::DevArguments;
use crate::controls::{Controls, offset_file};
use crate::operators::{self, Accounts};
use crate::quotas::QuotaSettings;
use crate::world::{Face, SystemChance, World};
use crate::{Failure, attestation_roots, say, say_secret, seed, serve, unseal};

/// The name of the one node of a single process.
pub(crate) const NODE: &str = "node-1";
/// Audit lines kept in memory without a directory.
const AUDIT_LINES: usize = 10_000;

/// Where `dev --data` keeps its unseal secret: beside the data, since it protects nothing.
pub(crate) fn unseal_file(data: &std::path::Path) -> PathBuf {
    data.join("dev-unseal.key")
}

/// What a dev world is made from, so that it can be made again.
pub(crate) struct Recipe {
    pub(crate) data: Option<PathBuf>,
    account: AccountId,
    enforce: bool,
    quotas: QuotaSettings,
    regions: Regions,
    roots: Vec<(AccountId, String, SecretBytes)>,
    seed: Option<PathBuf>,
    attestation_roots: Vec<PathBuf>,
    /// Hosts of identity providers on this machine.
    plain_hosts: Vec<HostAndPort>,
    /// What the process was told to risk, for the record of its start.
    anywhere: bool,
    origins: Vec<String>,
}

impl Recipe {
    fn new(arguments: &DevArguments) -> Result<Self, Failure> {
        let account =
            |text: &str| AccountId::parse(text).ok_or_else(|| format!("{text} is not an account of 12 digits"));
        let plain_hosts = arguments.allow_egress.iter().map(|text| {
            HostAndPort::parse(text).ok_or_else(|| format!("--allow-egress takes HOST:PORT, which {text} is not"))
        });
        let plain_hosts = plain_hosts.collect::<Result<_, _>>()?;
        let regions = match arguments.regions.as_slice() {
            [] => Regions::EVERY,
            named => Regions::these(named.iter().cloned()).map_err(
                |_| "--region takes the name of a Region: lower-case letters, digits and hyphens, such as eu-central-1",
            )?,
        };
        let mut roots = Vec::new();
        for root in &arguments.roots {
            let parts = root.split_once('=').and_then(|(id, rest)| Some((id, rest.split_once(':')?)));
            let (id, (key, secret)) = parts.ok_or("--root takes ACCOUNT=ACCESS_KEY_ID:SECRET")?;
            if key.len() < 16 || key.len() > 128 || !key.bytes().all(|byte| byte.is_ascii_alphanumeric()) {
                return Err("--root: an access key id has 16 to 128 letters and digits".to_owned());
            }
            roots.push((account(id)?, key.to_owned(), SecretBytes::from_slice(secret.as_bytes())));
        }
        Ok(Self {
            data: arguments.data.clone(),
            account: account(&arguments.account)?,
            enforce: arguments.enforce,
            quotas: QuotaSettings { requests: arguments.quotas, ..QuotaSettings::default() },
            regions,
            roots,
            seed: arguments.seed.clone(),
            attestation_roots: arguments.attestation_roots.clone(),
            plain_hosts,
            anywhere: arguments.danger_listen_anywhere,
            origins: arguments.allow_origin.clone(),
        })
    }

    /// Opens the store and everything above it.
    pub(crate) async fn world(&self, clock: Arc<SystemClock>) -> Result<World, Failure> {
        let (store, deployment): (Arc<dyn Store>, Deployment) = match &self.data {
            None => {
                let store = Memory::new();
                let secret = SystemRandom.secret(32).map_err(|error| error.to_string())?;
                let secret = UnsealSecret::file(secret).map_err(|error| error.to_string())?;
                let deployment = Deployment::initialise(&store, &secret).await.map_err(|error| error.to_string())?;
                (Arc::new(store), deployment)
            }
            Some(data) => self.durable(data).await?,
        };
        let audit = match &self.data {
            None => Log::in_memory(AUDIT_LINES),
            Some(data) => Log::open(&data.join("audit"), deployment.audit_key, NODE, Settings::default())
                .map_err(|error| error.to_string())?,
        };
        let rules = EgressRules { danger_plain: self.plain_hosts.clone(), ..EgressRules::default() };
        let iam = Arc::new(Iam::with_egress(Arc::new(Outside::new(rules))));
        let authentication = if self.enforce {
            Authentication::Verify(Arc::clone(&iam) as _)
        } else {
            Authentication::DangerAnyCredential { default_account: self.account }
        };
        let now = clock.now();
        let parts = Parts {
            store,
            keys: deployment.keys,
            audit,
            clock,
            chance: Arc::new(SystemChance),
            authentication,
            principals_must_exist: self.enforce,
            node: NODE.to_owned(),
            // Whoever runs it moves the clock, and keeps data for as long as is wanted.
            clock_rule: ClockRule::ALWAYS,
            regions: self.regions.clone(),
        };
        let world = World::new(
            Engine::open(parts).await.map_err(|fault| fault.to_string())?,
            iam,
            attestation_roots::read(&self.attestation_roots)?,
        );
        let world = match &self.data {
            Some(data) => world.with_audit(&data.join("audit")),
            None => world,
        };
        let world = self.quotas.apply(world).map_err(|error| error.to_string())?;
        let facts = Value::object([("mode", Value::public_text("dev"))])
            .with("enforce", self.enforce)
            .with("quotas", self.quotas.requests)
            .with("dangerListenAnywhere", self.anywhere)
            .with("allowOrigin", Value::list(self.origins.iter().map(|origin| Value::public_text(origin))));
        world.engine.note_start(facts).map_err(|fault| fault.to_string())?;
        self.furnish(&world, now).await?;
        world.follow_uses().await;
        Ok(world)
    }

    /// Puts there what a world has from the start: accounts and seeded keys.
    pub(crate) async fn furnish(&self, world: &World, now: Timestamp) -> Result<(), Failure> {
        if self.enforce {
            self.make_accounts(world).await?;
        }
        match &self.seed {
            Some(file) => seed::apply(world, file, self.account.as_str(), now).await,
            None => Ok(()),
        }
    }

    async fn durable(&self, data: &std::path::Path) -> Result<(Arc<dyn Store>, Deployment), Failure> {
        let failed = |what: &str| format!("{}: {what}", data.display());
        let store = Embedded::open(data).map_err(|error| failed(&error.to_string()))?;
        let file = unseal_file(data);
        let exists = Deployment::exists(&store).await.map_err(|error| failed(&error.to_string()))?;
        if !exists && !file.exists() {
            unseal::make_file(&file)?;
        }
        let secret = unseal::from_file(&file)?;
        let deployment = if exists {
            Deployment::unseal(&store, &secret).await
        } else {
            Deployment::initialise(&store, &secret).await
        };
        Ok((Arc::new(store), deployment.map_err(|error| failed(&error.to_string()))?))
    }

    async fn make_accounts(&self, world: &World) -> Result<(), Failure> {
        for (account, key, secret) in &self.roots {
            let given = RootCredential {
                access_key_id: key.clone(),
                secret_access_key: SecretBytes::from_slice(secret.expose()),
            };
            let made = claviger_iam::create_account(&world.engine, *account, Some(given)).await;
            made.map_err(|error| format!("--root {}: {error:?}", account.as_str()))?;
        }
        let known = claviger_iam::accounts(&world.engine).await.map_err(|fault| fault.to_string())?;
        if known.is_empty() {
            let made = claviger_iam::create_account(&world.engine, self.account, None).await;
            let made = made.map_err(|error| format!("{error:?}"))?;
            say(&format!("account {}: AWS_ACCESS_KEY_ID={}", self.account.as_str(), made.access_key_id));
            say_secret(&format!("account {}: AWS_SECRET_ACCESS_KEY", self.account.as_str()), &made.secret_access_key);
        }
        claviger_iam::complete_accounts(&world.engine).await.map_err(|fault| fault.to_string())?;
        let accounts = claviger_iam::accounts(&world.engine).await.map_err(|fault| fault.to_string())?;
        world.engine.set_accounts(accounts);
        Ok(())
    }
}

/// Runs until it is told to stop.
pub(crate) async fn run(arguments: DevArguments) -> Result<(), Failure> {
    serve::log(false);
    if !arguments.listen.ip().is_loopback() && !arguments.danger_listen_anywhere {
        return Err(format!(
            "{} is not a loopback address: whoever reaches it has every key; --danger-listen-anywhere allows it",
            arguments.listen
        ));
    }
    let recipe = Arc::new(Recipe::new(&arguments)?);
    let stop = serve::stop_signal()?;
    // The port first: if it is taken, nothing was opened or made.
    let bound = claviger_server::bind(arguments.listen).await.map_err(|error| error.to_string())?;
    let offset = recipe.data.as_ref().and_then(|data| std::fs::read_to_string(offset_file(data)).ok());
    let offset = offset.and_then(|text| text.trim().parse().ok()).unwrap_or_default();
    let clock = Arc::new(SystemClock::with_offset(offset));
    let face = Arc::new(Face::new(recipe.world(Arc::clone(&clock)).await?));
    let timers = serve::timers(&face);
    let metrics = Arc::new(Metrics::new(|_| ()));
    let observer = Observer::new(Arc::clone(&metrics), Arc::new(|| true));
    let controls = Arc::new(Controls { face: Arc::clone(&face), clock, recipe });
    let host = if arguments.danger_listen_anywhere { HostRule::DangerAny } else { HostRule::Loopback };
    let dev = Dev::new(host, arguments.allow_origin, Arc::clone(&controls) as _, observer);
    let gateway = Gateway::new(Arc::clone(&face) as _, Arc::new(SystemChance), Arc::clone(&metrics)).with_dev(dev);
    let server = Server::new(Limits::default(), Arc::clone(&metrics));
    let address = bound.address();
    let operators = operators(&controls.recipe, &face, &metrics);
    server.listen(bound, None, Arc::new(gateway));
    greet(address, arguments.enforce, face.world().engine.regions().default_region());
    serve::until_stopped(server, operators, &face, timers, stop, || ()).await
}

/// The operator face, where there is a directory for its socket. A development server goes without rather than not at
/// all, in a directory mounted from elsewhere for instance.
fn operators(recipe: &Recipe, face: &Arc<Face>, metrics: &Arc<Metrics>) -> Option<Server> {
    let data = recipe.data.as_ref()?;
    let accounts = if recipe.enforce { Accounts::Kept } else { Accounts::Any };
    match operators::listen(data, face, metrics, accounts) {
        Ok(server) => Some(server),
        Err(error) => {
            event!(warn, "there is no operator face: status and account will not work", cause = LogText::of(&error));
            None
        }
    }
}

fn greet(address: std::net::SocketAddr, enforce: bool, region: &str) {
    say(&format!("listening on http://{address}"));
    say("");
    say("Point the AWS CLI, boto3 and every AWS SDK at it:");
    say(&format!("  export AWS_ENDPOINT_URL=http://{address} AWS_REGION={region} AWS_DEFAULT_REGION={region}"));
    if enforce {
        say("  export AWS_ACCESS_KEY_ID=... AWS_SECRET_ACCESS_KEY=...   # the root credentials");
    } else {
        say("  export AWS_ACCESS_KEY_ID=dev AWS_SECRET_ACCESS_KEY=dev   # any will do");
    }
    say("  aws kms create-key");
}
