//! Obeys the operator face.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use claviger_audit::Recorded;
use claviger_crypto::UnsealSecret;
use claviger_engine::{
    BoxFuture, Call, Chance as _, ClockStanding, ClockState, Command, CommandError, CommandWork, Commanded, Engine,
    EngineState, Fault, Operator, Value, Writes,
};
use claviger_iam::{AccountSummary, RootCredential};
use claviger_policy::AccountId;
use claviger_server::{
    AccountCreate, AccountRootCredentials, AccountShown, AccountsShown, ClockShown, ClockStandingShown, Credentials,
    Metrics, OperatorAnswer, OperatorFace, OperatorReply, OperatorRequest, OperatorSocketError, Operators, Server,
    Status, UnsealKind, Uptime,
};

use crate::explain::{self, Explaining};
use crate::explain_request;
use crate::key_impact::{self, Reporting};
use crate::organization;
use crate::world::{Face, SystemChance};

/// A server for the operator face of this data directory, listening. To be called with the store's lock held.
pub(crate) fn listen(
    data: &Path,
    face: &Arc<Face>,
    metrics: &Arc<Metrics>,
    accounts: Accounts,
) -> Result<Server, OperatorSocketError> {
    let socket = claviger_server::bind_operator(data, rustix::process::geteuid().as_raw())?;
    let log = data.join("audit");
    let obeying = Obeying { face: Arc::clone(face), uptime: Uptime::begin(), accounts, log };
    let server = Server::new(OperatorFace::limits(), Arc::clone(metrics));
    server.listen_operator(socket, OperatorFace::new(Arc::new(obeying), Arc::new(SystemChance)));
    Ok(server)
}

/// Whether accounts are made and closed here.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Accounts {
    /// They are.
    Kept,
    /// Every account exists: `dev` without `--enforce`.
    Any,
}

struct Obeying {
    face: Arc<Face>,
    uptime: Uptime,
    accounts: Accounts,
    /// The directory of the audit log.
    log: PathBuf,
}

impl Operators for Obeying {
    fn obey(
        &self,
        operator: Operator,
        request_id: String,
        request: OperatorRequest,
    ) -> BoxFuture<'_, Result<OperatorReply, Fault>> {
        let world = self.face.world();
        Box::pin(async move {
            let command = command(operator, request_id, &request);
            let needs_none = matches!(
                request,
                OperatorRequest::Status
                    | OperatorRequest::Explain(_)
                    | OperatorRequest::ExplainRequest(_)
                    | OperatorRequest::KeyImpact(_)
                    | OperatorRequest::ClockAccept
            );
            if self.accounts == Accounts::Any && !needs_none {
                let message = "every account exists in dev without --enforce; there is nothing to keep";
                return refuse(&world.engine, &command, CommandError::refused("AccountsNotKept", message)).await;
            }
            match request {
                OperatorRequest::Status => {
                    let looking = Looking { state: world.engine.state().await, uptime: self.uptime };
                    world.engine.operate(&command, &looking).await
                }
                OperatorRequest::AccountCreate(AccountCreate { account, name }) => {
                    create(&world.engine, command, account.as_deref(), &name).await
                }
                OperatorRequest::AccountList(request) => {
                    let listed = claviger_iam::list_accounts(&world.engine, &command, request.after.as_deref());
                    Ok(listed.await?.map(|listed| listed.map(accounts_shown)))
                }
                OperatorRequest::AccountClose(_) => set_open(&world.engine, &command, false).await,
                OperatorRequest::AccountReopen(_) => set_open(&world.engine, &command, true).await,
                OperatorRequest::AccountRootCredentials(request) => {
                    root_credentials(&world.engine, &command, request).await
                }
                OperatorRequest::Organization(request) => {
                    match organization::obey(&world.engine, &world.iam, &command, request).await {
                        Some(reply) => reply,
                        None => no_account(&world.engine, &command).await,
                    }
                }
                OperatorRequest::Explain(request) => {
                    let explaining = Explaining { world: Arc::clone(&world), request };
                    world.engine.operate(&command, &explaining).await
                }
                OperatorRequest::KeyImpact(request) => {
                    let reporting = Reporting { request, log: self.log.clone() };
                    world.engine.operate(&command, &reporting).await
                }
                OperatorRequest::ExplainRequest(request) => {
                    let found = explain_request::find(Arc::clone(&world), self.log.clone(), request).await;
                    world.engine.operate(&command, &found).await
                }
                OperatorRequest::ClockAccept => {
                    let accepted = world.engine.accept_clock(&command).await?;
                    Ok(accepted.map(|accepted| accepted.map(|state| OperatorAnswer::Clock(clock_shown(state)))))
                }
            }
        })
    }

    fn turned_away(&self, operator: Operator) {
        self.face.world().engine.note_foreign_operator(operator);
    }
}

