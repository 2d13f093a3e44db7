//! The one way to write a log line.

/// Writes a log line: `event!(warn, "row refused", key = row_key, attempt = 3_u32)`.
///
/// The level is one of `error`, `warn`, `info`, `debug`, `trace`. The message is a constant and is not a format
/// string, so no variable can be captured into it. Every value must be [`LogSafe`](crate::LogSafe):
///
/// ```
/// claviger_secret::event!(info, "listening", port = 8080_u16, tls = true);
/// ```
///
/// A secret is refused by the compiler, and so is text that nobody declared safe:
///
/// ```compile_fail
/// let secret = claviger_secret::SecretBytes::from_slice(b"key");
/// claviger_secret::event!(info, "opened", secret = secret);
/// ```
///
/// ```compile_fail
/// claviger_secret::event!(info, "opened", name = String::from("from outside"));
/// ```
///
/// ```compile_fail
/// let name = String::from("from outside");
/// let message: &str = &name;
/// claviger_secret::event!(info, message);
/// ```
#[macro_export]
macro_rules! event {
    (error, $($rest:tt)+) => { $crate::__event!(ERROR, $($rest)+) };
    (warn, $($rest:tt)+) => { $crate::__event!(WARN, $($rest)+) };
    (info, $($rest:tt)+) => { $crate::__event!(INFO, $($rest)+) };
    (debug, $($rest:tt)+) => { $crate::__event!(DEBUG, $($rest)+) };
    (trace, $($rest:tt)+) => { $crate::__event!(TRACE, $($rest)+) };
}

/// The expansion of [`event!`]; not to be called.
#[doc(hidden)]
#[macro_export]
macro_rules! __event {
    ($level:ident, $message:expr $(, $key:ident = $value:expr)* $(,)?) => {{
        // A constant passed as a field: as tracing's format string it could capture variables by name.
        const MESSAGE: &'static str = $message;
        $crate::__tracing::event!(
            $crate::__tracing::Level::$level,
            $($key = %$crate::safe(&$value),)*
            message = MESSAGE,
        );
    }};
}

#[cfg(test)]
mod tests {
    use std::fmt::Debug;
    use std::sync::{Arc, Mutex, PoisonError};

    use tracing::field::{Field, Visit};
    use tracing::span::{Attributes, Id, Record};
    use tracing::{Event, Metadata, Subscriber};

    use crate::LogText;

    /// Keeps each event as one line of `key=value`.
    #[derive(Clone, Default)]
    struct Lines(Arc<Mutex<Vec<String>>>);

    struct Line(String);

    impl Visit for Line {
        fn record_debug(&mut self, field: &Field, value: &dyn Debug) {
            self.0.push_str(&format!(" {field}={value:?}"));
        }
        fn record_str(&mut self, field: &Field, value: &str) {
            self.0.push_str(&format!(" {field}={value}"));
        }
    }

    impl Subscriber for Lines {
        fn enabled(&self, _: &Metadata<'_>) -> bool {
            true
        }
        fn new_span(&self, _: &Attributes<'_>) -> Id {
            Id::from_u64(1)
        }
        fn record(&self, _: &Id, _: &Record<'_>) {}
        fn record_follows_from(&self, _: &Id, _: &Id) {}
        fn event(&self, event: &Event<'_>) {
            let mut line = Line(event.metadata().level().to_string());
            event.record(&mut line);
            self.0.lock().unwrap_or_else(PoisonError::into_inner).push(line.0);
        }
        fn enter(&self, _: &Id) {}
        fn exit(&self, _: &Id) {}
    }

    #[test]
    fn an_event_holds_its_message_and_values_and_nothing_captured() {
        let lines = Lines::default();
        let secret = "captured";
        tracing::subscriber::with_default(lines.clone(), || {
            event!(info, "plain");
            event!(warn, "a {secret} {}", count = 3_u32, agent = LogText::new("x\ny"));
        });
        assert_eq!(secret, "captured");
        assert_eq!(
            *lines.0.lock().unwrap_or_else(PoisonError::into_inner),
            ["INFO message=plain", "WARN count=3 agent=x\u{fffd}y message=a {secret} {}"],
        );
    }
}
