//! The contract of a store as rules, each run on a fresh store. They are the definition: whatever keeps them
//! all is a store, and whoever uses one may rely on nothing else.
//!
//! What they cannot show is durability, which depends on what a backend stands on: see the tests of each.

use std::fmt;
use std::future::poll_fn;
use std::task::Poll;

use bytes::Bytes;

use crate::{Batch, BoxFuture, CommitError, Range, Revision, Row, Store, StoreError, View, Watch, WatchEvent, limit};

/// A rule that does not hold.
#[derive(Debug)]
pub struct Broken {
    /// The rule's name.
    pub rule: &'static str,
    /// What was expected.
    pub expected: &'static str,
}

impl fmt::Display for Broken {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}: expected {}", self.rule, self.expected)
    }
}

impl std::error::Error for Broken {}

/// What a step of a rule gives: the text says what was expected.
type Held<T = ()> = Result<T, &'static str>;

type Rule = for<'a> fn(&'a dyn Store) -> BoxFuture<'a, Held>;

const RULES: &[(&str, Rule)] = &[
    ("a new store is empty", |store| Box::pin(empty(store))),
    ("what is put is read", |store| Box::pin(round_trip(store))),
    ("a check of absence", |store| Box::pin(check_absent(store))),
    ("a check of a revision", |store| Box::pin(check_revision(store))),
    ("a conflict applies nothing", |store| Box::pin(conflict_applies_nothing(store))),
    ("checks see the rows before the batch", |store| Box::pin(checks_come_first(store))),
    ("the last write of a key counts", |store| Box::pin(last_write_counts(store))),
    ("revisions rise by one", |store| Box::pin(revisions_are_dense(store))),
    ("a batch beyond the limits is refused", |store| Box::pin(limits(store))),
    ("a view stays as it was opened", |store| Box::pin(views_are_stable(store))),
    ("a scan is ordered and bounded", |store| Box::pin(scans(store))),
    ("prefixes end where they should", |store| Box::pin(prefixes(store))),
    ("commits are applied in the order of the calls", |store| Box::pin(order_of_calls(store))),
    ("one of the rivals wins", |store| Box::pin(rivals(store))),
    ("a watch tells every change in order", |store| Box::pin(watch_in_order(store))),
    ("a watch starts in the past", |store| Box::pin(watch_from_the_past(store))),
    ("a watch waits, and marks progress", |store| Box::pin(watch_progress(store))),
    ("a watch of a revision that never was is lost", |store| Box::pin(watch_of_the_future(store))),
    ("erasing changes no row", |store| Box::pin(erase(store))),
    ("a closed store refuses", |store| Box::pin(close(store))),
];

/// Runs every rule, each on a store of its own that `fresh` opens, empty.
///
/// # Errors
/// The first rule that does not hold.
pub async fn check(fresh: &(dyn Fn() -> Box<dyn Store> + Send + Sync)) -> Result<(), Broken> {
    for (name, rule) in RULES {
        let store = fresh();
        rule(&*store).await.map_err(|expected| Broken { rule: name, expected })?;
    }
    Ok(())
}

fn ensure(holds: bool, expected: &'static str) -> Held {
    if holds { Ok(()) } else { Err(expected) }
}

async fn view(store: &dyn Store) -> Held<Box<dyn View>> {
    store.snapshot().await.map_err(|_| "a view")
}

async fn commit(store: &dyn Store, fill: impl FnOnce(&mut Batch)) -> Result<Revision, CommitError> {
    let mut batch = Batch::new();
    fill(&mut batch);
    store.commit(batch).await
}

async fn put(store: &dyn Store, key: &'static str, value: &'static str) -> Held<Revision> {
    let put = |batch: &mut Batch| {
        batch.put(key, value);
    };
    commit(store, put).await.map_err(|_| "a put to be committed")
}

async fn get(view: &dyn View, key: &[u8]) -> Held<Option<(Bytes, Revision)>> {
    let row = view.get(key).await.map_err(|_| "a get to answer")?;
    Ok(row.map(|Row { value, revision }| (value, revision)))
}

async fn keys(view: &dyn View, range: Range, after: Option<&str>, count: usize) -> Held<Vec<Bytes>> {
    let rows = view.scan(range, after.map(str::as_bytes), count).await.map_err(|_| "a scan to answer")?;
    Ok(rows.into_iter().map(|(key, _)| key).collect())
}

fn range(start: &'static str, end: &'static str) -> Range {
    Range { start: start.into(), end: Some(end.into()) }
}

