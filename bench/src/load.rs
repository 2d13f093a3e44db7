//! The load driver: N connections, each sending one signed request after the other until the time is over.

#![expect(clippy::print_stdout, reason = "the result line is its interface")]

use std::time::{Duration, Instant};

use clap::Args;
use http::Uri;
use tokio::task::JoinSet;

use crate::BenchError;
use crate::operation::Operation;
use crate::prepare::{Client, bodies};
use crate::wire_client::Connection;

/// Signed requests each connection goes through in turn.
pub(crate) const REQUESTS_PER_CONNECTION: usize = 16;
/// Before the measurement: caches fill, the machine leaves its sleep.
const WARM_UP: Duration = Duration::from_millis(500);
/// A signature is good for five minutes; a measurement must end before.
const SECONDS_MAX: u64 = 240;

/// What to measure, and where.
#[derive(Args)]
pub(crate) struct Options {
    /// The server to load, as `http://host:port`.
    #[arg(long)]
    url: Uri,
    /// Where the key and the ciphertexts are made, if not at `url`; its reply is then taught to `url`, a limit server.
    #[arg(long)]
    prepare_url: Option<Uri>,
    /// The operation to call, as `claviger-bench operations` lists them.
    #[arg(long, value_parser = Operation::parse)]
    operation: Operation,
    /// Connections at once, each with one request in flight.
    #[arg(long, default_value_t = 32)]
    connections: usize,
    /// How long to measure.
    #[arg(long, default_value_t = 5, value_parser = clap::value_parser!(u64).range(1..=SECONDS_MAX))]
    seconds: u64,
    #[arg(long, default_value = "000000000000")]
    pub(crate) access_key_id: String,
    #[arg(long, default_value = "any")]
    pub(crate) secret_access_key: String,
    #[arg(long, default_value = "eu-central-1")]
    pub(crate) region: String,
}

/// Prepares, warms up, measures, and prints a line: `Encrypt: 12345 req/s, p50 0.400 ms, p99 1.200 ms, 32 connections`.
pub(crate) async fn run(options: Options) -> Result<(), BenchError> {
    let requests = prepare(&options).await?;
    let times = measure(&options.url, &requests, Duration::from_secs(options.seconds)).await?;
    println!(
        "{}: {} req/s, p50 {} ms, p99 {} ms, {} connections",
        options.operation.name(),
        u64::try_from(times.len())? / options.seconds,
        milliseconds(&times, 50),
        milliseconds(&times, 99),
        options.connections,
    );
    Ok(())
}

/// Sends the requests over and over, 16 to a connection, and answers how long each took, in sorted microseconds.
pub(crate) async fn measure(url: &Uri, requests: &[Vec<u8>], time: Duration) -> Result<Vec<u32>, BenchError> {
    let start = Instant::now() + WARM_UP;
    let end = start + time;
    let mut connections = JoinSet::new();
    for requests in requests.chunks(REQUESTS_PER_CONNECTION) {
        let connection = Connection::open(url).await?;
        connections.spawn(drive(connection, requests.to_vec(), start, end));
    }
    let mut times = Vec::new();
    while let Some(done) = connections.join_next().await {
        times.append(&mut done??);
    }
    times.sort_unstable();
    Ok(times)
}

/// All requests, signed for `url`. Signing ahead keeps the driver's own work out of the measurement.
async fn prepare(options: &Options) -> Result<Vec<Vec<u8>>, BenchError> {
    let target = Client::new(options.url.clone(), options);
    let source = Client::new(options.prepare_url.clone().unwrap_or_else(|| options.url.clone()), options);
    let count = options.connections.max(1).saturating_mul(REQUESTS_PER_CONNECTION);
    let bodies = bodies(&source, options.operation, count).await?;
    if options.prepare_url.is_some() {
        let sample = serde_json::from_slice(bodies.first().ok_or("no requests")?)?;
        let reply = source.call(options.operation.name(), &sample).await?;
        target.teach(options.operation, reply.to_string().as_bytes()).await?;
    }
    bodies.iter().map(|body| target.request(options.operation.name(), body)).collect()
}

/// One connection's requests from now to `end`; answers the times, in microseconds, of those answered after `start`.
async fn drive(
    mut connection: Connection,
    requests: Vec<Vec<u8>>,
    start: Instant,
    end: Instant,
) -> Result<Vec<u32>, BenchError> {
    let mut times = Vec::with_capacity(1 << 16);
    for request in requests.iter().cycle() {
        let sent = Instant::now();
        let reply = connection.exchange(request).await?;
        if reply.status != 200 {
            return Err(format!("status {}: {}", reply.status, String::from_utf8_lossy(reply.body)).into());
        }
        let answered = Instant::now();
        if answered >= end {
            break;
        }
        if sent >= start {
            times.push(u32::try_from(answered.duration_since(sent).as_micros())?);
        }
    }
    Ok(times)
}

/// A percentile of sorted microseconds, as milliseconds.
fn milliseconds(sorted: &[u32], percent: usize) -> String {
    let last = sorted.len().saturating_sub(1);
    let index = last.saturating_mul(percent) / 100;
    let micros = sorted.get(index).copied().unwrap_or(0);
    format!("{}.{:03}", micros / 1000, micros % 1000)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percentiles() {
        let times: Vec<u32> = (0..=100).map(|number| number * 1000 + 7).collect();
        assert_eq!(milliseconds(&times, 50), "50.007");
        assert_eq!(milliseconds(&times, 99), "99.007");
        assert_eq!(milliseconds(&[], 50), "0.000");
    }
}
