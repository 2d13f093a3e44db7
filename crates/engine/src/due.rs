//! Work that falls due: an index by time in the store, and the runner that asks the services to do it.

use std::collections::HashSet;
use std::sync::atomic::Ordering;

use claviger_api::Timestamp;
use claviger_audit::{Call as Head, Event, EventType, Prepared, Resource, Text, Time, Value};
use claviger_crypto::DomainKeys;
use claviger_secret::{LogText, event};

use crate::codec::{BadRecord, Reader, Writer};
use crate::committer::Committed;
use crate::engine::Engine;
use crate::operation::{DueJob, JobOutcome, Jobs, Writes};
use crate::record::{Record, RowKey};
use crate::{Call, CallMeta, Caller, Fault};

const KIND: &str = "due";
/// Jobs taken from the index at a time.
const PAGE: usize = 50;

/// One planned job.
struct DueRow {
    job: String,
}

impl Record for DueRow {
    fn encode(&self, _: &DomainKeys) -> Result<Vec<u8>, Fault> {
        let mut writer = Writer::record(KIND, 1);
        writer.text(&self.job);
        Ok(writer.finish())
    }

    fn decode(bytes: &[u8], _: &DomainKeys) -> Result<Self, BadRecord> {
        let (mut reader, _) = Reader::record(bytes, KIND, 1)?;
        let job = reader.text()?.to_owned();
        reader.end()?;
        Ok(Self { job })
    }
}

/// Some rows of the index, in order.
#[derive(Default)]
struct DuePage {
    /// What is to be done.
    due: Vec<DueJob>,
    /// The last row looked at.
    last: Option<RowKey>,
    /// Whether anything in the page is due, so that the next page may be.
    more: bool,
    /// Jobs that wait since they destroy and the clock is not believed.
    waiting: u64,
}

/// What a run has come to so far.
#[derive(Default)]
struct Run {
    done: u64,
    waiting: u64,
    failed: HashSet<RowKey>,
    first_fault: Option<Fault>,
}

impl Run {
    /// Keeps the first fault; says whether there was none.
    fn note(&mut self, result: Result<(), Fault>) -> bool {
        let fault = result.err();
        let is_done = fault.is_none();
        self.first_fault = self.first_fault.take().or(fault);
        is_done
    }
}

/// Planning and cancelling.
pub struct Due;

fn due_key(service: &str, at: Timestamp, job: &str) -> RowKey {
    // Times before the epoch cannot be planned; the clamp keeps the order of the text that of the times.
    RowKey::new(KIND, service, &format!("{:020} {job}", at.millis().max(0)))
}

impl Due {
    /// Plans a job, in the same commit as what makes it necessary.
    ///
    /// # Errors
    /// A [`Fault`] when the store does not answer.
    pub async fn plan(
        call: &mut Call<'_>,
        writes: &mut Writes,
        service: &str,
        at: Timestamp,
        job: &str,
    ) -> Result<(), Fault> {
        let key = due_key(service, at, job);
        call.row::<DueRow>(&key).await?;
        writes.put(call, key, DueRow { job: job.to_owned() })
    }

    /// Takes a planned job back.
    ///
    /// # Errors
    /// A [`Fault`] when the store does not answer.
    pub async fn cancel(
        call: &mut Call<'_>,
        writes: &mut Writes,
        service: &str,
        at: Timestamp,
        job: &str,
    ) -> Result<(), Fault> {
        let key = due_key(service, at, job);
        if call.row::<DueRow>(&key).await?.is_some() {
            writes.delete(key);
        }
        Ok(())
    }
}

impl Engine {
    /// Does everything that is due by the movable clock, and gives the number of jobs done. Any number of runners may
    /// do this at once: each job is one checked commit. A job that cannot be done does not keep the others from it, and
    /// one that destroys waits while the clock is ahead of what is believed.
    ///
    /// # Errors
    /// The first [`Fault`]; the jobs that met one stay due.
    pub async fn run_due(&self, jobs: &dyn Jobs) -> Result<u64, Fault> {
        let mut run = Run::default();
        run.note(self.keep_time(false).await);
        // A job may plan others that are due at once, so the index is read again until it has nothing to do.
        loop {
            let (mut after, mut found) = (None, 0);
            run.waiting = 0;
            loop {
                let page = self.due_page(jobs, after.as_ref()).await?;
                run.waiting = run.waiting.saturating_add(page.waiting);
                found += self.run_page(jobs, &page.due, &mut run).await;
                match page.last {
                    Some(last) if page.more => after = Some(last),
                    _ => break,
                }
            }
            if found == 0 {
                self.high_water().note_waiting(run.waiting);
                self.erase_destroyed().await;
                return run.first_fault.map_or(Ok(run.done), Err);
            }
        }
    }

    /// Does the jobs of a page that have not failed before, and gives their number.
    async fn run_page(&self, jobs: &dyn Jobs, due: &[DueJob], run: &mut Run) -> u64 {
        let open: Vec<&DueJob> = due.iter().filter(|job| !run.failed.contains(&job.row)).collect();
        // What is destroyed must not be found undestroyed by a clock that nobody knows to have been ahead.
        let destroys = open.iter().any(|job| jobs.destroys(&job.job));
        let is_time_kept = !destroys || run.note(self.keep_time(true).await);
        for job in &open {
            if !is_time_kept && jobs.destroys(&job.job) {
                run.failed.insert(job.row.clone());
                continue;
            }
            let result = self.run_one(jobs, job).await;
            if let Err(fault) = &result {
                event!(error, "a due job could not be done", job = LogText::new(&job.job), fault = *fault);
                run.failed.insert(job.row.clone());
            }
            run.done += u64::from(run.note(result));
        }
        open.len() as u64
    }

