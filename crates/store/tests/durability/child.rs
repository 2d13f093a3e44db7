//! The process that writes, what it notes, and the check that nothing it noted is missing.

use std::collections::BTreeMap;
use std::fs::{File, OpenOptions};
use std::io::Write;
use std::path::Path;
use std::sync::Arc;

use claviger_store::{Batch, CommitError, Embedded, Range, Revision, Store, View};

/// Set for the child: its directory, a colon, and how many commits each writer makes a session.
pub(crate) const VARIABLE: &str = "CLAVIGER_STORE_CHILD";
/// Tasks that commit at the same time.
pub(crate) const WRITERS: u8 = 8;

/// One line of the notes.
pub(crate) enum Note {
    Acknowledged {
        writer: u8,
        number: u32,
        revision: Revision,
    },
    /// May be there or not.
    Unknown,
    /// A session begins.
    Started,
    /// Must not be there; the writer tries the same number again.
    Refused,
}

impl Note {
    pub(crate) fn parse(text: &str) -> Option<Self> {
        let mut words = text.split_whitespace();
        let kind = words.next()?;
        let mut number = || words.next()?.parse::<u64>().ok();
        let (writer, commit, revision) = (number()?, number()?, number()?);
        let (writer, number) = (u8::try_from(writer).ok()?, u32::try_from(commit).ok()?);
        Some(match kind {
            "acknowledged" => Self::Acknowledged { writer, number, revision: Revision(revision) },
            "unknown" => Self::Unknown,
            "started" => Self::Started,
            "refused" => Self::Refused,
            _ => return None,
        })
    }

    pub(crate) fn read(path: &Path) -> Vec<Self> {
        // A killed child may not have opened it yet.
        let text = std::fs::read_to_string(path).unwrap_or_default();
        text.lines().map(|line| Self::parse(line).unwrap()).collect()
    }
}

fn row_key(writer: u8, number: u32) -> Vec<u8> {
    let mut key = vec![b'r', writer];
    key.extend(number.to_be_bytes());
    key
}

/// Of different lengths, some of them longer than a page, and telling where they belong.
fn row_value(writer: u8, number: u32) -> Vec<u8> {
    let length = 200 + (number as usize * 37 + usize::from(writer) * 411) % 5000;
    let mut value = [number.to_be_bytes().as_slice(), &[writer]].concat().repeat(length / 5 + 1);
    value.truncate(length);
    value
}

/// A commit: one new row, and the writer's counter, in one batch.
fn batch(writer: u8, number: u32) -> Batch {
    let mut batch = Batch::new();
    batch.check_absent(row_key(writer, number));
    batch.put(row_key(writer, number), row_value(writer, number));
    batch.put(vec![b'c', writer], number.to_be_bytes().to_vec());
    batch
}

async fn write(store: &Embedded, notes: &File, writer: u8, first: u32, commits: u32) {
    // One system call a note, so that a killed process leaves whole lines.
    let note = |text: String| (&*notes).write_all(text.as_bytes()).unwrap();
    let mut number = first;
    for _ in 0..commits {
        match store.commit(batch(writer, number)).await {
            Ok(revision) => note(format!("acknowledged {writer} {number} {revision}\n")),
            Err(CommitError::Unknown) => note(format!("unknown {writer} {number} 0\n")),
            Err(CommitError::Unavailable) => {
                note(format!("refused {writer} {number} 0\n"));
                continue;
            }
            Err(error) => panic!("{error}"),
        }
        number += 1;
    }
}

async fn counters(view: &dyn View) -> BTreeMap<u8, u32> {
    let rows = view.scan(Range::prefix(b"c"), None, 256).await.unwrap();
    rows.into_iter().map(|(key, row)| (key[1], u32::from_be_bytes((&*row.value).try_into().unwrap()))).collect()
}

#[test]
#[ignore = "the child process of the other tests"]
fn writes_until_it_is_done() {
    let Ok(order) = std::env::var(VARIABLE) else { return };
    let (directory, commits) = order.rsplit_once(':').unwrap();
    let directory = Path::new(directory);
    let commits: u32 = commits.parse().unwrap();
    let notes = OpenOptions::new().append(true).create(true).open(directory.join("notes")).unwrap();
    let notes = Arc::new(notes);
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).build().unwrap();
    // Two sessions, so that closing and opening again are in the trace.
    for _ in 0..2 {
        let Ok(store) = Embedded::open(&directory.join("store")) else { return };
        let store = Arc::new(store);
        (&*notes).write_all(b"started 0 0 0\n").unwrap();
        runtime.block_on(async {
            let counters = counters(&*store.snapshot().await.unwrap()).await;
            let writers = (0..WRITERS).map(|writer| {
                let (store, notes) = (Arc::clone(&store), Arc::clone(&notes));
                let first = counters.get(&writer).map_or(1, |last| last + 1);
                tokio::spawn(async move { write(&store, &notes, writer, first, commits).await })
            });
            let writers: Vec<_> = writers.collect();
            for writer in writers {
                writer.await.unwrap();
            }
        });
    }
}

/// Opens the store and looks for everything that was acknowledged, and for commits that are there in part.
pub(crate) fn verify(directory: &Path, notes: &[Note]) -> Result<(), String> {
    let store = Embedded::open(directory).map_err(|error| error.to_string())?;
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    runtime.block_on(verify_rows(&store, notes))
}

async fn verify_rows(store: &Embedded, notes: &[Note]) -> Result<(), String> {
    let view = store.snapshot().await.map_err(|error| error.to_string())?;
    let counters = counters(&*view).await;
    let mut expected = counters.iter().flat_map(|(writer, last)| (1..=*last).map(|number| (*writer, number)));
    let mut after = Vec::from(b"r");
    let mut rows = 0;
    loop {
        let page = view.scan(Range::prefix(b"r"), Some(&after), 1000).await.map_err(|error| error.to_string())?;
        let Some((last, _)) = page.last() else { break };
        after = last.to_vec();
        for (key, row) in page {
            let whole = |(writer, number): &(u8, u32)| {
                *key == row_key(*writer, *number) && *row.value == row_value(*writer, *number)
            };
            let found = expected.next();
            if !found.as_ref().is_some_and(whole) {
                return Err(format!("row {key:?} is damaged or out of place, where {found:?} was expected"));
            }
            rows += 1;
        }
    }
    if let Some(missing) = expected.next() {
        return Err(format!("row {missing:?} is missing"));
    }
    if view.revision().0 != rows as u64 {
        return Err(format!("revision {}, where {rows} commits are there", view.revision()));
    }
    for note in notes {
        if let Note::Acknowledged { writer, number, revision } = note {
            let kept = counters.get(writer).is_some_and(|last| last >= number) && view.revision() >= *revision;
            if !kept {
                return Err(format!("writer {writer}: {number} was acknowledged at {revision} and is lost"));
            }
        }
    }
    Ok(())
}
