//! Follows the chain line by line and names the first thing that is not as it was written. Used by recovery at a start
//! and by [`crate::verify()`], so that both call the same thing a fault.

use std::fmt;
use std::io::{self, BufRead, Read};

use claviger_crypto::verify as verify_signature;

use crate::line::{Hash, Kind, LINE_BYTES_MAX, Line, chain, signed_message};

/// An Ed25519 public key.
pub type PublicKey = [u8; 32];

/// What is wrong with a line or a file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum FaultKind {
    /// The bytes are not a line of this log.
    Malformed,
    /// The file ends within a line, as after a power loss; a start recovers from it and says so in the log.
    Torn,
    /// Lines are missing, repeated or in another order.
    Sequence {
        /// The number that the line bears.
        found: u64,
    },
    /// The line, or the one before, is not what it was when it was written.
    Altered,
    /// The signature is not the key's.
    Signature,
    /// A file does not begin with its opening entry, or has it elsewhere, or bears another's number or node.
    Opening,
    /// Entries follow the one that closed the segment.
    AfterClose,
    /// The next segment exists, but this one was not closed.
    NotClosed,
    /// A segment file is missing.
    MissingSegment,
    /// No entry bears the expected head.
    HeadMissing,
    /// Nothing could be checked: no log, no usable key, or the file could not be read.
    Unreadable(io::ErrorKind),
}

impl fmt::Display for FaultKind {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Malformed => formatter.write_str("not a line of an audit log"),
            Self::Torn => formatter.write_str("the file ends within a line"),
            Self::Sequence { found } => {
                write!(formatter, "a gap, a repetition or a reordering: the line is number {found}")
            }
            Self::Altered => formatter.write_str("the line, or the one before it, was altered"),
            Self::Signature => formatter.write_str("the signature is not by this key"),
            Self::Opening => formatter.write_str("the segment's opening entry is missing, misplaced or another's"),
            Self::AfterClose => formatter.write_str("entries follow the close of the segment"),
            Self::NotClosed => formatter.write_str("the segment ends without its closing checkpoint"),
            Self::MissingSegment => formatter.write_str("the segment is missing"),
            Self::HeadMissing => formatter.write_str("the log does not hold the expected head: its end was cut off"),
            Self::Unreadable(kind) => write!(formatter, "cannot be read: {kind}"),
        }
    }
}

/// The state of the chain after the lines seen so far.
pub(crate) struct Walker {
    key: PublicKey,
    node: Option<String>,
    pub(crate) segment: u64,
    pub(crate) head: Hash,
    /// The number of the entry at `head`; 0 before the first.
    pub(crate) sequence: u64,
    /// The last entry that a signature covers.
    pub(crate) signed: u64,
    /// The segment's closing checkpoint was seen.
    pub(crate) closed: bool,
    /// `anchors` of the last checkpoint, as JSON text.
    pub(crate) anchors: Option<String>,
    /// No entry of the current segment was seen yet.
    fresh: bool,
}

impl Walker {
    /// Before the first line of the first segment.
    pub(crate) const fn at_beginning(key: PublicKey) -> Self {
        Self {
            key,
            node: None,
            segment: 0,
            head: Hash::ZERO,
            sequence: 0,
            signed: 0,
            closed: true,
            anchors: None,
            fresh: false,
        }
    }

    /// Before the first line of a later segment, whose opening entry is believed about what came before it. A start
    /// does this, which reads the newest segments only; the verifier never does.
    pub(crate) fn at_segment(key: PublicKey, number: u64, first_line: &[u8]) -> Option<Self> {
        let line = Line::parse(first_line)?;
        let previous = Hash::parse(line.content("segment")?.get("previous")?.as_str()?)?;
        let sequence = line.sequence.checked_sub(1)?;
        let walker = Self::at_beginning(key);
        Some(Self { segment: number.checked_sub(1)?, head: previous, sequence, signed: sequence, ..walker })
    }

    /// Steps into the next file.
    pub(crate) fn enter(&mut self, number: u64) -> Result<(), FaultKind> {
        if self.segment.checked_add(1) != Some(number) {
            return Err(FaultKind::MissingSegment);
        }
        self.segment = number;
        self.fresh = true;
        Ok(())
    }

