//! What `/metrics` shows. Counting takes no lock on the path of a call.

use std::collections::HashMap;
use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use claviger_api::{Operation, Refusal, iam, kms, sts};
use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, NoLabelSet};
use prometheus_client::metrics::MetricType;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::Registry;

use crate::body::BodyFault;
use crate::handler::CallFault;

/// Upper bounds of the duration buckets, in microseconds.
const BUCKETS: [u64; 14] =
    [25, 50, 100, 250, 500, 1_000, 2_500, 5_000, 10_000, 25_000, 50_000, 100_000, 500_000, 2_500_000];

type Reason = [(&'static str, &'static str); 1];

/// All metrics of the server, and a place for those of others.
pub struct Metrics {
    registry: Registry,
    calls: std::sync::Arc<Calls>,
    refusals: Family<Reason, Counter>,
    connections: Gauge,
    connections_total: Counter,
    handshakes_failed: Counter,
    panics: Counter,
    overdue: Counter,
}

impl fmt::Debug for Metrics {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("Metrics")
    }
}

impl Default for Metrics {
    fn default() -> Self {
        Self::new(|_| {})
    }
}

impl Metrics {
    /// The server's metrics and, through `others`, those of the rest of the program. All names get the prefix
    /// `claviger_`.
    #[must_use]
    pub fn new(others: impl FnOnce(&mut Registry)) -> Self {
        let mut registry = Registry::with_prefix("claviger");
        let calls = std::sync::Arc::new(Calls::new());
        let (refusals, connections) = (Family::default(), Gauge::default());
        let (connections_total, handshakes_failed) = (Counter::default(), Counter::default());
        let (panics, overdue) = (Counter::default(), Counter::default());
        registry.register_collector(Box::new(std::sync::Arc::clone(&calls)));
        registry.register("refusals", "Requests refused before a call existed, by reason", refusals.clone());
        registry.register("connections", "Open connections", connections.clone());
        registry.register("connections_accepted", "Connections accepted", connections_total.clone());
        registry.register(
            "tls_handshakes_failed",
            "TLS handshakes that failed or took too long",
            handshakes_failed.clone(),
        );
        registry.register("panics", "Calls that ended in a panic", panics.clone());
        registry.register("calls_overdue", "Calls whose client was told to wait no longer", overdue.clone());
        others(&mut registry);
        Self { registry, calls, refusals, connections, connections_total, handshakes_failed, panics, overdue }
    }

    /// The text of `/metrics`, in the OpenMetrics form.
    #[must_use]
    pub fn render(&self) -> String {
        let mut text = String::new();
        // Writing to a string does not fail; a collector that does leaves the text short.
        let _ = prometheus_client::encoding::text::encode(&mut text, &self.registry);
        text
    }

    pub(crate) fn called(&self, operation: Operation, status: u16, took: Duration) {
        if let Some(of_operation) = self.calls.0.get(&operation) {
            of_operation.count(status, took);
        }
    }

    pub(crate) fn refused(&self, refusal: &Refusal) {
        self.refusals.get_or_create(&[("reason", reason(refusal))]).inc();
    }

    pub(crate) fn body_refused(&self, fault: BodyFault) {
        let reason = match fault {
            BodyFault::TooLarge => "body_too_large",
            BodyFault::TimedOut => "body_timed_out",
            BodyFault::Broken => "body_broken",
            BodyFault::Crowded => "crowded",
        };
        self.refusals.get_or_create(&[("reason", reason)]).inc();
    }

    pub(crate) fn connection_began(&self) {
        self.connections.inc();
        self.connections_total.inc();
    }

    pub(crate) fn connection_ended(&self) {
        self.connections.dec();
    }

    pub(crate) fn handshake_failed(&self) {
        self.handshakes_failed.inc();
    }

    pub(crate) fn call_failed(&self, fault: CallFault) {
        match fault {
            CallFault::Panicked => self.panics.inc(),
            CallFault::TimedOut => self.overdue.inc(),
        };
    }
}

/// A refusal's name in metrics and logs.
pub(crate) const fn reason(refusal: &Refusal) -> &'static str {
    match refusal {
        Refusal::MissingAuthenticationToken => "missing_authentication_token",
        Refusal::IncompleteSignature(_) => "incomplete_signature",
        Refusal::UnrecognizedClient => "unrecognized_client",
        Refusal::ExpiredToken => "expired_token",
        Refusal::InvalidSignature => "invalid_signature",
        Refusal::SignatureExpired { .. } => "signature_expired",
        Refusal::SignatureNotYetCurrent { .. } => "signature_not_yet_current",
        Refusal::ScopeRegion => "scope_region",
        Refusal::ScopeService(_) => "scope_service",
        Refusal::ScopeRegionAndService(_) => "scope_region_and_service",
        Refusal::UnknownOperation => "unknown_operation",
        Refusal::Serialization => "serialization",
        Refusal::BodyTooLarge => "body_too_large",
        Refusal::MethodNotAllowed => "method_not_allowed",
        Refusal::InternalFailure => "internal_failure",
        Refusal::ServiceUnavailable => "service_unavailable",
        Refusal::Forbidden => "forbidden",
    }
}