/// The command that a request is, as its record shows it.
fn command(operator: Operator, request_id: String, request: &OperatorRequest) -> Command {
    let named = |account: &str| Value::object([("accountId", Value::public_text(account))]);
    let (name, read_only, account, facts) = match request {
        OperatorRequest::Status => ("GetStatus", true, None, Value::Null),
        OperatorRequest::AccountList(_) => ("ListAccounts", true, None, Value::Null),
        OperatorRequest::AccountCreate(request) => {
            let facts = named(request.account.as_deref().unwrap_or_default());
            let facts = facts.with("name", Value::public_text(&request.name));
            ("CreateAccount", false, request.account.as_deref(), facts)
        }
        OperatorRequest::AccountClose(request) => {
            ("CloseAccount", false, Some(request.account.as_str()), named(&request.account))
        }
        OperatorRequest::AccountReopen(request) => {
            ("ReopenAccount", false, Some(request.account.as_str()), named(&request.account))
        }
        OperatorRequest::AccountRootCredentials(request) => {
            let facts = named(&request.account).with("replace", request.replace);
            ("CreateRootCredentials", false, Some(request.account.as_str()), facts)
        }
        OperatorRequest::Organization(request) => {
            let organization::Described { name, read_only, account, facts } = organization::described(request);
            (name, read_only, account, facts)
        }
        OperatorRequest::KeyImpact(request) => ("ReportKeyImpact", true, None, key_impact::facts(request)),
        OperatorRequest::Explain(request) => ("Explain", true, None, explain::facts(request)),
        OperatorRequest::ExplainRequest(request) => {
            let facts = Value::object([("requestId", Value::public_text(&request.request_id))]);
            ("ExplainRequest", true, None, facts)
        }
        OperatorRequest::ClockAccept => ("AcceptClock", false, None, Value::Null),
    };
    Command { name, read_only, operator, request_id, account: account.and_then(AccountId::parse), facts }
}

/// Answers no, and records that.
async fn refuse(engine: &Engine, command: &Command, error: CommandError) -> Result<OperatorReply, Fault> {
    engine.operate(command, &Refusing(error)).await
}

struct Refusing(CommandError);

impl CommandWork for Refusing {
    type Response = OperatorAnswer;

    async fn run(&self, _: &mut Call<'_>) -> Result<Commanded<OperatorAnswer>, CommandError> {
        Err(self.0.clone())
    }
}

async fn no_account(engine: &Engine, command: &Command) -> Result<OperatorReply, Fault> {
    refuse(engine, command, CommandError::refused("InvalidAccount", "an account has 12 digits")).await
}

/// Looks at the server; the engine was looked at before, since that opens a view of the store of its own.
struct Looking {
    state: Result<EngineState, Fault>,
    uptime: Uptime,
}

impl CommandWork for Looking {
    type Response = OperatorAnswer;

    async fn run(&self, call: &mut Call<'_>) -> Result<Commanded<OperatorAnswer>, CommandError> {
        let state = self.state.clone()?;
        // When a row of them does not open, that is just what the rest of the answer is wanted for.
        let (accounts, accounts_closed) = claviger_iam::count_accounts(call).await.ok().unzip();
        let status = Status {
            version: env!("CARGO_PKG_VERSION").to_owned(),
            node: crate::dev::NODE.to_owned(),
            uptime_seconds: self.uptime.seconds(),
            store_revision: state.store_revision,
            store_number: state.store_number,
            audit_sequence: state.audit_head.sequence,
            audit_head: state.audit_head.hash.to_string(),
            audit_on_disk: state.audit_synced,
            audit_unrecorded: state.audit_unrecorded,
            accounts,
            accounts_closed,
            groups_refused: state.groups_refused,
            clock: clock_shown(state.clock),
        };
        Ok(Commanded { response: OperatorAnswer::Status(status), writes: Writes::default(), shown: Value::Null })
    }
}

