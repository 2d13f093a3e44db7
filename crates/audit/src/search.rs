//! Looks for one record in the log's directory, while the log is written or not.

use std::fs::File;
use std::io::{self, BufRead as _, BufReader, Read as _};
use std::path::Path;

use crate::disk;
use crate::line::LINE_BYTES_MAX;

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
    let mut reader = BufReader::new(File::open(segment)?);
    let most = u64::try_from(LINE_BYTES_MAX).unwrap_or(u64::MAX);
    let (mut line, mut found) = (Vec::new(), None);
    loop {
        line.clear();
        if reader.by_ref().take(most).read_until(b'\n', &mut line)? == 0 {
            return Ok(found);
        }
        // The newest line may be half written.
        if let Some(line) = line.strip_suffix(b"\n").and_then(|line| std::str::from_utf8(line).ok())
            && line.contains(text)
        {
            found = Some(line.to_owned());
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
}
