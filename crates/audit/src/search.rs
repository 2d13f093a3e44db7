//! Looks for one record in the log's directory, while the log is written or not.

use std::fs::File;
use std::io::{self, BufRead as _, BufReader, Read as _};
use std::path::Path;

use crate::disk;
use crate::line::{Kind, LINE_BYTES_MAX, Line};

/// The newest record whose JSON text holds `text`, as it stands in the log. A text that is long and random, such as a
/// request id in its quotes, is in no other. Nothing is verified; [`crate::verify()`] does that.
///
/// # Errors
/// When the directory or a segment cannot be read.
pub fn find_record(directory: &Path, text: &str) -> io::Result<Option<String>> {
    for number in disk::segments(directory)?.into_iter().rev() {
        if let Some(found) = find_in(&directory.join(disk::segment_name(number)), text)? {
            return Ok(Some(found));
        }
    }
    Ok(None)
}

fn find_in(segment: &Path, text: &str) -> io::Result<Option<String>> {
    let mut found = None;
    each_line(segment, &mut |line| {
        if let Some(line) = std::str::from_utf8(line).ok().filter(|line| line.contains(text)) {
            found = Some(line.to_owned());
        }
        true
    })?;
    Ok(found)
}

/// Gives the records behind the entry with this number to `take`, oldest first, each as its JSON text. Segments that end
/// before it are not read but for their first line. Nothing is verified; [`crate::verify()`] does that.
///
/// # Errors
/// When the directory or a segment cannot be read.
pub fn records_after(directory: &Path, sequence: u64, take: &mut dyn FnMut(&str)) -> io::Result<()> {
    let mut unread = Vec::new();
    for number in disk::segments(directory)?.into_iter().rev() {
        let segment = directory.join(disk::segment_name(number));
        let begins = first_sequence(&segment)?;
        unread.push(segment);
        // Of an empty segment nobody can tell; the one before it can.
        if begins.is_some_and(|begins| begins <= sequence.saturating_add(1)) {
            break;
        }
    }
    for segment in unread.into_iter().rev() {
        each_line(&segment, &mut |line| {
            let Some(line) = Line::parse(line).filter(|line| line.sequence > sequence) else { return true };
            if let (Kind::Record { .. }, Some(record)) = (line.kind, record_of(line.body)) {
                take(record);
            }
            true
        })?;
    }
    Ok(())
}

/// The object after `"record":`, which a commit's number may precede.
fn record_of(body: &str) -> Option<&str> {
    const NAME: &str = "\"record\":";
    body.strip_prefix(NAME).or_else(|| body.strip_prefix("\"commit\":")?.split_once(',')?.1.strip_prefix(NAME))
}

/// The number of the segment's first entry; none when there is no whole line.
fn first_sequence(segment: &Path) -> io::Result<Option<u64>> {
    let mut found = None;
    each_line(segment, &mut |line| {
        found = Line::parse(line).map(|line| line.sequence);
        false
    })?;
    Ok(found)
}

/// Gives the whole lines of a segment to `take`, without their ends, until it says that it has enough.
fn each_line(segment: &Path, take: &mut dyn FnMut(&[u8]) -> bool) -> io::Result<()> {
    let mut reader = BufReader::with_capacity(1 << 16, File::open(segment)?);
    let most = u64::try_from(LINE_BYTES_MAX).unwrap_or(u64::MAX);
    let mut line = Vec::new();
    loop {
        line.clear();
        if reader.by_ref().take(most).read_until(b'\n', &mut line)? == 0 {
            return Ok(());
        }
        // The newest line may be half written.
        if line.strip_suffix(b"\n").is_some_and(|line| !take(line)) {
            return Ok(());
        }
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]

    use super::*;

    #[test]
    fn the_newest_of_all_segments_is_found() {
        let directory = tempfile::tempdir().unwrap();
        let write = |number, text: &str| std::fs::write(directory.path().join(disk::segment_name(number)), text);
        write(1, "{\"a\":\"one\"}\n{\"b\":\"one\"}\n").unwrap();
        write(2, "{\"c\":\"two\"}\n{\"d\":\"three").unwrap();
        let find = |text| find_record(directory.path(), text).unwrap();
        assert_eq!(find("\"one\"").as_deref(), Some("{\"b\":\"one\"}"));
        assert_eq!(find("two").as_deref(), Some("{\"c\":\"two\"}"));
        assert_eq!((find("three"), find("four")), (None, None), "half a line is no record");
        assert!(find_record(&directory.path().join("none"), "one").is_err());
    }

    #[test]
    fn the_records_behind_an_entry() {
        use crate::line::{Hash, render};
        let directory = tempfile::tempdir().unwrap();
        let lines = |entries: &[(u64, &str)]| {
            let mut out = Vec::new();
            for (sequence, body) in entries {
                render(&mut out, &Hash::ZERO, *sequence, &[body], None);
            }
            out
        };
        let write = |number, bytes: Vec<u8>| std::fs::write(directory.path().join(disk::segment_name(number)), bytes);
        write(1, b"not read\n".to_vec()).unwrap();
        let first = [(10, "\"segment\":{}"), (11, "\"record\":{\"n\":11}"), (12, "\"commit\":3,\"record\":{\"n\":12}")];
        write(2, lines(&first)).unwrap();
        let mut second = lines(&[(13, "\"segment\":{}"), (14, "\"record\":{\"n\":14}"), (15, "\"recovery\":{}")]);
        second.extend_from_slice(b"{\"hash\":\"half");
        write(3, second).unwrap();
        write(4, Vec::new()).unwrap();
        let after = |sequence| {
            let mut found = Vec::new();
            records_after(directory.path(), sequence, &mut |record| found.push(record.to_owned())).map(|()| found)
        };
        let records = |numbers: &[u64]| numbers.iter().map(|n| format!("{{\"n\":{n}}}")).collect::<Vec<_>>();
        assert_eq!(after(9).unwrap(), records(&[11, 12, 14]));
        assert_eq!(after(11).unwrap(), records(&[12, 14]));
        assert_eq!(after(12).unwrap(), records(&[14]));
        assert_eq!(after(14).unwrap(), records(&[]));
        assert_eq!(after(0).unwrap(), records(&[11, 12, 14]), "what is not in the log any more is left out");
        assert!(records_after(&directory.path().join("none"), 0, &mut |_| ()).is_err());
    }
}
