//! The newest time seen: what holds when the clock runs backwards, and what waits when it leaps ahead.
//!
//! The mark is the newest time that was believed. It is kept in the store, so that a restart knows it. Calls go by the
//! later of clock and mark, so what has expired stays expired while the clock is behind. Jobs that destroy go by the mark
//! alone, and the mark follows the clock only as far as there is a cause: the time that the process has run by a clock
//! that nobody sets, and before that a downtime that is plausible. Beyond it an operator's word is needed.

use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

use claviger_api::Timestamp;
use claviger_audit::{Recorded, Value};
use claviger_crypto::DomainKeys;
use claviger_secret::event;

use crate::codec::{BadRecord, Reader, Writer};
use crate::committer::Committed;
use crate::engine::{COMMIT_RETRIES_MAX, Engine};
use crate::operation::Writes;
use crate::record::{Record, RowKey};
use crate::{Call, CallMeta, Caller, Clock, Command, CommandError, CommandWork, Commanded, Fault};

const KIND: &str = "time";
/// How far the mark may be ahead of the stored one, in milliseconds: a crash forgets no more.
const STORED_EVERY_MILLIS: i64 = 60_000;
/// From which distance, in milliseconds, a clock behind the mark is reported: less is a correction by a time server.
const BEHIND_TOLD_MILLIS: i64 = 60_000;
/// No time was believed yet.
const NO_MARK: i64 = i64::MIN;

/// How far the clock is believed when it is ahead of what was expected.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ClockRule {
    /// The longest downtime that explains by itself how far the clock has come when the process starts, in
    /// milliseconds.
    pub downtime_max_millis: i64,
    /// How far the clock may get ahead of the process's own measure of time, in milliseconds, all the while it runs.
    pub leap_max_millis: i64,
}

/// Three days: a weekend with the server off needs nobody's word, and a clock that is wrong by this much leaves four
/// days of the shortest waiting period of seven before a key is deleted.
pub const DOWNTIME_MAX_MILLIS: i64 = 3 * 86_400_000;
/// An hour: time servers correct by less, and no waiting period or expiry is meant to the hour.
pub const LEAP_MAX_MILLIS: i64 = 3_600_000;

impl ClockRule {
    /// The clock is always believed: in `claviger dev`, where its user moves it.
    pub const ALWAYS: Self = Self { downtime_max_millis: i64::MAX, leap_max_millis: i64::MAX };
}

impl Default for ClockRule {
    fn default() -> Self {
        Self { downtime_max_millis: DOWNTIME_MAX_MILLIS, leap_max_millis: LEAP_MAX_MILLIS }
    }
}

/// How the clock stands to the mark.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ClockStanding {
    /// It is as expected.
    Sound,
    /// It is behind the newest time seen by this many milliseconds, more than a minute.
    Behind(i64),
    /// It is ahead of what was expected by this many milliseconds: jobs that destroy wait.
    Leapt(i64),
    /// The row of the newest time cannot be read: jobs that destroy wait.
    Unknown,
}

/// The clock, for `claviger status`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ClockState {
    /// How it stands.
    pub standing: ClockStanding,
    /// What the movable clock says.
    pub now: Timestamp,
    /// The newest time that was believed; `None` when it is not known.
    pub newest: Option<Timestamp>,
    /// Jobs that are due by the clock and wait, as of the last run.
    pub jobs_waiting: u64,
}

/// The stored mark.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct TimeRow {
    /// The newest time that was believed, in milliseconds.
    newest: i64,
    /// How often an operator has accepted the clock: a row with a greater number replaces what is known.
    accepted: u64,
    /// Whether the clock had leapt when this was stored: a restart is then no cause for the leap.
    waits: bool,
}

impl Record for TimeRow {
    fn encode(&self, _: &DomainKeys) -> Result<Vec<u8>, Fault> {
        let Self { newest, accepted, waits } = self;
        let mut writer = Writer::record(KIND, 1);
        writer.i64(*newest);
        writer.u64(*accepted);
        writer.bool(*waits);
        Ok(writer.finish())
    }