    /// The number the next entry must bear.
    pub(crate) const fn next_sequence(&self) -> u64 {
        self.sequence.saturating_add(1)
    }

    /// Takes the next line, without its newline, or says what is wrong with it and stays where it was.
    pub(crate) fn step<'a>(&mut self, bytes: &'a [u8]) -> Result<Line<'a>, FaultKind> {
        let line = Line::parse(bytes).ok_or(FaultKind::Malformed)?;
        if line.sequence != self.next_sequence() {
            return Err(FaultKind::Sequence { found: line.sequence });
        }
        if line.hash != chain(&self.head, line.sequence, line.body) {
            return Err(FaultKind::Altered);
        }
        if (line.kind == Kind::Segment) != self.fresh {
            return Err(if self.closed && !self.fresh { FaultKind::AfterClose } else { FaultKind::Opening });
        }
        match line.kind {
            Kind::Segment => self.opening(&line)?,
            _ if self.closed => return Err(FaultKind::AfterClose),
            Kind::Checkpoint { signature } => self.checkpoint(&line, &signature)?,
            Kind::Record { .. } | Kind::Recovery => {}
        }
        self.head = line.hash;
        self.sequence = line.sequence;
        Ok(line)
    }

    fn opening(&mut self, line: &Line<'_>) -> Result<(), FaultKind> {
        let content = line.content("segment").ok_or(FaultKind::Opening)?;
        let text = |name: &str| content.get(name).and_then(serde_json::Value::as_str);
        let node = text("node").ok_or(FaultKind::Opening)?;
        let same_node = self.node.as_deref().is_none_or(|known| known == node);
        let number = content.get("number").and_then(serde_json::Value::as_u64);
        let previous = text("previous").and_then(Hash::parse);
        if !same_node || number != Some(self.segment) || previous != Some(self.head) {
            return Err(FaultKind::Opening);
        }
        self.node = Some(node.to_owned());
        self.closed = false;
        self.fresh = false;
        Ok(())
    }

    fn checkpoint(&mut self, line: &Line<'_>, signature: &[u8]) -> Result<(), FaultKind> {
        if !verify_signature(&self.key, &signed_message(&line.hash), signature) {
            return Err(FaultKind::Signature);
        }
        let content = line.content("checkpoint").ok_or(FaultKind::Malformed)?;
        self.closed = content.get("closes").and_then(serde_json::Value::as_bool) == Some(true);
        self.anchors = content.get("anchors").filter(|anchors| !anchors.is_null()).map(ToString::to_string);
        self.signed = line.sequence;
        Ok(())
    }

    /// Whether a line that does not follow from the chain is nevertheless a checkpoint that this key signed.
    pub(crate) fn is_signed_elsewhere(&self, bytes: &[u8]) -> bool {
        Line::parse(bytes).is_some_and(|line| match line.kind {
            Kind::Checkpoint { signature } => verify_signature(&self.key, &signed_message(&line.hash), &signature),
            Kind::Segment | Kind::Record { .. } | Kind::Recovery => false,
        })
    }

    /// The node that the opening entries name.
    pub(crate) fn node(&self) -> Option<&str> {
        self.node.as_deref()
    }

    /// No entry of the segment entered last was seen.
    pub(crate) const fn is_fresh(&self) -> bool {
        self.fresh
    }
}

/// What a reader found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Next {
    /// A whole line; the buffer holds it without its newline.
    Line,
    /// Bytes without a newline: at the end of the file, or more than a line may have.
    Fragment,
    /// Nothing more.
    End,
}

/// Reads the next line into the buffer; never more than a line may have.
pub(crate) fn read_line(reader: &mut impl BufRead, buffer: &mut Vec<u8>) -> io::Result<Next> {
    buffer.clear();
    let limit = u64::try_from(LINE_BYTES_MAX).unwrap_or(u64::MAX);
    if reader.by_ref().take(limit).read_until(b'\n', buffer)? == 0 {
        return Ok(Next::End);
    }
    if buffer.last() == Some(&b'\n') {
        buffer.pop();
        Ok(Next::Line)
    } else {
        Ok(Next::Fragment)
    }
}
