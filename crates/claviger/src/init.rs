//! `claviger init`: the root key, the first account, its root access key, printed once.

use std::path::Path;
use std::sync::Arc;

use claviger_audit::{Log, Settings};
use claviger_engine::{Authentication, Deployment, DeploymentError, Engine, Parts, Value};
use claviger_iam::Iam;
use claviger_server::SystemClock;
use claviger_store::Embedded;

use crate::config::{self, Config, Unseal};
use crate::world::SystemChance;
use crate::{Failure, dev, say, say_secret, unseal};

/// The unseal secret that the configuration names; a missing file is made when `make` is set.
pub(crate) fn secret(config: &Config, make: bool) -> Result<claviger_crypto::UnsealSecret, Failure> {
    match &config.unseal {
        Unseal::Passphrase => unseal::from_standard_input(),
        Unseal::File(file) => {
            if make && !file.exists() {
                unseal::make_file(file)?;
                say(&format!("made the unseal secret {}: back it up, apart from the data", file.display()));
            }
            unseal::from_file(file)
        }
    }
}

/// The audit log's settings.
pub(crate) fn audit_settings(config: &Config) -> Settings {
    let mut settings = Settings::default();
    if config.every_record {
        settings.sync = claviger_audit::SyncMode::EveryRecord;
    }
    settings
}

pub(crate) async fn run(file: &Path) -> Result<(), Failure> {
    let config = config::read(file)?;
    let failed = |what: &str| format!("{}: {what}", config.data.display());
    let store = Embedded::open(&config.data).map_err(|error| failed(&error.to_string()))?;
    if Deployment::exists(&store).await.map_err(|error| failed(&error.to_string()))? {
        return Err(failed(&DeploymentError::Exists.to_string()));
    }
    let secret = secret(&config, true)?;
    let deployment = Deployment::initialise(&store, &secret).await.map_err(|error| failed(&error.to_string()))?;
    let audit = Log::open(&config.data.join("audit"), deployment.audit_key, dev::NODE, audit_settings(&config))
        .map_err(|error| failed(&error.to_string()))?;
    let parts = Parts {
        store: Arc::new(store),
        keys: deployment.keys,
        audit,
        clock: Arc::new(SystemClock::new()),
        chance: Arc::new(SystemChance),
        authentication: Authentication::Verify(Arc::new(Iam::default())),
        principals_must_exist: true,
        node: dev::NODE.to_owned(),
        clock_rule: config.clock_rule,
        regions: config.regions.clone(),
    };
    let engine = Engine::open(parts).await.map_err(|fault| failed(&fault.to_string()))?;
    let facts = Value::object([("mode", Value::public_text("init"))])
        .with("configurationSha256", Value::public_text(&config.digest));
    engine.note_start(facts).map_err(|fault| failed(&fault.to_string()))?;
    let made = claviger_iam::create_account(&engine, config.account, None).await;
    let made = made.map_err(|error| failed(&format!("the account could not be made: {error:?}")))?;
    engine.sync_audit().await.map_err(|fault| failed(&fault.to_string()))?;
    say(&format!("account {}", config.account.as_str()));
    say(&format!("regions {}", config.regions.names().collect::<Vec<_>>().join(" ")));
    say(&format!("AWS_ACCESS_KEY_ID={}", made.access_key_id));
    say_secret("AWS_SECRET_ACCESS_KEY", &made.secret_access_key);
    say("This is the account's root access key. It is not shown again.");
    Ok(())
}