    fn decode(bytes: &[u8], _: &DomainKeys) -> Result<Self, BadRecord> {
        let (mut reader, _) = Reader::record(bytes, KIND, 1)?;
        let row = Self { newest: reader.i64()?, accepted: reader.u64()?, waits: reader.bool()? };
        reader.end()?;
        Ok(row)
    }
}

fn time_key() -> RowKey {
    RowKey::new(KIND, "newest", "")
}

/// From where time is counted.
#[derive(Clone, Copy)]
struct Base {
    /// A time that was believed, in milliseconds.
    time: i64,
    /// The process's own measure of time at that moment, in milliseconds.
    steady: i64,
    /// How far the clock may be ahead of what follows from these.
    slack: i64,
    /// Whether the clock has been believed since the process began.
    settled: bool,
}

#[derive(Default)]
struct Watch {
    /// Nothing until the row could be read.
    base: Option<Base>,
    accepted: u64,
    /// Whether it is ours to take the stored `waits` back.
    waited: bool,
    /// What the log was told last.
    told: Told,
}

#[derive(Clone, Copy, Default, PartialEq, Eq)]
enum Told {
    #[default]
    Sound,
    Behind,
    Leapt,
}

/// See the module.
pub(crate) struct HighWater {
    rule: ClockRule,
    watch: Mutex<Watch>,
    /// The mark, beside the lock since every call reads it.
    mark: AtomicI64,
    jobs_waiting: AtomicU64,
}

impl HighWater {
    pub(crate) fn new(rule: ClockRule) -> Self {
        let (mark, jobs_waiting) = (AtomicI64::new(NO_MARK), AtomicU64::new(0));
        Self { rule, watch: Mutex::default(), mark, jobs_waiting }
    }

    fn watch(&self) -> MutexGuard<'_, Watch> {
        self.watch.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The later of the clock and the mark.
    pub(crate) fn held(&self, now: Timestamp) -> Timestamp {
        Timestamp::from_millis(now.millis().max(self.mark.load(Ordering::Acquire)))
    }

    /// Up to when jobs that destroy may be done; never, while the mark is not known.
    pub(crate) fn destroys_until(&self) -> Option<Timestamp> {
        let mark = self.mark.load(Ordering::Acquire);
        (mark != NO_MARK).then(|| Timestamp::from_millis(mark))
    }

    pub(crate) fn note_waiting(&self, jobs: u64) {
        self.jobs_waiting.store(jobs, Ordering::Release);
    }

    /// Forgets everything, with the clock as it is for a beginning.
    pub(crate) fn restart(&self, clock: &dyn Clock) {
        let mut watch = self.watch();
        *watch = Watch::default();
        self.mark.store(NO_MARK, Ordering::Release);
        self.take_row(&mut watch, None, clock.now().millis(), clock.steady());
    }

    /// Takes in what the store says, then looks at the clock. Gives the row as it should now be.
    fn learn(&self, row: Option<&TimeRow>, clock: &dyn Clock) -> TimeRow {
        let (now, steady) = (clock.now().millis(), clock.steady());
        let mut watch = self.watch();
        self.take_row(&mut watch, row, now, steady);
        let leapt = self.look(&mut watch, now, steady).is_some();
        // Another process's leap is its own to take back.
        let waits = leapt || row.is_some_and(|row| row.waits && !watch.waited);
        watch.waited |= leapt;
        TimeRow { newest: self.mark.load(Ordering::Acquire), accepted: watch.accepted, waits }
    }

    /// The row is stored as [`HighWater::learn`] gave it.
    fn stored(&self, row: &TimeRow) {
        if !row.waits {
            self.watch().waited = false;
        }
    }