async fn empty(store: &dyn Store) -> Held {
    let view = view(store).await?;
    ensure(view.revision() == Revision::ZERO, "revision zero")?;
    ensure(get(&*view, b"key").await?.is_none(), "no row")?;
    ensure(keys(&*view, Range::all(), None, 10).await?.is_empty(), "an empty scan")
}

async fn round_trip(store: &dyn Store) -> Held {
    let longest_key = vec![0xff_u8; limit::KEY_BYTES_MAX];
    let rows: [(Vec<u8>, Vec<u8>); 5] = [
        (vec![0], vec![]),
        (vec![0, 0], vec![0; 3]),
        (b"text".to_vec(), b"'; DROP TABLE rows; --".to_vec()),
        (vec![0x80, 0xc3, 0x28], (0..=255).collect()),
        (longest_key, vec![7; 500_000]),
    ];
    let written = commit(store, |batch| {
        for (key, value) in rows.clone() {
            batch.put(key, value);
        }
    })
    .await
    .map_err(|_| "five puts to be committed")?;
    let view = view(store).await?;
    ensure(view.revision() == written, "the view to be of the commit's revision")?;
    for (key, value) in &rows {
        let found = get(&*view, key).await?;
        ensure(found == Some((value.clone().into(), written)), "the value that was put, at its revision")?;
    }
    let scanned = view.scan(Range::all(), None, 10).await.map_err(|_| "a scan to answer")?;
    let same = scanned.iter().map(|(key, row)| (&**key, &*row.value, row.revision));
    let mut expected = rows.iter().map(|(key, value)| (&**key, &**value, written));
    ensure(same.eq(expected.by_ref()), "the same rows from a scan")
}

async fn check_absent(store: &dyn Store) -> Held {
    let create = |batch: &mut Batch| {
        batch.check_absent("row").put("row", "1");
    };
    ensure(commit(store, create).await.is_ok(), "an absent row to be created")?;
    ensure(commit(store, create).await == Err(CommitError::Conflict), "a present row to conflict")?;
    let delete = |batch: &mut Batch| {
        batch.delete("row");
    };
    ensure(commit(store, delete).await.is_ok(), "the row to be deleted")?;
    ensure(commit(store, create).await.is_ok(), "a deleted row to count as absent")
}

async fn check_revision(store: &dyn Store) -> Held {
    let first = put(store, "row", "1").await?;
    let other = put(store, "other", "1").await?;
    let at = |revision| commit(store, move |batch| _ = batch.check_revision("row", revision).put("row", "2"));
    ensure(at(other).await == Err(CommitError::Conflict), "another row's revision to conflict")?;
    let second = at(first).await.map_err(|_| "the row's own revision to hold")?;
    ensure(at(first).await == Err(CommitError::Conflict), "an old revision to conflict")?;
    ensure(at(second.next()).await == Err(CommitError::Conflict), "a revision to come to conflict")?;
    ensure(commit(store, |batch| _ = batch.delete("row")).await.is_ok(), "the row to be deleted")?;
    ensure(at(second).await == Err(CommitError::Conflict), "a deleted row to conflict")?;
    ensure(at(Revision::ZERO).await == Err(CommitError::Conflict), "revision zero not to mean absence")
}

async fn conflict_applies_nothing(store: &dyn Store) -> Held {
    let first = put(store, "kept", "1").await?;
    let outcome = commit(store, |batch| {
        batch.check_revision("kept", first).check_absent("kept");
        batch.put("kept", "2").put("new", "2").delete("kept");
    })
    .await;
    ensure(outcome == Err(CommitError::Conflict), "a conflict")?;
    let view = view(store).await?;
    ensure(view.revision() == first, "no revision taken")?;
    ensure(get(&*view, b"kept").await? == Some(("1".into(), first)), "the row as it was")?;
    ensure(get(&*view, b"new").await?.is_none(), "no new row")
}

async fn checks_come_first(store: &dyn Store) -> Held {
    let outcome = commit(store, |batch| _ = batch.put("row", "1").check_absent("row")).await;
    let first = outcome.map_err(|_| "the row to count as absent before its own batch")?;
    let outcome = commit(store, |batch| _ = batch.delete("row").check_revision("row", first)).await;
    ensure(outcome.is_ok(), "the row to count as present before its own batch")?;
    let only_checks = commit(store, |batch| _ = batch.check_absent("row")).await;
    ensure(only_checks == outcome, "a batch of checks to answer with the revision it held at")?;
    let only_checks = commit(store, |batch| _ = batch.check_revision("row", first)).await;
    ensure(only_checks == Err(CommitError::Conflict), "a batch of checks to conflict")
}

