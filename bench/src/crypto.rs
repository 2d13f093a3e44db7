//! Claviger's crypto API against the bare library: the same work with the same key, in turns, in one process.

#![expect(clippy::print_stdout, reason = "the table is its interface")]

use std::num::NonZeroUsize;
use std::sync::Arc;
use std::time::{Duration, Instant};

use clap::Args;
use claviger_crypto::{
    KeyId, MacMaterial, MacSpec, Message, OaepHash, PairMaterial, PairSpec, ShaLength, SignatureScheme,
};
use claviger_secret::SecretBytes;
use tokio::task::JoinSet;

use crate::BenchError;
use crate::library::{self, Call, MESSAGE, Prepared, Secret};
use crate::operation::{Action, Key, Work};

/// Calls between two looks at the clock: even a MAC then takes much longer than the look.
const CALLS_PER_LOOK: u32 = 16;

/// What to measure, and how long.
#[derive(Args)]
pub(crate) struct Options {
    /// What to measure; everything if not given. May be given more than once.
    #[arg(long = "operation", value_parser = Work::parse)]
    operations: Vec<Work>,
    /// Threads that call at once; as many as there are cores if not given.
    #[arg(long)]
    threads: Option<NonZeroUsize>,
    /// How long one side's turn takes, in milliseconds.
    #[arg(long, default_value_t = 200)]
    milliseconds: u64,
    /// Turns of each side; the median counts.
    #[arg(long, default_value_t = NonZeroUsize::new(5).unwrap_or(NonZeroUsize::MIN))]
    rounds: NonZeroUsize,
}

/// Prints a line for each work: `sign-rsa-2048      6012/s of    6100, ratio 0.99`.
pub(crate) fn run(options: Options) -> Result<(), BenchError> {
    let threads = options.threads.map_or_else(std::thread::available_parallelism, Ok)?.get();
    let turn = Duration::from_millis(options.milliseconds);
    // Blocking tasks are its threads: no more of them run at once than this.
    let runtime = tokio::runtime::Builder::new_current_thread().max_blocking_threads(threads).build()?;
    let works = if options.operations.is_empty() { Work::all().collect() } else { options.operations };
    for work in works {
        let (prepared, bare) = library::prepare(work)?;
        let sides = [Arc::new(ours(work, prepared)?), Arc::new(bare)];
        let mut rates = [Vec::new(), Vec::new()];
        // The first round warms up and is not kept.
        for round in 0..=options.rounds.get() {
            for (side, rates) in sides.iter().zip(&mut rates) {
                let rate = runtime.block_on(measure(side, threads, turn))?;
                if round > 0 {
                    rates.push(rate);
                }
            }
        }
        let [ours, bare] = rates.map(median);
        println!("{:<24} {ours:>9.0}/s of {bare:>9.0}, ratio {:.2}", work.to_string(), ours / bare);
    }
    Ok(())
}

/// Calls per second of all threads together.
async fn measure(call: &Arc<Call>, threads: usize, turn: Duration) -> Result<f64, BenchError> {
    let mut running = JoinSet::new();
    for _ in 0..threads {
        let call = Arc::clone(call);
        running.spawn_blocking(move || repeat(&call, turn));
    }
    let mut sum = 0.0;
    while let Some(rate) = running.join_next().await {
        sum += rate?.ok_or("a call failed")?;
    }
    Ok(sum)
}

/// Calls per second of one thread; none if a call failed.
fn repeat(call: &Call, turn: Duration) -> Option<f64> {
    let start = Instant::now();
    let mut calls = 0_u32;
    loop {
        if !(0..CALLS_PER_LOOK).all(|_| call()) {
            return None;
        }
        calls = calls.saturating_add(CALLS_PER_LOOK);
        let elapsed = start.elapsed();
        if elapsed >= turn {
            return Some(f64::from(calls) / elapsed.as_secs_f64());
        }
    }
}

fn median(mut rates: Vec<f64>) -> f64 {
    rates.sort_by(f64::total_cmp);
    rates.get(rates.len() / 2).copied().unwrap_or(f64::NAN)
}

/// The work by Claviger's crypto API, with the library's key and result.
fn ours(work: Work, prepared: Prepared) -> Result<Call, BenchError> {
    let key_id = KeyId::from_random([0; 16], false);
    let Prepared { secret, result } = prepared;
    let pair = match secret {
        Secret::Pair(pkcs8) => PairMaterial::from_private_key(key_id, spec(work.key)?, &pkcs8)?,
        Secret::Mac(bytes) => {
            let mac = MacMaterial::from_bytes(key_id, MacSpec::Hmac256, SecretBytes::from_slice(&bytes))?;
            return Ok(match work.action {
                Action::VerifyMac => Box::new(move || mac.verify(&MESSAGE, &result)),
                _ => Box::new(move || mac.mac(&MESSAGE).len() == result.len()),
            });
        }
    };
    let scheme = scheme(work.key);
    Ok(match work.action {
        Action::Decrypt => Box::new(move || pair.decrypt(OaepHash::Sha256, &result).is_ok()),
        Action::Verify => Box::new(move || pair.verify(scheme, Message::Raw(&MESSAGE), &result) == Ok(true)),
        _ => Box::new(move || pair.sign(scheme, Message::Raw(&MESSAGE)).is_ok()),
    })
}

fn spec(key: Key) -> Result<PairSpec, BenchError> {
    let spec = PairSpec::ALL.iter().find(|spec| spec.as_str() == key.spec());
    Ok(*spec.ok_or("the crypto API does not know the kind of key")?)
}

fn scheme(key: Key) -> SignatureScheme {
    match key {
        Key::Rsa2048 | Key::Rsa4096 => SignatureScheme::RsaPss(ShaLength::Sha256),
        Key::P256 => SignatureScheme::Ecdsa(ShaLength::Sha256),
        Key::Ed25519 => SignatureScheme::Ed25519,
        Key::MlDsa65 | Key::Hmac256 => SignatureScheme::MlDsa,
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]

    use super::{median, ours};
    use crate::library::prepare;
    use crate::operation::Work;

    #[test]
    fn both_sides_do_the_same_work() {
        for work in Work::all() {
            let (prepared, bare) = prepare(work).unwrap();
            assert!(bare() && ours(work, prepared).unwrap()(), "{work}");
        }
    }

    #[test]
    fn medians() {
        assert!((median(vec![3.0, 1.0, 2.0]) - 2.0).abs() < f64::EPSILON);
        assert!(median(Vec::new()).is_nan());
    }
}
