//! Code generation and the house rules.

mod codegen;

use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Parser, Subcommand};

#[derive(Parser)]
struct Arguments {
    #[command(subcommand)]
    task: Task,
}

#[derive(Subcommand)]
enum Task {
    /// Reads a botocore service-2.json(.gz), drops the prose, writes model/<service>-<version>.json.
    ImportModel {
        /// kms, iam or sts.
        service: String,
        /// The botocore file.
        source: PathBuf,
    },
    /// Writes the generated code of crates/api and crates/wire from model/.
    Codegen,
}

fn main() -> ExitCode {
    let done = match Arguments::parse().task {
        Task::ImportModel { service, source } => codegen::import_model(&service, &source),
        Task::Codegen => codegen::write(),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(reason) => {
            complain(&reason);
            ExitCode::FAILURE
        }
    }
}

#[expect(clippy::print_stderr, reason = "a developer's command line tool, where standard error is the place")]
fn complain(reason: &str) {
    eprintln!("{reason}");
}
