//! The end of the chain and the file it grows in. Everything here runs under the log's lock, so it does no more than
//! hash one entry and hand one line to the operating system; only a change of segments waits for the disk.

use std::collections::{BTreeSet, VecDeque};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use claviger_crypto::SigningKey;

use crate::disk::{self, Media};
use crate::event::Prepared;
use crate::json::{self, Members};
use crate::line::{Hash, chain_in, render, signed_message};
use crate::log::{AppendError, BACKLOG_RECORDS_MAX, Head};
use crate::recover::Recovery;

/// The version of the line format, in each opening entry.
const FORMAT: u32 = 1;

/// Room that is kept from one record to the next. What a larger record took is given back.
const ROOM_BYTES_KEPT: usize = 64 * 1024;

/// Where lines go.
pub(crate) enum Place {
    Memory { lines: VecDeque<String>, capacity: usize },
    Disk(Disk),
}

/// An open segment in its directory.
pub(crate) struct Disk {
    directory: PathBuf,
    node: String,
    number: u64,
    media: Arc<dyn Media>,
    /// INVARIANT (whole lines): the file's first `length` bytes are whole lines of the chain, and nothing follows them
    /// unless `State::broken`. Kept by `write`, which takes a failed line back.
    length: u64,
    /// The closing checkpoint is written; the next line begins the next segment.
    closed: bool,
}

impl Disk {
    pub(crate) fn new(directory: &Path, node: &str, number: u64, media: Arc<dyn Media>, length: u64) -> Self {
        Self { directory: directory.to_owned(), node: node.to_owned(), number, media, length, closed: false }
    }
}

/// What a sync has to put on disk.
pub(crate) struct Group {
    pub(crate) head: Head,
    pub(crate) commits: Vec<u64>,
    /// What to sync; none in memory, or when it is done.
    pub(crate) media: Option<Arc<dyn Media>>,
}

pub(crate) struct State {
    place: Place,
    head: Hash,
    sequence: u64,
    /// The last entry that a checkpoint covers.
    signed: u64,
    /// Commits whose records were appended since the last checkpoint.
    commits: Vec<u64>,
    /// Commits whose records are durable and not yet reported.
    pub(crate) commits_durable: Vec<u64>,
    /// Commits found in the log at its opening, which made them durable.
    pub(crate) commits_found: BTreeSet<u64>,
    /// Commits replayed since.
    pub(crate) commits_replayed: BTreeSet<u64>,
    /// Records of commits that could not be written yet.
    backlog: VecDeque<(u64, Prepared)>,
    anchor: Option<String>,
    anchor_is_signed: bool,
    /// What the disk holds is unknown.
    broken: bool,
    /// Room for what is hashed and for a line.
    room: (Vec<u8>, Vec<u8>),
}

impl State {
    pub(crate) const fn new(place: Place, head: Head, signed: u64, anchor: Option<String>) -> Self {
        Self {
            place,
            head: head.hash,
            sequence: head.sequence,
            signed,
            commits: Vec::new(),
            commits_durable: Vec::new(),
            commits_found: BTreeSet::new(),
            commits_replayed: BTreeSet::new(),
            backlog: VecDeque::new(),
            anchor,
            anchor_is_signed: true,
            broken: false,
            room: (Vec::new(), Vec::new()),
        }
    }

    pub(crate) const fn in_memory(capacity: usize) -> Self {
        let place = Place::Memory { lines: VecDeque::new(), capacity };
        Self::new(place, Head { sequence: 0, hash: Hash::ZERO }, 0, None)
    }

    pub(crate) const fn head(&self) -> Head {
        Head { sequence: self.sequence, hash: self.head }
    }

    pub(crate) const fn fail(&mut self) {
        self.broken = true;
    }

    pub(crate) fn anchor(&self) -> Option<&str> {
        self.anchor.as_deref()
    }

    pub(crate) fn set_anchor(&mut self, json: String) {
        if self.anchor.as_ref() != Some(&json) {
            self.anchor = Some(json);
            self.anchor_is_signed = false;
        }
    }

    pub(crate) fn lines(&self) -> Vec<String> {
        match &self.place {
            Place::Memory { lines, .. } => lines.iter().cloned().collect(),
            Place::Disk(_) => Vec::new(),
        }
    }

    /// Keeps the record of a commit for the next sync.
    pub(crate) fn wait(&mut self, commit: u64, prepared: Prepared) {
        if self.backlog.len() < BACKLOG_RECORDS_MAX {
            self.backlog.push_back((commit, prepared));
        }
    }

    /// Whether the record of a commit must be written. If opening found it, its outbox row outlived it for no reason.
    pub(crate) fn begin_replay(&mut self, commit: u64) -> bool {
        let found = self.commits_found.contains(&commit);
        if found {
            self.commits_durable.push(commit);
        }
        !found && !self.commits_replayed.contains(&commit)
    }

    /// Appends a record and returns its number.
    pub(crate) fn write_record(&mut self, commit: Option<u64>, prepared: &Prepared) -> Result<u64, AppendError> {
        let mut carried = String::new();
        if let Some(commit) = commit {
            carried.push_str("\"commit\":");
            json::integer(&mut carried, commit);
            carried.push(',');
        }
        self.open_next_segment()?;
        self.write(&[&carried, "\"record\":", prepared.as_str()], None)?;
        self.commits.extend(commit);
        Ok(self.sequence)
    }