async fn last_write_counts(store: &dyn Store) -> Held {
    let written = commit(store, |batch| {
        batch.put("a", "1").delete("a").put("b", "1").put("b", "2").delete("c").put("c", "3");
    })
    .await
    .map_err(|_| "several writes of a key to be committed")?;
    let view = view(store).await?;
    ensure(get(&*view, b"a").await?.is_none(), "deleted last")?;
    ensure(get(&*view, b"b").await? == Some(("2".into(), written)), "put last")?;
    ensure(get(&*view, b"c").await? == Some(("3".into(), written)), "put after a delete")
}

async fn revisions_are_dense(store: &dyn Store) -> Held {
    for number in 1..=5 {
        ensure(put(store, "row", "same").await? == Revision(number), "each commit to take the next revision")?;
    }
    let five = Ok(Revision(5));
    ensure(commit(store, |batch| _ = batch.delete("none")).await == five, "no revision for no change")?;
    ensure(commit(store, |_| ()).await == five, "no revision for an empty batch")?;
    let some = commit(store, |batch| _ = batch.delete("none").put("row", "6")).await;
    ensure(some == Ok(Revision(6)), "one revision for a batch")?;
    let delete = commit(store, |batch| _ = batch.delete("row")).await;
    ensure(delete == Ok(Revision(7)), "one revision for a deletion")?;
    ensure(view(store).await?.revision() == Revision(7), "the view to be of the last revision")
}

async fn limits(store: &dyn Store) -> Held {
    let too_large = Err(CommitError::TooLarge);
    let operations = |count: usize| {
        commit(store, move |batch| {
            for number in 0..count {
                batch.put(number.to_be_bytes().to_vec(), "value");
            }
        })
    };
    ensure(operations(limit::BATCH_OPERATIONS_MAX + 1).await == too_large, "too many operations refused")?;
    let of = |key: usize, value: usize| commit(store, move |batch| _ = batch.put(vec![1; key], vec![2; value]));
    ensure(of(0, 1).await == too_large, "an empty key refused")?;
    ensure(of(limit::KEY_BYTES_MAX + 1, 1).await == too_large, "a key too long refused")?;
    ensure(of(8, limit::BATCH_BYTES_MAX - 7).await == too_large, "too many bytes refused")?;
    ensure(view(store).await?.revision() == Revision::ZERO, "nothing applied")?;
    ensure(operations(limit::BATCH_OPERATIONS_MAX).await.is_ok(), "the most operations taken")?;
    ensure(of(8, limit::BATCH_BYTES_MAX - 8).await.is_ok(), "the most bytes taken")?;
    let view = view(store).await?;
    let count = keys(&*view, Range::all(), None, limit::SCAN_ROWS_MAX).await?.len();
    ensure(count == limit::BATCH_OPERATIONS_MAX + 1, "every row of them")
}

async fn views_are_stable(store: &dyn Store) -> Held {
    let before_all = view(store).await?;
    put(store, "kept", "1").await?;
    put(store, "changed", "1").await?;
    let last = put(store, "deleted", "1").await?;
    let old = view(store).await?;
    let outcome = commit(store, |batch| _ = batch.put("changed", "2").delete("deleted").put("new", "2")).await;
    let changed = outcome.map_err(|_| "a commit beside open views")?;
    put(store, "changed", "3").await?;
    ensure(before_all.revision() == Revision::ZERO, "the first view at revision zero")?;
    ensure(keys(&*before_all, Range::all(), None, 10).await?.is_empty(), "the first view empty")?;
    ensure(old.revision() == last, "the old view at its revision")?;
    ensure(keys(&*old, Range::all(), None, 10).await? == ["changed", "deleted", "kept"], "the old keys")?;
    ensure(get(&*old, b"changed").await? == Some(("1".into(), Revision(2))), "the old value")?;
    ensure(get(&*old, b"deleted").await? == Some(("1".into(), last)), "the deleted row")?;
    ensure(get(&*old, b"new").await?.is_none(), "no new row in the old view")?;
    drop(old);
    let new = view(store).await?;
    ensure(keys(&*new, Range::all(), None, 10).await? == ["changed", "kept", "new"], "the new keys")?;
    ensure(get(&*new, b"changed").await? == Some(("3".into(), changed.next())), "the new value")?;
    ensure(get(&*before_all, b"new").await?.is_none(), "the first view empty to the end")
}