    /// Clears from the store's files what destroyed material left there. While an older view is open it cannot be
    /// done; the next run tries again.
    async fn erase_destroyed(&self) {
        if self.erasure_wanted.load(Ordering::Acquire) && self.store().erase().await.is_ok() {
            self.erasure_wanted.store(false, Ordering::Release);
        }
    }

    /// The next jobs that are due, behind a row of the index.
    async fn due_page(&self, jobs: &dyn Jobs, after: Option<&RowKey>) -> Result<DuePage, Fault> {
        let (caller, meta) = (Caller::system(""), CallMeta::system());
        let mut call = Call::new(self, &caller, &meta);
        let now = call.now();
        let destroys_until = self.high_water().destroys_until();
        let rows = call.rows::<DueRow>(&RowKey::new(KIND, jobs.service(), ""), after, PAGE).await?;
        let mut page = DuePage { last: rows.last().map(|(row, _)| row.clone()), ..DuePage::default() };
        for (row, found) in rows {
            let millis = row.rest().split(' ').next().and_then(|millis| millis.parse().ok());
            let Some(due) = millis.map(Timestamp::from_millis).filter(|due| *due <= now) else { continue };
            page.more = true;
            let job = found.record.job.clone();
            if jobs.destroys(&job) && destroys_until.is_none_or(|until| due > until) {
                page.waiting += 1;
            } else {
                page.due.push(DueJob { service: jobs.service().to_owned(), due, job, row });
            }
        }
        Ok(page)
    }

    async fn run_one(&self, jobs: &dyn Jobs, job: &DueJob) -> Result<(), Fault> {
        let (caller, meta) = (Caller::system(""), CallMeta::system());
        for _ in 0..crate::COMMIT_RETRIES_MAX {
            let mut call = Call::new(self, &caller, &meta);
            // Another runner may have done it; then there is nothing to do, and nothing to record.
            if call.row::<DueRow>(&job.row).await?.is_none() {
                return Ok(());
            }
            let JobOutcome { mut writes, event, account, region } = jobs.run(&mut call, job).await?;
            writes.delete(job.row.clone());
            let seen = call.into_seen();
            let Some((name, audited)) = event else {
                match self.commit(seen, writes, &[]).await? {
                    Committed::Done => {
                        // A job without an event may be there just to have the store's files cleared.
                        self.erasure_wanted.store(true, Ordering::Release);
                        return Ok(());
                    }
                    Committed::Conflict => continue,
                }
            };
            let head = self.service_event(jobs.event_source(), name, &account, &region);
            let mut record = Event::new(false);
            record.response_elements = audited.response_elements;
            record.service_event_details = Some(audited.additional).filter(|details| *details != Value::Null);
            record.resources = Some(
                audited
                    .resources
                    .iter()
                    .map(|(arn, account)| Resource {
                        account: Text::public(account),
                        kind: "AWS::KMS::Key".into(),
                        arn: Text::public(arn),
                    })
                    .collect(),
            );
            let prepared = Prepared::new(&head, &record).map_err(|_| Fault::Audit)?;
            let (row, number) = self.outbox_row();
            match self.commit(seen, writes, &[(&row, &prepared)]).await? {
                Committed::Conflict => {}
                Committed::Done => {
                    self.erasure_wanted.store(true, Ordering::Release);
                    event!(info, "a due job was done", job = LogText::new(&job.job));
                    let pending = self.audit().open_call(head);
                    drop(self.audit().append_committed(pending, prepared, number, ()));
                    return Ok(());
                }
            }
        }
        Err(Fault::Contention)
    }

    fn service_event(&self, source: &'static str, name: &'static str, account: &str, region: &str) -> Head {
        Head {
            event_type: EventType::ServiceEvent,
            time: Time::from_millis(self.clock().now().millis()),
            source: source.into(),
            name: name.into(),
            region: Text::public(region),
            identity: Value::object([
                ("accountId", Value::public_text(account)),
                ("invokedBy", Value::public_text("AWS Internal")),
            ]),
            source_address: "AWS Internal".into(),
            user_agent: Some("AWS Internal".into()),
            request_id: None,
            event_id: Text::public(&crate::trail::event_id(self)),
            recipient_account: Text::public(account),
            tls_details: None,
        }
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]

    use super::*;
    use crate::record::golden;

    #[test]
    fn golden_bytes() {
        let row = DueRow { job: "delete eu-central-1 1234abcd-12ab-34cd-56ef-1234567890ab".to_owned() };
        assert_eq!(row.encode(&golden::keys()).unwrap(), golden::file("due"));
        assert_eq!(DueRow::decode(&golden::file("due"), &golden::keys()).unwrap().job, row.job);
    }

    #[test]
    fn the_order_of_the_rows_is_the_order_of_the_times() {
        let keys: Vec<_> = [-5, 0, 9, 10, 999, 1_000, 253_402_300_799_999, i64::MAX]
            .map(|millis| due_key("kms", Timestamp::from_millis(millis), ""))
            .into();
        assert!(keys.is_sorted());
    }
}