    fn take_row(&self, watch: &mut Watch, row: Option<&TimeRow>, now: i64, steady: i64) {
        let slack = self.rule.leap_max_millis;
        let (base, mark) = match (watch.base, row) {
            // The first start, or the first since there is a mark.
            (None, None) => (Base { time: now, steady, slack, settled: true }, now),
            (None, Some(row)) => {
                watch.waited = row.waits;
                let slack = if row.waits { slack } else { self.rule.downtime_max_millis };
                (Base { time: row.newest, steady, slack, settled: false }, row.newest)
            }
            (Some(_), Some(row)) if row.accepted > watch.accepted => {
                watch.waited = false;
                (Base { time: row.newest, steady, slack, settled: true }, row.newest)
            }
            // Read before an operator took the clock for right: it knows nothing of that.
            (Some(_), Some(row)) if row.accepted < watch.accepted => return,
            // Another process believes more than this one, which is cause enough.
            (Some(base), Some(row)) if row.newest > base.expected(steady).saturating_add(base.slack) => {
                (Base { time: row.newest, steady, ..base }, row.newest)
            }
            (Some(base), Some(row)) => (base, row.newest.max(self.mark.load(Ordering::Acquire))),
            (Some(_), None) => return,
        };
        watch.accepted = row.map_or(watch.accepted, |row| row.accepted.max(watch.accepted));
        watch.base = Some(base);
        self.mark.store(mark, Ordering::Release);
    }

    /// Moves the mark as far as the clock is believed. Gives how far the clock is ahead when it is not.
    fn look(&self, watch: &mut Watch, now: i64, steady: i64) -> Option<i64> {
        let base = watch.base.as_mut()?;
        let expected = base.expected(steady);
        let mark = self.mark.load(Ordering::Acquire);
        let leapt = now > expected.saturating_add(base.slack);
        let believed = if leapt { expected } else { now };
        if !leapt && !base.settled && now >= mark {
            *base = Base { time: now, steady, slack: self.rule.leap_max_millis, settled: true };
        }
        self.mark.store(mark.max(believed), Ordering::Release);
        let behind = mark.saturating_sub(now) > BEHIND_TOLD_MILLIS;
        let tell = if leapt {
            Told::Leapt
        } else if behind {
            Told::Behind
        } else {
            Told::Sound
        };
        if tell != watch.told {
            watch.told = tell;
            self.tell(tell, now.saturating_sub(expected), mark.saturating_sub(now));
        }
        leapt.then(|| now.saturating_sub(expected))
    }

    fn tell(&self, told: Told, ahead_millis: i64, behind_millis: i64) {
        match told {
            Told::Sound => event!(info, "the clock is as expected again"),
            Told::Behind => event!(
                warn,
                "the clock is behind the newest time seen: what has expired stays expired until it catches up",
                milliseconds = behind_millis
            ),
            Told::Leapt => event!(
                error,
                "the clock has leapt ahead without a cause: keys and imported material whose time seems to have come are \
                 kept until it comes back or an operator says `claviger clock accept`",
                milliseconds = ahead_millis
            ),
        }
    }

    fn state(&self, clock: &dyn Clock) -> ClockState {
        let (now, steady) = (clock.now(), clock.steady());
        let mark = self.destroys_until();
        let base = self.watch().base;
        let standing = match (base, mark) {
            (Some(base), Some(mark)) => {
                let ahead = now.millis().saturating_sub(base.expected(steady));
                let behind = mark.millis().saturating_sub(now.millis());
                if ahead > base.slack {
                    ClockStanding::Leapt(ahead)
                } else if behind > BEHIND_TOLD_MILLIS {
                    ClockStanding::Behind(behind)
                } else {
                    ClockStanding::Sound
                }
            }
            _ => ClockStanding::Unknown,
        };
        ClockState { standing, now, newest: mark, jobs_waiting: self.jobs_waiting.load(Ordering::Acquire) }
    }
}

impl Base {
    fn expected(&self, steady: i64) -> i64 {
        self.time.saturating_add(steady.saturating_sub(self.steady))
    }
}

impl Engine {
    /// Reads the mark when the engine opens. When that cannot be done, jobs that destroy wait until it can.
    pub(crate) async fn read_time(&self) {
        let (caller, meta) = (Caller::system(""), CallMeta::system());
        let mut call = Call::new(self, &caller, &meta);
        match call.row::<TimeRow>(&time_key()).await {
            Ok(row) => {
                self.high_water().learn(row.as_ref().map(|row| &*row.record), self.clock());
            }
            Err(fault) => event!(error, "the newest time seen cannot be read: nothing is destroyed", fault = fault),
        }
    }

