//! Commands of an operator: no policy governs them, and they leave a record like every call.

use std::future::Future;

use claviger_audit::{Event, EventType, Head, Recorded, Value};
use claviger_crypto::UnsealSecret;
use claviger_policy::AccountId;
use claviger_secret::LogText;

use crate::committer::Committed;
use crate::engine::{COMMIT_RETRIES_MAX, Engine};
use crate::high_water::ClockState;
use crate::operation::Writes;
use crate::{Call, CallMeta, Caller, CommonError, Fault, OperationRow, open, trail};

/// Where commands count as made: accounts and their root credentials belong to no Region, as IAM's things.
const REGION: &str = "us-east-1";

/// Who gives a command, as the operating system vouches for it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Operator {
    /// The user that the process runs as.
    pub uid: u32,
    /// The process; `None` when it is not visible from here (another container).
    pub process: Option<i32>,
}

impl Operator {
    fn identity(self) -> Value {
        Value::object([("type", Value::public_text("Operator"))]).with("uid", self.uid).with("processId", self.process)
    }
}

/// One command.
#[derive(Clone, Debug)]
pub struct Command {
    /// What the record calls it, for example `CreateAccount`.
    pub name: &'static str,
    /// Whether it changes nothing.
    pub read_only: bool,
    /// Who gives it.
    pub operator: Operator,
    /// A UUID in text form.
    pub request_id: String,
    /// The account in whose log it belongs; none for what concerns the whole deployment.
    pub account: Option<AccountId>,
    /// `requestParameters` of the record.
    pub facts: Value,
}

/// What a command does.
pub trait CommandWork: Send + Sync {
    /// What the operator gets.
    type Response: Send;

    /// Reads, and says what is to be written. It is run again when something that it read has changed meanwhile.
    fn run(&self, call: &mut Call<'_>) -> impl Future<Output = Result<Commanded<Self::Response>, CommandError>> + Send;
}

/// What a command came to.
pub struct Commanded<T> {
    /// What the operator gets.
    pub response: T,
    /// What must be durable before.
    pub writes: Writes,
    /// `responseElements` of the record.
    pub shown: Value,
}

/// Why a command was not obeyed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum CommandError {
    /// It cannot be.
    Refused {
        /// A name for programs, for example `NoSuchAccount`.
        code: &'static str,
        /// A sentence for people; it holds no secret.
        message: String,
    },
    /// Something of ours is wrong.
    Fault(Fault),
}

impl CommandError {
    /// A refusal with this name and sentence.
    #[must_use]
    pub fn refused(code: &'static str, message: impl Into<String>) -> Self {
        Self::Refused { code, message: message.into() }
    }
}

impl From<Fault> for CommandError {
    fn from(fault: Fault) -> Self {
        Self::Fault(fault)
    }
}

/// How the engine is, for `claviger status`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EngineState {
    /// The store's revision.
    pub store_revision: u64,
    /// The number of the last commit.
    pub store_number: u64,
    /// The newest entry of the audit log.
    pub audit_head: Head,
    /// How many entries of the audit log are signed and on disk; 0 for a log in memory.
    pub audit_synced: u64,
    /// Calls that ended without a record, since the log could not be written. None was answered with more than an
    /// error.
    pub audit_unrecorded: u64,
    /// Groups of rows, of 256, that do not add up and are refused.
    pub groups_refused: usize,
    /// The clock.
    pub clock: ClockState,
}

impl Engine {
    /// Runs a command: `work` reads and says what is to be written, and the record travels in the same commit. As with
    /// a call, the answer exists only with its record.
    ///
    /// # Errors
    /// [`Fault::Audit`] when the record could not be written.
    pub async fn operate<W: CommandWork>(
        &self,
        command: &Command,
        work: &W,
    ) -> Result<Recorded<Result<W::Response, CommandError>>, Fault> {
        let (caller, meta) = (command.caller(), command.meta());
        let pending = self.audit().open_call(self.command_head(command));
        let mut turn = None;
        for _ in 0..COMMIT_RETRIES_MAX {
            let mut call = Call::new(self, &caller, &meta);
            let done = work.run(&mut call).await;
            let seen = call.into_seen();
            let (response, writes, shown) = match done {
                Ok(Commanded { response, writes, shown }) => (Ok(response), writes, shown),
                Err(error) => (Err(error), Writes::default(), Value::Null),
            };
            let event = command.event(response.as_ref().err(), shown);
            if writes.is_empty() {
                return self.audit().append(pending, &event, response).map_err(|_| Fault::Audit);
            }
            let prepared = pending.prepare(&event).map_err(|_| Fault::Audit)?;
            let (row, number) = self.outbox_row();
            match self.commit(seen, writes, &[(&row, &prepared)]).await {
                Ok(Committed::Conflict) if turn.is_none() => turn = Some(self.contended.lock().await),
                Ok(Committed::Conflict) => {}
                Ok(Committed::Done) => {
                    return Ok(self.audit().append_committed(pending, prepared, number, response));
                }
                Err(fault) => return self.failed(command, pending, fault),
            }
        }
        self.failed(command, pending, Fault::Contention)
    }

