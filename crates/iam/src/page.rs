//! Lists in pages.

use std::sync::Arc;

use claviger_engine::{Call, Fault, Record, RowKey};

/// Which page a request asks for.
pub(crate) struct Page {
    limit: usize,
    after: Option<String>,
}

/// One page, and the marker of the next if there is one.
pub(crate) struct Cut<T> {
    pub(crate) items: Vec<T>,
    pub(crate) marker: Option<String>,
}

impl<T> Cut<T> {
    /// `IsTruncated`, which every answer has.
    pub(crate) const fn truncated(&self) -> Option<bool> {
        Some(self.marker.is_some())
    }
}

impl Page {
    /// Of 100 where the request does not say. The model's bounds of `MaxItems` are 1 and 1000.
    pub(crate) fn new(marker: Option<&String>, max_items: Option<i32>) -> Self {
        let limit = max_items.and_then(|items| usize::try_from(items).ok()).unwrap_or(100).clamp(1, 1_000);
        Self { limit, after: marker.cloned() }
    }

    pub(crate) const fn limit(&self) -> usize {
        self.limit
    }

    pub(crate) fn after(&self) -> Option<&str> {
        self.after.as_deref()
    }

    /// The page of a list that is at hand, ordered by the marker's text.
    pub(crate) fn cut<T>(&self, items: Vec<T>, name: impl Fn(&T) -> String) -> Cut<T> {
        let mut named: Vec<(String, T)> = items.into_iter().map(|item| (name(&item), item)).collect();
        named.sort_by(|left, right| left.0.cmp(&right.0));
        named.retain(|(name, _)| self.after.as_ref().is_none_or(|after| name > after));
        let more = named.len() > self.limit;
        named.truncate(self.limit);
        let marker = named.last().filter(|_| more).map(|(name, _)| name.clone());
        Cut { items: named.into_iter().map(|(_, item)| item).collect(), marker }
    }
}

impl Page {
    /// The page of a short list that keeps its own order: the marker counts the items already given.
    pub(crate) fn cut_in_order<T>(&self, items: Vec<T>) -> Cut<T> {
        let numbered = items.into_iter().enumerate().collect();
        let cut = self.cut(numbered, |(number, _)| format!("{number:06}"));
        Cut { items: cut.items.into_iter().map(|(_, item)| item).collect(), marker: cut.marker }
    }
}

/// Rows are read in chunks of this many.
const CHUNK: usize = 200;

/// The rows behind `prefix` and the marker that are to be kept, up to the page's limit, with what follows the prefix.
/// `key` makes a row's key from a marker.
pub(crate) async fn rows<R: Record>(
    call: &mut Call<'_>,
    page: &Page,
    key: impl Fn(&str) -> RowKey,
    keep: impl Fn(&R) -> bool,
) -> Result<Cut<(String, Arc<R>)>, Fault> {
    let prefix = key("");
    let (mut after, mut items) = (page.after().map(&key), Vec::<(String, Arc<R>)>::new());
    loop {
        let found = call.rows::<R>(&prefix, after.as_ref(), CHUNK).await?;
        let count = found.len();
        for (row, found) in found {
            let name = String::from_utf8_lossy(row.as_bytes().get(prefix.as_bytes().len()..).unwrap_or_default());
            if keep(&found.record) {
                if items.len() == page.limit() {
                    let marker = items.last().map(|(name, _)| name.clone());
                    return Ok(Cut { items, marker });
                }
                items.push((name.into_owned(), found.record));
            }
            after = Some(row);
        }
        if count < CHUNK {
            return Ok(Cut { items, marker: None });
        }
    }
}

/// All rows behind a prefix that is bounded by a quota, with what follows it.
pub(crate) async fn all<R: Record>(call: &mut Call<'_>, prefix: &RowKey) -> Result<Vec<(String, Arc<R>)>, Fault> {
    let (mut after, mut items) = (None, Vec::new());
    loop {
        let found = call.rows::<R>(prefix, after.as_ref(), CHUNK).await?;
        let count = found.len();
        for (row, found) in found {
            let name = String::from_utf8_lossy(row.as_bytes().get(prefix.as_bytes().len()..).unwrap_or_default());
            items.push((name.into_owned(), found.record));
            after = Some(row);
        }
        if count < CHUNK {
            return Ok(items);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_item_is_on_one_page() {
        let all: Vec<u32> = (0..25).collect();
        let (mut marker, mut found) = (None, Vec::new());
        for expected in [10, 10, 5] {
            let cut = Page::new(marker.as_ref(), Some(10)).cut(all.clone(), |item| format!("{item:03}"));
            assert_eq!((cut.items.len(), cut.truncated()), (expected, Some(expected == 10)));
            found.extend(cut.items);
            marker = cut.marker;
        }
        assert_eq!((found, marker), (all, None));
    }

    #[test]
    fn sizes_are_bounded() {
        assert_eq!(Page::new(None, None).limit(), 100);
        assert_eq!(Page::new(None, Some(-1)).limit(), 100);
        assert_eq!(Page::new(None, Some(5_000)).limit(), 1_000);
    }
}