fn clock_shown(state: ClockState) -> ClockShown {
    let ClockState { standing, now, newest, jobs_waiting } = state;
    let (standing, millis) = match standing {
        ClockStanding::Sound => (ClockStandingShown::Sound, 0),
        ClockStanding::Behind(millis) => (ClockStandingShown::Behind, millis),
        ClockStanding::Leapt(millis) => (ClockStandingShown::Leapt, millis),
        ClockStanding::Unknown => (ClockStandingShown::Unknown, 0),
    };
    let newest = newest.map(|newest| newest.to_iso8601());
    let seconds = millis.unsigned_abs() / 1_000;
    ClockShown { time: now.to_iso8601(), newest, standing, seconds, jobs_waiting }
}

async fn create(
    engine: &Engine,
    mut command: Command,
    account: Option<&str>,
    name: &str,
) -> Result<OperatorReply, Fault> {
    let account = match account {
        Some(text) => AccountId::parse(text),
        None => random_account(),
    };
    let Some(account) = account else { return no_account(engine, &command).await };
    if command.account.is_none() {
        command.account = Some(account);
        command.facts = Value::object([("name", Value::public_text(name))]);
    }
    let made = claviger_iam::make_account(engine, &command, account, name).await?;
    Ok(credentials(account, made))
}

/// Twelve random digits. Should they be taken, the command is refused and can be given again.
fn random_account() -> Option<AccountId> {
    let mut bytes = [0; 8];
    SystemChance.fill(&mut bytes).ok()?;
    AccountId::parse(&format!("{:012}", u64::from_be_bytes(bytes) % 1_000_000_000_000))
}

async fn set_open(engine: &Engine, command: &Command, open: bool) -> Result<OperatorReply, Fault> {
    let Some(account) = command.account else { return no_account(engine, command).await };
    let done = claviger_iam::set_account_open(engine, command, account, open).await?;
    Ok(done.map(|done| done.map(|account| OperatorAnswer::Account(account_shown(account)))))
}

async fn root_credentials(
    engine: &Engine,
    command: &Command,
    request: AccountRootCredentials,
) -> Result<OperatorReply, Fault> {
    let AccountRootCredentials { account: _, replace, kind, unseal } = request;
    let Some(account) = command.account else { return no_account(engine, command).await };
    let unseal = match kind {
        UnsealKind::File => UnsealSecret::file(unseal),
        UnsealKind::Passphrase => UnsealSecret::passphrase(unseal),
    };
    let proven = match unseal {
        Ok(unseal) => engine.is_unseal_secret(unseal).await,
        // Too short to be any deployment's.
        Err(_) => Ok(false),
    };
    match proven {
        Err(fault) => refuse(engine, command, fault.into()).await,
        Ok(proven) => {
            let made = claviger_iam::make_root_credentials(engine, command, account, proven, replace).await?;
            Ok(credentials(account, made))
        }
    }
}

fn credentials(account: AccountId, made: Recorded<Result<RootCredential, CommandError>>) -> OperatorReply {
    made.map(|made| {
        made.map(|RootCredential { access_key_id, secret_access_key }| {
            let account = account.as_str().to_owned();
            OperatorAnswer::Credentials(Credentials { account, access_key_id, secret_access_key })
        })
    })
}

fn account_shown(account: AccountSummary) -> AccountShown {
    let AccountSummary { account, name, created, closed } = account;
    AccountShown { account, name, created: created.to_iso8601(), closed: closed.map(|closed| closed.to_iso8601()) }
}

fn accounts_shown(accounts: Vec<AccountSummary>) -> OperatorAnswer {
    let more = accounts.len() == claviger_iam::ACCOUNTS_PAGE;
    OperatorAnswer::Accounts(AccountsShown { accounts: accounts.into_iter().map(account_shown).collect(), more })
}