    fn failed<T>(
        &self,
        command: &Command,
        pending: claviger_audit::Pending,
        fault: Fault,
    ) -> Result<Recorded<Result<T, CommandError>>, Fault> {
        let error = CommandError::Fault(fault);
        let event = command.event(Some(&error), Value::Null);
        self.audit().append(pending, &event, Err(error)).map_err(|_| Fault::Audit)
    }

    /// Records that a process was turned away which may not give commands, at the bounded rate of failed
    /// authentications.
    pub fn note_foreign_operator(&self, operator: Operator) {
        if !self.may_record_refusal() {
            return;
        }
        let command = Command {
            name: "Connect",
            read_only: true,
            operator,
            request_id: String::new(),
            account: None,
            facts: Value::Null,
        };
        let error = CommandError::refused("AccessDenied", "only the server's own user and root may give commands");
        let pending = self.audit().open_call(self.command_head(&command));
        // The process is turned away in any case; a full disk already shows elsewhere.
        drop(self.audit().append(pending, &command.event(Some(&error), Value::Null), ()));
    }

    fn command_head(&self, command: &Command) -> claviger_audit::Call {
        let row = OperationRow { name: command.name, event_source: "claviger", read_only: command.read_only };
        let mut head = trail::head(self, &command.caller(), &command.meta(), &row);
        head.event_type = EventType::Operator;
        head.identity = command.operator.identity();
        head.source_address = "operator.sock".into();
        head
    }

    /// How the engine is.
    ///
    /// # Errors
    /// [`Fault::Store`] when the store does not answer.
    pub async fn state(&self) -> Result<EngineState, Fault> {
        Ok(EngineState {
            store_revision: self.store().snapshot().await?.revision().0,
            store_number: self.commit_number().await,
            audit_head: self.audit().head(),
            audit_synced: self.audit_on_disk(),
            audit_unrecorded: self.audit().unrecorded(),
            groups_refused: self.groups_refused(),
            clock: self.clock_state(),
        })
    }

    /// Whether this is the deployment's unseal secret: whether it opens the stored root key, and that one the very
    /// domain keys which are in use. A row with keys of somebody's own making proves nothing.
    ///
    /// # Errors
    /// [`Fault::Store`], or [`Fault::WorkLost`] when there is too much other work.
    pub async fn is_unseal_secret(&self, unseal: UnsealSecret) -> Result<bool, Fault> {
        let row = open::stored(self.store()).await?;
        let probe = self.keys().seal(PROBE, &[], PROBE.as_bytes())?;
        // A passphrase is stretched on purpose, which takes long.
        let opens = self.heavy().submit(AccountId::NOBODY.as_str(), move || {
            open::domain_keys(&row, &unseal).is_some_and(|keys| keys.open(PROBE, &[], &probe).is_ok())
        });
        opens.await.map_err(|error| match error {
            CommonError::Internal(fault) => fault,
            _ => Fault::WorkLost,
        })
    }
}

/// What the live domain keys seal so that others can be told from them.
const PROBE: &str = "claviger unseal probe v1";

impl Command {
    fn caller(&self) -> Caller {
        let mut caller = Caller::system(REGION);
        if let Some(account) = self.account {
            caller.account = account.as_str().to_owned();
        }
        caller
    }

    fn meta(&self) -> CallMeta {
        CallMeta { request_id: self.request_id.clone(), ..CallMeta::system() }
    }

    fn event(&self, error: Option<&CommandError>, shown: Value) -> Event {
        let mut event = Event::new(self.read_only);
        event.request_parameters = self.facts.clone();
        event.response_elements = shown;
        match error {
            None => event,
            Some(CommandError::Refused { code, message }) => {
                event.failed(*code, Some(claviger_audit::Text::of(&LogText::new(message))))
            }
            Some(CommandError::Fault(fault)) => event.failed("InternalFailure", Some(claviger_audit::Text::of(fault))),
        }
    }
}
