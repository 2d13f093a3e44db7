//! A disk that promises as little as one may: names are kept once their directory was synced, bytes once their
//! file was, and of everything else any part may survive.

use std::collections::{BTreeMap, HashMap};
use std::path::{Path, PathBuf};

use crate::trace::Event;

const SECTOR_BYTES: usize = 512;

/// What a crash leaves of the writes that were not synced.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Survivors {
    OnlySynced,
    SomeWrites,
    SomeSectors,
}

/// A small generator (xorshift), so that a failure can be repeated.
pub(crate) struct Random(pub(crate) u64);

impl Random {
    pub(crate) fn below(&mut self, bound: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 % bound
    }
}

#[derive(Clone)]
enum Change {
    Write { offset: usize, bytes: Vec<u8> },
    Cut(usize),
}

#[derive(Clone, Default)]
struct File {
    synced: Vec<u8>,
    pending: Vec<Change>,
}

type Names = BTreeMap<PathBuf, usize>;

pub(crate) struct Disk {
    directory: PathBuf,
    files: Vec<File>,
    names: Names,
    synced_names: Names,
    /// By thread: the file and how many of its changes the running sync covers; or the names, for a directory.
    syncs: HashMap<u32, Sync>,
}

enum Sync {
    File { file: usize, changes: usize },
    Names(Names),
}

impl Disk {
    /// An empty one. Only the files in `directory` are modelled.
    pub(crate) fn new(directory: &Path) -> Self {
        Self {
            directory: directory.to_owned(),
            files: Vec::new(),
            names: Names::new(),
            synced_names: Names::new(),
            syncs: HashMap::new(),
        }
    }

    /// The log's index is memory that lies in a file: nothing in it counts after a crash.
    fn models(&self, path: &Path) -> bool {
        path.parent() == Some(&*self.directory) && !path.to_string_lossy().ends_with("-shm")
    }

    fn change(&mut self, path: &Path, change: Change) {
        if self.models(path) {
            let file = self.names[path];
            self.files[file].pending.push(change);
        }
    }

    pub(crate) fn apply(&mut self, event: &Event) {
        match event {
            Event::Noted(_) => (),
            Event::Opened { path, truncated } => {
                if self.models(path) && !self.names.contains_key(path) {
                    self.names.insert(path.clone(), self.files.len());
                    self.files.push(File::default());
                }
                if *truncated {
                    self.change(path, Change::Cut(0));
                }
            }
            Event::Written { path, offset, bytes } => {
                self.change(path, Change::Write { offset: *offset, bytes: bytes.clone() });
            }
            Event::Cut { path, length } => self.change(path, Change::Cut(*length)),
            Event::Removed { path } => _ = self.names.remove(path),
            Event::SyncStarted { path, thread } => {
                if *path == self.directory {
                    self.syncs.insert(*thread, Sync::Names(self.names.clone()));
                } else if self.models(path) {
                    let file = self.names[path];
                    self.syncs.insert(*thread, Sync::File { file, changes: self.files[file].pending.len() });
                }
            }
            Event::SyncEnded { thread } => match self.syncs.remove(thread) {
                Some(Sync::Names(names)) => self.synced_names = names,
                Some(Sync::File { file, changes }) => {
                    let file = &mut self.files[file];
                    for change in file.pending.drain(..changes) {
                        change.apply(&mut file.synced);
                    }
                }
                None => (),
            },
        }
    }

    /// Writes what is left after a crash at this moment.
    pub(crate) fn after_crash(&self, survivors: Survivors, random: &mut Random, into: &Path) {
        let keep_names = matches!(survivors, Survivors::OnlySynced) || random.below(2) == 0;
        let names = if keep_names { &self.synced_names } else { &self.names };
        for (path, file) in names {
            let file = &self.files[*file];
            let mut bytes = file.synced.clone();
            for change in &file.pending {
                for piece in change.pieces(survivors) {
                    if !matches!(survivors, Survivors::OnlySynced) && random.below(2) == 0 {
                        piece.apply(&mut bytes);
                    }
                }
            }
            std::fs::write(into.join(path.file_name().unwrap()), bytes).unwrap();
        }
    }
}

impl Change {
    fn apply(&self, file: &mut Vec<u8>) {
        match self {
            Self::Cut(length) => file.resize(*length, 0),
            Self::Write { offset, bytes } => {
                let end = offset + bytes.len();
                if file.len() < end {
                    file.resize(end, 0);
                }
                file[*offset..end].copy_from_slice(bytes);
            }
        }
    }

    fn pieces(&self, survivors: Survivors) -> Vec<Self> {
        match (self, survivors) {
            (Self::Write { offset, bytes }, Survivors::SomeSectors) => {
                let piece = |(number, bytes): (usize, &[u8])| Self::Write {
                    offset: offset + number * SECTOR_BYTES,
                    bytes: bytes.to_vec(),
                };
                bytes.chunks(SECTOR_BYTES).enumerate().map(piece).collect()
            }
            _ => vec![self.clone()],
        }
    }
}