    /// Appends the entry about a torn end.
    pub(crate) fn write_recovery(&mut self, recovery: &Recovery) -> Result<(), AppendError> {
        let body = entry("recovery", |members| {
            members.integer("segment", recovery.segment);
            members.integer("offset", recovery.offset);
            members.integer("bytes", recovery.bytes);
            members.text("sha256", &recovery.sha256);
            members.text("keptIn", &recovery.kept_in);
        });
        self.write(&[&body], None)
    }

    /// Appends the entry that begins a segment.
    pub(crate) fn write_opening(&mut self) -> Result<(), AppendError> {
        let Place::Disk(disk) = &self.place else { return Ok(()) };
        let body = entry("segment", |members| {
            members.integer("format", FORMAT);
            members.text("node", &disk.node);
            members.integer("number", disk.number);
            members.display("previous", self.head);
        });
        self.write(&[&body], None)
    }

    /// Writes what waits and a signed checkpoint over everything; none if there is nothing new to sign. A segment that
    /// is full is closed, put on disk here and now, and followed by the next.
    pub(crate) fn close_group(
        &mut self,
        key: Option<&SigningKey>,
        segment_bytes: u64,
    ) -> Result<Option<Group>, AppendError> {
        self.open_next_segment()?;
        while let Some((commit, prepared)) = self.backlog.pop_front() {
            if let Err(error) = self.write_record(Some(commit), &prepared) {
                self.backlog.push_front((commit, prepared));
                return Err(error);
            }
        }
        if self.broken {
            return Err(AppendError::Broken);
        }
        if self.signed == self.sequence && self.anchor_is_signed {
            return Ok(None);
        }
        let closes = match &self.place {
            Place::Memory { .. } => false,
            Place::Disk(disk) => disk.length >= segment_bytes,
        };
        if key.is_some() {
            let anchors = self.anchor.as_deref().unwrap_or("null");
            let body = entry("checkpoint", |members| {
                members.bool("closes", closes);
                members.raw("anchors", anchors);
            });
            self.write(&[&body], key)?;
        }
        self.signed = self.sequence;
        self.anchor_is_signed = true;
        let mut group = Group { head: self.head(), commits: std::mem::take(&mut self.commits), media: None };
        if let Place::Disk(disk) = &mut self.place {
            if closes {
                disk.closed = true;
                if disk.media.sync().is_err() {
                    self.broken = true;
                    return Err(AppendError::Broken);
                }
                // If it fails, the next append tries again: the group is on disk all the same.
                let _ = self.open_next_segment();
            } else {
                group.media = Some(Arc::clone(&disk.media));
            }
        }
        Ok(Some(group))
    }

    /// After a closing checkpoint: makes the next segment.
    fn open_next_segment(&mut self) -> Result<(), AppendError> {
        let Place::Disk(disk) = &mut self.place else { return Ok(()) };
        if !disk.closed || self.broken {
            return Ok(());
        }
        let number = disk.number.saturating_add(1);
        let unwritable = |_| AppendError::Unwritable;
        let file = disk::open_segment(&disk.directory, number).map_err(unwritable)?;
        // An attempt before this one may have left half an opening entry.
        file.set_len(0).map_err(unwritable)?;
        let before = std::mem::replace(&mut disk.media, Arc::new(file));
        let length = std::mem::replace(&mut disk.length, 0);
        disk.number = number;
        disk.closed = false;
        if let Err(error) = self.write_opening() {
            if let Place::Disk(disk) = &mut self.place {
                (disk.media, disk.length, disk.closed) = (before, length, true);
                disk.number = number.saturating_sub(1);
            }
            return Err(error);
        }
        let Place::Disk(disk) = &self.place else { return Ok(()) };
        // The name must be durable before a sync of the file means anything.
        if disk::sync_directory(&disk.directory).is_err() {
            self.broken = true;
            return Err(AppendError::Broken);
        }
        Ok(())
    }

    /// Hashes one entry, signs it if there is a key, and hands its line over. The body comes in pieces.
    fn write(&mut self, body: &[&str], key: Option<&SigningKey>) -> Result<(), AppendError> {
        if self.broken {
            return Err(AppendError::Broken);
        }
        let sequence = self.sequence.saturating_add(1);
        let (mut message, mut line) = std::mem::take(&mut self.room);
        let hash = chain_in(&mut message, &self.head, sequence, body);
        // The key's library refuses only when it is out of memory; nothing is written then.
        let signature = key.map(|key| key.sign(&signed_message(&hash))).transpose();
        let signature = signature.map_err(|_| AppendError::Unwritable)?;
        line.clear();
        render(&mut line, &hash, sequence, body, signature.as_ref().map(|signature| signature.as_slice()));
        match &mut self.place {
            Place::Memory { lines, capacity } => {
                line.pop();
                lines.push_back(String::from_utf8_lossy(&line).into_owned());
                while lines.len() > *capacity {
                    lines.pop_front();
                }
            }
            Place::Disk(disk) => {
                if disk.media.write_at(&line, disk.length).is_err() {
                    self.broken = disk.media.truncate(disk.length).is_err();
                    return Err(if self.broken { AppendError::Broken } else { AppendError::Unwritable });
                }
                disk.length = disk.length.saturating_add(u64::try_from(line.len()).unwrap_or(u64::MAX));
            }
        }
        self.head = hash;
        self.sequence = sequence;
        if line.capacity() <= ROOM_BYTES_KEPT && message.capacity() <= ROOM_BYTES_KEPT {
            self.room = (message, line);
        }
        Ok(())
    }
}

/// `"name":{…}`, what an entry's hash covers.
fn entry(name: &'static str, fill: impl FnOnce(&mut Members<'_>)) -> String {
    let mut body = format!("\"{name}\":");
    let mut members = Members::open(&mut body);
    fill(&mut members);
    members.close();
    body
}