/// Counters per operation; the map is complete from the start and only read afterwards.
#[derive(Debug)]
struct Calls(HashMap<Operation, OfOperation>);

impl Calls {
    fn new() -> Self {
        let kms = kms::Operation::ALL.iter().map(|operation| Operation::Kms(*operation));
        let iam = iam::Operation::ALL.iter().map(|operation| Operation::Iam(*operation));
        let sts = sts::Operation::ALL.iter().map(|operation| Operation::Sts(*operation));
        Self(kms.chain(iam).chain(sts).map(|operation| (operation, OfOperation::default())).collect())
    }

    /// The operations that were called at all, in the order of their names.
    fn called(&self) -> Vec<(Operation, &OfOperation)> {
        let mut called: Vec<_> = self.0.iter().filter(|(_, counts)| counts.total() > 0).map(|(o, c)| (*o, c)).collect();
        called.sort_unstable_by_key(|(operation, _)| (operation.service(), operation.name()));
        called
    }
}

#[derive(Debug, Default)]
struct OfOperation {
    succeeded: AtomicU64,
    sender_faults: AtomicU64,
    server_faults: AtomicU64,
    nanoseconds: AtomicU64,
    /// One per bucket and the rest.
    buckets: [AtomicU64; BUCKETS.len() + 1],
}

impl OfOperation {
    fn count(&self, status: u16, took: Duration) {
        let outcome = match status {
            0..=399 => &self.succeeded,
            400..=499 => &self.sender_faults,
            _ => &self.server_faults,
        };
        outcome.fetch_add(1, Ordering::Relaxed);
        let microseconds = u64::try_from(took.as_micros()).unwrap_or(u64::MAX);
        let bucket = BUCKETS.iter().position(|bound| microseconds <= *bound).unwrap_or(BUCKETS.len());
        if let Some(bucket) = self.buckets.get(bucket) {
            bucket.fetch_add(1, Ordering::Relaxed);
        }
        self.nanoseconds.fetch_add(u64::try_from(took.as_nanos()).unwrap_or(u64::MAX), Ordering::Relaxed);
    }

    fn total(&self) -> u64 {
        self.outcomes().iter().map(|(_, count)| count).sum()
    }

    fn outcomes(&self) -> [(&'static str, u64); 3] {
        [
            ("success", self.succeeded.load(Ordering::Relaxed)),
            ("sender_fault", self.sender_faults.load(Ordering::Relaxed)),
            ("server_fault", self.server_faults.load(Ordering::Relaxed)),
        ]
    }
}

impl Collector for Calls {
    #[expect(clippy::cast_precision_loss, reason = "a sum shown in seconds; 2^53 nanoseconds are 104 days of work")]
    fn encode(&self, mut encoder: DescriptorEncoder) -> Result<(), fmt::Error> {
        let mut calls = encoder.encode_descriptor("calls", "Calls by outcome", None, MetricType::Counter)?;
        for (operation, counts) in self.called() {
            for (outcome, count) in counts.outcomes() {
                let labels = [("service", operation.service()), ("operation", operation.name()), ("outcome", outcome)];
                calls.encode_family(&labels)?.encode_counter::<NoLabelSet, _, u64>(&count, None)?;
            }
        }
        let help = "Time from a whole request to its whole answer, in seconds";
        let mut times = encoder.encode_descriptor("call_duration_seconds", help, None, MetricType::Histogram)?;
        for (operation, counts) in self.called() {
            let labels = [("service", operation.service()), ("operation", operation.name())];
            let bounds = BUCKETS.iter().map(|bound| *bound as f64 / 1e6).chain([f64::MAX]);
            let loads = counts.buckets.iter().map(|bucket| bucket.load(Ordering::Relaxed));
            let buckets: Vec<(f64, u64)> = bounds.zip(loads).collect();
            let count = buckets.iter().map(|(_, count)| count).sum();
            let seconds = counts.nanoseconds.load(Ordering::Relaxed) as f64 / 1e9;
            times.encode_family(&labels)?.encode_histogram::<NoLabelSet>(seconds, count, &buckets, None)?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn calls_and_refusals_are_shown() {
        let metrics = Metrics::default();
        let operation = kms::Operation::ALL.iter().find(|operation| operation.name() == "Encrypt").copied();
        for status in [200, 400, 500, 200] {
            metrics.called(
                Operation::Kms(operation.unwrap_or(kms::Operation::Encrypt)),
                status,
                Duration::from_micros(60),
            );
        }
        metrics.refused(&Refusal::Forbidden);
        let text = metrics.render();
        for line in [
            r#"claviger_calls_total{service="kms",operation="Encrypt",outcome="success"} 2"#,
            r#"claviger_calls_total{service="kms",operation="Encrypt",outcome="server_fault"} 1"#,
            r#"claviger_call_duration_seconds_bucket{le="0.0001",service="kms",operation="Encrypt"} 4"#,
            r#"claviger_call_duration_seconds_count{service="kms",operation="Encrypt"} 4"#,
            r#"claviger_refusals_total{reason="forbidden"} 1"#,
            "# EOF",
        ] {
            assert!(text.contains(line), "{line} is not in\n{text}");
        }
        assert!(!text.contains("Decrypt"));
    }
}