async fn scans(store: &dyn Store) -> Held {
    for key in ["d", "b", "a", "c", "bb"] {
        put(store, key, key).await?;
    }
    let view = view(store).await?;
    let scan = |range, after, count| keys(&*view, range, after, count);
    ensure(scan(Range::all(), None, 10).await? == ["a", "b", "bb", "c", "d"], "byte order")?;
    ensure(scan(Range::all(), None, 2).await? == ["a", "b"], "no more than asked for")?;
    ensure(scan(Range::all(), Some("b"), 2).await? == ["bb", "c"], "the next page")?;
    ensure(scan(Range::all(), Some("bc"), 10).await? == ["c", "d"], "a page after a key that is not there")?;
    ensure(scan(Range::all(), Some("d"), 10).await?.is_empty(), "nothing after the last")?;
    ensure(scan(Range::all(), None, 0).await?.is_empty(), "nothing when nothing is asked for")?;
    ensure(scan(range("b", "c"), None, 10).await? == ["b", "bb"], "the start and not the end")?;
    ensure(scan(range("b", "c"), Some("a"), 10).await? == ["b", "bb"], "`after` before the range ignored")?;
    ensure(scan(range("b", "c"), Some("b"), 10).await? == ["bb"], "`after` at the start")?;
    ensure(scan(range("b", "c"), Some("c"), 10).await?.is_empty(), "nothing when `after` is the end")?;
    ensure(scan(range("b", "c"), Some("x"), 10).await?.is_empty(), "nothing when `after` is beyond")?;
    ensure(scan(range("b", "b"), None, 10).await?.is_empty(), "an empty range")?;
    ensure(scan(range("c", "b"), None, 10).await?.is_empty(), "a range that ends before it starts")?;
    let too_many = view.scan(Range::all(), None, limit::SCAN_ROWS_MAX + 1).await;
    ensure(matches!(too_many, Err(StoreError::TooLarge)), "too many rows refused, not cut")
}

async fn prefixes(store: &dyn Store) -> Held {
    let all: [&[u8]; 6] = [b"a", b"a\x00", b"a\xff", b"a\xff\xff", b"b", b"\xff\xff\x01"];
    let filled = commit(store, |batch| {
        for key in all {
            batch.put(key.to_vec(), "value");
        }
    });
    filled.await.map_err(|_| "rows to be put")?;
    let view = view(store).await?;
    for prefix in [b"".as_slice(), b"a", b"a\xff", b"b", b"\xff", b"\xff\xff", b"c"] {
        let found = keys(&*view, Range::prefix(prefix), None, 10).await?;
        let expected: Vec<_> = all.into_iter().filter(|key| key.starts_with(prefix)).collect();
        ensure(found == expected, "exactly the keys with the prefix")?;
    }
    Ok(())
}

async fn order_of_calls(store: &dyn Store) -> Held {
    // Each builds on the one before, and none is waited for before the next is called; half are never polled.
    let mut waiting = Vec::new();
    for number in 0..50_u64 {
        let mut batch = Batch::new();
        match number {
            0 => batch.check_absent("row"),
            _ => batch.check_revision("row", Revision(number)),
        };
        batch.put("row", number.to_string());
        let outcome = store.commit(batch);
        if number % 2 == 1 {
            waiting.push((Revision(number + 1), outcome));
        }
    }
    for (revision, outcome) in waiting {
        ensure(outcome.await == Ok(revision), "every commit to find the one called before it")?;
    }
    let view = view(store).await?;
    ensure(get(&*view, b"row").await? == Some(("49".into(), Revision(50))), "the last one's value")
}

async fn rivals(store: &dyn Store) -> Held {
    let mut revision = put(store, "row", "0").await?;
    for _ in 0..10 {
        let rivals: Vec<_> = (0..10_u8)
            .map(|rival| {
                let mut batch = Batch::new();
                batch.check_revision("row", revision).put("row", vec![rival]).put(vec![b'r', rival], "seen");
                store.commit(batch)
            })
            .collect();
        let mut won = None;
        for rival in rivals {
            match rival.await {
                Ok(committed) if won.is_none() => won = Some(committed),
                Ok(_) => return Err("only one rival to win"),
                Err(error) => ensure(error == CommitError::Conflict, "the others to conflict")?,
            }
        }
        let won = won.ok_or("one rival to win")?;
        ensure(won == revision.next(), "losers to take no revision")?;
        revision = won;
    }
    Ok(())
}

async fn event(watch: &mut dyn Watch) -> Held<WatchEvent> {
    watch.next().await.map_err(|_| "an event")
}

/// The next event that is not a progress mark.
async fn change(watch: &mut dyn Watch) -> Held<(Revision, Vec<(Bytes, Option<Row>)>)> {
    loop {
        match event(watch).await? {
            WatchEvent::Changes(revision, writes) => return Ok((revision, writes)),
            WatchEvent::Progress(_) => (),
            WatchEvent::Lost => return Err("a watch that is not lost"),
        }
    }
}

