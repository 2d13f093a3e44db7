//! `claviger server`: production.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use claviger_audit::Log;
use claviger_engine::{Authentication, Deployment, Engine, Parts, Value};
use claviger_iam::Iam;
use claviger_secret::event;
use claviger_server::{Gateway, Limits, Metrics, Observer, Outside, Server, SystemClock, Tls};
use claviger_store::Embedded;

use crate::config::{self, Config, Transport};
use crate::operators::{self, Accounts};
use crate::world::{Face, SystemChance, World};
use crate::{Failure, attestation_roots, dev, init, say, serve};

pub(crate) async fn run(file: &Path) -> Result<(), Failure> {
    serve::log(true);
    let config = config::read(file)?;
    let tls = match &config.transport {
        Transport::Tls { certificate, key } => {
            Some(Tls::from_pem_files(certificate, key).map_err(|error| error.to_string())?)
        }
        Transport::DangerPlaintext => {
            event!(warn, "serving plain HTTP: whoever can read the network reads every plaintext");
            None
        }
    };
    let stop = serve::stop_signal()?;
    let bound = claviger_server::bind(config.listen).await.map_err(|error| error.to_string())?;
    let observed = match config.observe_listen {
        Some(address) => Some(claviger_server::bind(address).await.map_err(|error| error.to_string())?),
        None => None,
    };
    let face = Arc::new(Face::new(world(&config).await?));
    let timers = serve::timers(&face);
    let metrics = Arc::new(Metrics::new(|_| ()));
    let ready = Arc::new(AtomicBool::new(true));
    let observing = observed.map(|bound| {
        let ready = Arc::clone(&ready);
        let observer = Observer::new(Arc::clone(&metrics), Arc::new(move || ready.load(Ordering::Acquire)));
        let server = Server::new(Limits::default(), Arc::clone(&metrics));
        server.listen(bound, None, Arc::new(observer));
        server
    });
    let operators =
        operators::listen(&config.data, &face, &metrics, Accounts::Kept).map_err(|error| error.to_string())?;
    let gateway = Gateway::new(Arc::clone(&face) as _, Arc::new(SystemChance), Arc::clone(&metrics));
    let server = Server::new(Limits::default(), metrics);
    let (address, scheme) = (bound.address(), if tls.is_some() { "https" } else { "http" });
    server.listen(bound, tls, Arc::new(gateway));
    say(&format!("listening on {scheme}://{address}"));
    let stopping = Arc::clone(&ready);
    let ended = serve::until_stopped(server, Some(operators), &face, timers, stop, move || {
        stopping.store(false, Ordering::Release)
    })
    .await;
    if let Some(observing) = observing {
        observing.drain().await;
    }
    ended
}

async fn world(config: &Config) -> Result<World, Failure> {
    let failed = |what: &str| format!("{}: {what}", config.data.display());
    if !config.data.exists() {
        return Err(failed("there is no such directory; claviger init makes it"));
    }
    let store = Embedded::open(&config.data).map_err(|error| failed(&error.to_string()))?;
    let secret = init::secret(config, false)?;
    let deployment = Deployment::unseal(&store, &secret).await.map_err(|error| failed(&error.to_string()))?;
    let directory = config.data.join("audit");
    let audit = Log::open(&directory, deployment.audit_key, dev::NODE, init::audit_settings(config))
        .map_err(|error| failed(&error.to_string()))?;
    let iam = Arc::new(Iam::with_egress(Arc::new(Outside::new(config.egress.clone()))));
    let parts = Parts {
        store: Arc::new(store),
        keys: deployment.keys,
        audit,
        clock: Arc::new(SystemClock::new()),
        chance: Arc::new(SystemChance),
        authentication: Authentication::Verify(Arc::clone(&iam) as _),
        principals_must_exist: true,
        node: dev::NODE.to_owned(),
        clock_rule: config.clock_rule,
        regions: config.regions.clone(),
    };
    let engine = Engine::open(parts).await.map_err(|fault| failed(&fault.to_string()))?;
    let facts = Value::object([("mode", Value::public_text("server"))])
        .with("configurationSha256", Value::public_text(&config.digest))
        .with("dangerPlaintextHttp", config.transport == Transport::DangerPlaintext);
    engine.note_start(facts).map_err(|fault| failed(&fault.to_string()))?;
    if let Err(fault) = claviger_iam::complete_accounts(&engine).await {
        event!(error, "the accounts' facts could not be completed", fault = fault);
    }
    match claviger_iam::accounts(&engine).await {
        Ok(accounts) => engine.set_accounts(accounts),
        Err(fault) => {
            // No account is then known to exist, so no policy can name one; keys that are there still work.
            event!(error, "the accounts could not be read", fault = fault);
            engine.set_accounts(std::collections::BTreeSet::new());
        }
    }
    let world = World::new(engine, iam, attestation_roots::read(&config.attestation_roots)?).with_audit(&directory);
    let world = config.quotas.apply(world).map_err(|error| error.to_string())?;
    world.follow_uses().await;
    Ok(world)
}