    /// Looks at the clock, and stores the mark when it is a minute ahead of the stored one, or ahead at all if `at_once`
    /// is set.
    ///
    /// # Errors
    /// A [`Fault`] when the row cannot be read or written.
    pub(crate) async fn keep_time(&self, at_once: bool) -> Result<(), Fault> {
        let (caller, meta) = (Caller::system(""), CallMeta::system());
        for _ in 0..COMMIT_RETRIES_MAX {
            let mut call = Call::new(self, &caller, &meta);
            let row = call.row::<TimeRow>(&time_key()).await?.map(|row| *row.record);
            let next = self.high_water().learn(row.as_ref(), self.clock());
            let stored = row.is_some_and(|row| {
                let ahead = next.newest.saturating_sub(row.newest);
                let near = if at_once { ahead <= 0 } else { ahead < STORED_EVERY_MILLIS };
                near && row.waits == next.waits && row.accepted == next.accepted
            });
            if stored {
                self.high_water().stored(&next);
                return Ok(());
            }
            let mut writes = Writes::default();
            writes.put(&call, time_key(), next)?;
            if matches!(self.commit(call.into_seen(), writes, &[]).await?, Committed::Done) {
                self.high_water().stored(&next);
                return Ok(());
            }
        }
        Err(Fault::Contention)
    }

    /// Stores the newest time seen, so that the next start knows it: at the end, when nothing is due any more.
    ///
    /// # Errors
    /// A [`Fault`] when the row cannot be read or written.
    pub async fn store_time(&self) -> Result<(), Fault> {
        self.keep_time(true).await
    }

    /// How the clock is.
    #[must_use]
    pub fn clock_state(&self) -> ClockState {
        self.high_water().state(self.clock())
    }

    /// Takes the clock for right, as it is, on an operator's word: what waited for that is done by the next run. A clock
    /// behind the newest time seen is taken for right as well.
    ///
    /// # Errors
    /// [`Fault::Audit`] when the record could not be written.
    pub async fn accept_clock(&self, command: &Command) -> Result<Recorded<Result<ClockState, CommandError>>, Fault> {
        let accepted = self.operate(command, &Accepting).await?;
        Ok(accepted.map(|accepted| {
            accepted.map(|row| {
                self.high_water().learn(Some(&row), self.clock());
                self.clock_state()
            })
        }))
    }
}

struct Accepting;

impl CommandWork for Accepting {
    type Response = TimeRow;

    async fn run(&self, call: &mut Call<'_>) -> Result<Commanded<TimeRow>, CommandError> {
        let row = call.row::<TimeRow>(&time_key()).await?;
        let high_water = call.engine().high_water();
        let known = high_water.watch().accepted.max(row.map_or(0, |row| row.record.accepted));
        let now = call.clock().now();
        let next = TimeRow { newest: now.millis(), accepted: known.saturating_add(1), waits: false };
        let time = |time: Timestamp| Value::public_text(&time.to_iso8601());
        let shown = Value::object([
            ("time", time(now)),
            ("newestTimeBefore", high_water.destroys_until().map_or(Value::Null, time)),
        ]);
        let mut writes = Writes::default();
        writes.put(call, time_key(), next)?;
        Ok(Commanded { response: next, writes, shown })
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]

    use super::*;
    use crate::record::golden;

    const START: i64 = 1_790_000_000_000;
    const DAY: i64 = 86_400_000;

    #[test]
    fn golden_bytes() {
        let row = TimeRow { newest: START, accepted: 3, waits: true };
        assert_eq!(row.encode(&golden::keys()).unwrap(), golden::file("time"));
        assert_eq!(TimeRow::decode(&golden::file("time"), &golden::keys()).unwrap(), row);
    }

    /// A process with a clock of its own, over the one row.
    struct Process {
        high_water: HighWater,
        now: i64,
        steady: i64,
    }

    struct At(i64, i64);

    impl Clock for At {
        fn wall(&self) -> Timestamp {
            self.now()
        }