fn written(key: &'static str, value: &'static str, revision: Revision) -> (Bytes, Option<Row>) {
    (key.into(), Some(Row { value: value.into(), revision }))
}

async fn watch_in_order(store: &dyn Store) -> Held {
    let mut watch = store.watch(b"a/", Revision::ZERO).await.map_err(|_| "a watch")?;
    let first = put(store, "a/1", "1").await?;
    put(store, "b/1", "not watched").await?;
    let second = commit(store, |batch| {
        batch.put("a/2", "2").put("b/2", "not watched").delete("a/none").delete("a/1").put("a", "too short");
    });
    let second = second.await.map_err(|_| "a commit")?;
    let third = put(store, "a/2", "3").await?;
    let expected = [
        (first, vec![written("a/1", "1", first)]),
        (second, vec![("a/1".into(), None), written("a/2", "2", second)]),
        (third, vec![written("a/2", "3", third)]),
    ];
    for expected in expected {
        ensure(change(&mut *watch).await? == expected, "each commit once, in order, only rows of the prefix")?;
    }
    Ok(())
}

async fn watch_from_the_past(store: &dyn Store) -> Held {
    let first = put(store, "row", "1").await?;
    let second = put(store, "row", "2").await?;
    let seen = view(store).await?.revision();
    let third = put(store, "row", "3").await?;
    let mut watch = store.watch(b"", first).await.map_err(|_| "a watch")?;
    ensure(change(&mut *watch).await?.0 == second, "the commit after the revision given")?;
    ensure(change(&mut *watch).await?.0 == third, "the one after that")?;
    let mut watch = store.watch(b"", seen).await.map_err(|_| "a watch")?;
    let (revision, writes) = change(&mut *watch).await?;
    ensure((revision, writes) == (third, vec![written("row", "3", third)]), "no gap after a view")
}

async fn watch_progress(store: &dyn Store) -> Held {
    let last = put(store, "other", "1").await?;
    let mut watch = store.watch(b"row", Revision::ZERO).await.map_err(|_| "a watch")?;
    ensure(event(&mut *watch).await? == WatchEvent::Progress(last), "progress past rows not watched")?;
    {
        let mut next = watch.next();
        let pending = poll_fn(|context| Poll::Ready(next.as_mut().poll(context).is_pending())).await;
        ensure(pending, "nothing to tell")?;
    }
    watch.request_progress();
    ensure(event(&mut *watch).await? == WatchEvent::Progress(last), "progress when asked for")?;
    let next = watch.next();
    let put_row = put(store, "row", "1");
    let (event, revision) = (next, put_row);
    let revision = revision.await?;
    let event = event.await.map_err(|_| "an event")?;
    ensure(event == WatchEvent::Changes(revision, vec![written("row", "1", revision)]), "the change")
}

async fn watch_of_the_future(store: &dyn Store) -> Held {
    let last = put(store, "row", "1").await?;
    let mut watch = store.watch(b"", last.next()).await.map_err(|_| "a watch")?;
    ensure(event(&mut *watch).await? == WatchEvent::Lost, "lost")?;
    put(store, "row", "2").await?;
    ensure(event(&mut *watch).await? == WatchEvent::Lost, "lost for good")
}

async fn erase(store: &dyn Store) -> Held {
    put(store, "deleted", "1").await?;
    put(store, "kept", "1").await?;
    commit(store, |batch| _ = batch.delete("deleted")).await.map_err(|_| "a deletion")?;
    store.erase().await.map_err(|_| "an erasure with no view open")?;
    let view = view(store).await?;
    ensure(view.revision() == Revision(3), "no revision taken")?;
    ensure(keys(&*view, Range::all(), None, 10).await? == ["kept"], "the rows as they were")
}

async fn close(store: &dyn Store) -> Held {
    put(store, "row", "1").await?;
    let mut watch = store.watch(b"", Revision::ZERO).await.map_err(|_| "a watch")?;
    store.close().await.map_err(|_| "a clean end")?;
    store.close().await.map_err(|_| "a second close to be harmless")?;
    ensure(matches!(store.snapshot().await, Err(StoreError::Closed)), "no view")?;
    ensure(matches!(store.watch(b"", Revision::ZERO).await, Err(StoreError::Closed)), "no watch")?;
    ensure(watch.next().await == Err(StoreError::Closed), "an end of the watch")?;
    let outcome = commit(store, |batch| _ = batch.put("row", "2")).await;
    ensure(outcome == Err(CommitError::Unavailable), "no commit")
}
