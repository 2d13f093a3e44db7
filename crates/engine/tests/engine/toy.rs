//! A service of one operation: named rows of text.

use std::sync::mpsc::Receiver;
use std::sync::{Arc, Mutex};

use claviger_api::ServiceError;
use claviger_crypto::DomainKeys;
use claviger_engine::{
    ApiError, Audited, Authorized, BadRecord, BoxFuture, Call, Charge, CommonError, CommonNames, Due, DueJob, Fault,
    JobOutcome, Jobs, Named, Operation, OperationRow, Outcome, Question, QuotaGroup, QuotaRule, Reader, Record,
    ResourceRule, RowKey, ServiceQuotas, Value, Writer, Writes,
};

pub(crate) struct Toy;

pub(crate) struct Note(pub(crate) String);

impl Record for Note {
    fn encode(&self, _: &DomainKeys) -> Result<Vec<u8>, Fault> {
        let mut writer = Writer::record("note", 1);
        writer.text(&self.0);
        Ok(writer.finish())
    }

    fn decode(bytes: &[u8], _: &DomainKeys) -> Result<Self, BadRecord> {
        let (mut reader, _) = Reader::record(bytes, "note", 1)?;
        let text = reader.text()?.to_owned();
        reader.end()?;
        Ok(Self(text))
    }
}

pub(crate) fn note_key(name: &str) -> RowKey {
    RowKey::new("note", name, "")
}

/// What can be asked.
pub(crate) enum Ask {
    /// Writes these notes, all or none.
    Set(Vec<(String, String)>),
    /// Counts a note up.
    Add(String),
    /// Removes a note.
    Drop(String),
    /// Reads a note.
    Get(String),
    /// Works something out in the pool for heavy work; without a number it panics there.
    Reckon(Option<u32>),
    /// Reads a note, then has heavy work that waits until the channel's other end is gone.
    ReadAndWait(String, Arc<Mutex<Receiver<()>>>),
    /// Removes a note when the clock is there.
    DropAt(String, i64),
    /// Names something that is not there.
    Nothing,
}

/// Asks for heavy work have a quota of their own.
pub(crate) const LIGHT: QuotaGroup = QuotaGroup { name: "light", rate: 10, rate_in: &[("us-east-1", 20)] };
pub(crate) const HEAVY: QuotaGroup = QuotaGroup::new("heavy", 2);

pub(crate) const QUOTAS: ServiceQuotas = ServiceQuotas {
    event_source: "toy.test",
    rule: |operation| (operation == "Ask").then_some(QuotaRule::ByResource(LIGHT)),
    groups: || vec![LIGHT, HEAVY],
    region: None,
};

pub(crate) struct ToyError(CommonError);

impl From<CommonError> for ToyError {
    fn from(error: CommonError) -> Self {
        Self(error)
    }
}

impl From<Fault> for ToyError {
    fn from(fault: Fault) -> Self {
        Self(fault.into())
    }
}

impl ApiError for ToyError {
    fn service_error(&self) -> ServiceError {
        self.0.service_error(&CommonNames {
            access_denied: "AccessDenied",
            denied_status: 403,
            validation: "ValidationError",
            internal: "ToyFailure",
            throttling: "Throttling",
            throttling_text: "Rate exceeded",
        })
    }

    fn fault(&self) -> Option<&Fault> {
        self.0.fault()
    }
}

pub(crate) struct ToyOperation;

impl Operation for ToyOperation {
    type Service = Toy;
    type Request = Ask;
    type Response = Option<String>;
    type Error = ToyError;
    type Resources = ();
    const ROW: OperationRow = OperationRow { name: "Ask", event_source: "toy.test", read_only: false };

    async fn resolve(_: &mut Call<'_>, _: &Toy, ask: &Ask) -> Result<(), ToyError> {
        if matches!(ask, Ask::Nothing) {
            return Err(CommonError::Validation("nothing".to_owned()).into());
        }
        Ok(())
    }

    fn charges((): &(), ask: &Ask) -> Vec<Charge> {
        if matches!(ask, Ask::Reckon(_)) { vec![Charge::one(HEAVY)] } else { Vec::new() }
    }

    fn questions(call: &Call<'_>, (): &(), _: &Ask) -> Vec<Question> {
        vec![Question {
            action: "toy:Ask",
            resource: "*".to_owned(),
            resource_account: call.caller().principal().account(),
            resource_policy: ResourceRule::NoPolicy,
            cross_account: false,
            named: Named::ByArn,
        }]
    }

    async fn perform(
        call: &mut Call<'_>,
        _: &Toy,
        _: &Authorized<Self>,
        ask: &Ask,
    ) -> Result<Outcome<Option<String>>, ToyError> {
        let mut writes = Writes::default();
        match ask {
            Ask::Get(name) => {
                let row = call.row::<Note>(&note_key(name)).await?;
                return Ok(Outcome::read_only(row.map(|row| row.record.0.clone())));
            }
            Ask::Reckon(number) => {
                let number = *number;
                let found = call.heavy(move || number.unwrap() * 6).await?;
                return Ok(Outcome::read_only(Some(found.to_string())));
            }
            Ask::ReadAndWait(name, end) => {
                call.row::<Note>(&note_key(name)).await?;
                let end = Arc::clone(end);
                call.heavy(move || end.lock().unwrap().recv().unwrap_err()).await?;
                return Ok(Outcome::read_only(None));
            }
            Ask::Set(notes) => {
                for (name, text) in notes {
                    call.row::<Note>(&note_key(name)).await?;
                    writes.put(call, note_key(name), Note(text.clone()))?;
                }
            }
            Ask::Add(name) => {
                let row = call.row::<Note>(&note_key(name)).await?;
                let count: u64 = row.map_or(0, |row| row.record.0.parse().unwrap());
                writes.put(call, note_key(name), Note((count + 1).to_string()))?;
                return Ok(Outcome::with_writes(Some((count + 1).to_string()), writes));
            }
            Ask::Drop(name) => {
                if call.row::<Note>(&note_key(name)).await?.is_some() {
                    writes.delete(note_key(name));
                }
            }
            Ask::Nothing => {}
            Ask::DropAt(name, at) => {
                let at = claviger_api::Timestamp::from_millis(*at);
                Due::plan(call, &mut writes, "toy", at, name).await?;
            }
        }
        Ok(Outcome::with_writes(None, writes))
    }

    fn audited(_: &Ask, _: Option<&()>, _: Option<&Option<String>>, audited: &mut Audited) {
        audited.request_parameters = Value::object([("asked", Value::public_text("toy"))]);
    }
}

impl Jobs for Toy {
    fn run<'a>(&'a self, call: &'a mut Call<'_>, job: &'a DueJob) -> BoxFuture<'a, Result<JobOutcome, Fault>> {
        Box::pin(async move {
            let mut writes = Writes::default();
            if call.row::<Note>(&note_key(&job.job)).await?.is_some() {
                writes.delete(note_key(&job.job));
            }
            let audited = Audited {
                response_elements: Value::object([("dropped", Value::public_text(&job.job))]),
                ..Audited::default()
            };
            let event = Some(("DropNote", audited));
            Ok(JobOutcome { writes, event, account: "111122223333".to_owned(), region: "eu-central-1".to_owned() })
        })
    }

    fn destroys(&self, job: &str) -> bool {
        !job.starts_with("tidy")
    }

    fn service(&self) -> &'static str {
        "toy"
    }

    fn event_source(&self) -> &'static str {
        "toy.test"
    }
}