        fn now(&self) -> Timestamp {
            Timestamp::from_millis(self.0)
        }

        fn steady(&self) -> i64 {
            self.1
        }
    }

    impl Process {
        fn begin(now: i64) -> Self {
            Self { high_water: HighWater::new(ClockRule::default()), now, steady: 5 }
        }

        /// Time passes, the clock leaps by so much more, and the row is kept.
        fn tick(&mut self, passed: i64, leap: i64, row: &mut Option<TimeRow>) -> ClockStanding {
            self.now += passed + leap;
            self.steady += passed;
            let next = self.high_water.learn(row.as_ref(), &At(self.now, self.steady));
            *row = Some(next);
            self.high_water.stored(&next);
            self.high_water.state(&At(self.now, self.steady)).standing
        }

        fn mark(&self) -> i64 {
            self.high_water.destroys_until().unwrap().millis()
        }
    }

    #[test]
    fn of_two_processes_one_leaps_and_the_other_is_not_drawn_along() {
        let (mut row, mut leaping, mut sound) = (None, Process::begin(START), Process::begin(START));
        leaping.tick(0, 0, &mut row);
        sound.tick(0, 0, &mut row);
        for _ in 0..3 {
            assert!(matches!(leaping.tick(DAY, 100 * DAY, &mut row), ClockStanding::Leapt(_)));
            assert_eq!(sound.tick(DAY, 0, &mut row), ClockStanding::Sound);
            assert!(row.unwrap().waits, "the leap is the other's to take back");
        }
        assert_eq!((leaping.mark(), sound.mark()), (START + 3 * DAY, START + 3 * DAY));
        assert_eq!(leaping.tick(0, -300 * DAY, &mut row), ClockStanding::Sound);
        sound.tick(0, 0, &mut row);
        assert!(!row.unwrap().waits);
    }

    #[test]
    fn what_an_operator_accepts_reaches_the_other_process() {
        for leap in [100 * DAY, -100 * DAY] {
            let (mut row, mut one, mut other) = (None, Process::begin(START), Process::begin(START));
            for process in [&mut one, &mut other] {
                process.tick(0, 0, &mut row);
                assert_ne!(process.tick(DAY, leap, &mut row), ClockStanding::Sound);
            }
            // As `Accepting` writes it.
            row = Some(TimeRow { newest: one.now, accepted: 1, waits: false });
            for process in [&mut one, &mut other] {
                assert_eq!(process.tick(0, 0, &mut row), ClockStanding::Sound, "{leap}");
                assert_eq!(process.mark(), START + DAY + leap);
            }
            assert_eq!(row, Some(TimeRow { newest: START + DAY + leap, accepted: 1, waits: false }));
        }
    }

    #[test]
    fn a_clock_that_was_behind_at_the_start_may_come_to_where_it_should_be() {
        let mut row = Some(TimeRow { newest: START, accepted: 0, waits: false });
        let mut process = Process::begin(START - 400 * DAY);
        assert_eq!(process.tick(0, 0, &mut row), ClockStanding::Behind(400 * DAY));
        assert_eq!(process.tick(30 * DAY, 0, &mut row), ClockStanding::Behind(370 * DAY));
        assert_eq!(process.mark(), START);
        // It was down for two days and has run for thirty.
        assert_eq!(process.tick(0, 402 * DAY, &mut row), ClockStanding::Sound);
        assert_eq!(process.mark(), START + 32 * DAY);
        assert!(matches!(process.tick(0, 2 * DAY, &mut row), ClockStanding::Leapt(_)), "once is enough");
    }

    #[test]
    fn the_ends_of_time_do_not_wrap() {
        for (now, passed) in [(i64::MAX, 0), (0, i64::MAX), (i64::MIN + 1, 0)] {
            let mut row = Some(TimeRow { newest: START, accepted: u64::MAX, waits: false });
            let mut process = Process { steady: i64::MIN, ..Process::begin(now) };
            process.tick(0, 0, &mut row);
            process.steady = process.steady.saturating_add(passed);
            process.tick(0, 0, &mut row);
            assert!(process.mark() >= START);
        }
    }
}
