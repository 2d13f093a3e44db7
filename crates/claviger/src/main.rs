//! The binary: arguments, configuration, wiring, subcommands.

mod arguments;
mod ask;
mod ask_organization;
mod attestation_roots;
mod audit;
mod config;
mod controls;
mod dev;
mod explain;
mod explain_record;
mod explain_request;
mod harden;
mod init;
mod key_impact;
mod key_report;
mod operators;
mod organization;
mod quotas;
mod seed;
mod serve;
mod service;
mod unseal;
mod uses;
mod world;

use std::process::ExitCode;
use std::time::Duration;

use clap::Parser;

use arguments::{Arguments, Command};

/// Why a subcommand ends with a non-zero exit; the text is the one line that the user reads.
pub(crate) type Failure = String;

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    if let Command::Audit { command } = &arguments.command {
        return audit::run(command);
    }
    harden::process();
    let runtime = match tokio::runtime::Builder::new_multi_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => return fail(&format!("the runtime cannot be started: {error}")),
    };
    let result = runtime.block_on(async {
        match arguments.command {
            Command::Dev(dev) => dev::run(dev).await,
            Command::Server { config } => service::run(&config).await,
            Command::Init { config } => init::run(&config).await,
            Command::Status { running } => ask::status(&running).await,
            Command::Account { command } => ask::account(command).await,
            Command::Unit { command } => ask_organization::unit(command).await,
            Command::Policy { command } => ask_organization::policy(command).await,
            Command::Explain(arguments) => ask::explain(*arguments).await,
            Command::Key { command } => ask::key(command).await,
            Command::Clock { command } => ask::clock(&command).await,
            Command::Audit { .. } => Ok(()),
        }
    });
    // A report that still reads the log keeps nobody waiting.
    runtime.shutdown_timeout(Duration::from_secs(1));
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => fail(&failure),
    }
}

#[expect(clippy::print_stderr, reason = "the one line that says why the program ends")]
fn fail(text: &str) -> ExitCode {
    eprintln!("claviger: {text}");
    ExitCode::FAILURE
}

/// Prints a secret that its user is shown once; it is copied nowhere but into standard output's own buffer.
pub(crate) fn say_secret(name: &str, secret: &claviger_secret::SecretBytes) {
    use std::io::Write as _;
    let mut out = std::io::stdout().lock();
    // A closed standard output is the user's choice.
    let _ = write!(out, "{name}=").and_then(|()| out.write_all(secret.expose())).and_then(|()| out.write_all(b"\n"));
    let _ = out.flush();
}

/// Prints a line for the user on standard output.
pub(crate) fn say(text: &str) {
    use std::io::Write as _;
    // A closed standard output is the user's choice.
    let _ = writeln!(std::io::stdout().lock(), "{text}");
}
