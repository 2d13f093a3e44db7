//! What Claviger's speed is measured against: a server with no KMS behind it, a load driver, and the bare library.

#![expect(clippy::print_stdout, reason = "the list of operations is its interface")]

use std::error::Error;
use std::net::SocketAddr;

use clap::{Parser, Subcommand};

use crate::operation::Operation;

mod crypto;
mod grants;
mod library;
mod limit_server;
mod load;
mod operation;
mod prepare;
mod wire_client;

/// Anything that ends a measurement; a tool for people needs no finer distinction.
type BenchError = Box<dyn Error + Send + Sync>;

#[derive(Parser)]
#[command(about = "Measures Claviger against the same HTTP stack without a KMS behind it.")]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Answers every request with one canned reply, which a load driver sets with `PUT /canned/OPERATION`; if the
    /// operation's cost is the library's, it calls the library each time before it answers.
    LimitServer {
        /// Where to listen; port 0 takes a free one.
        #[arg(long, default_value = "127.0.0.1:0")]
        listen: SocketAddr,
    },
    /// Sends signed requests over kept-alive connections and reports how many were answered, and how fast.
    Load(Box<load::Options>),
    /// Measures the crypto API against the bare library, without HTTP.
    Crypto(crypto::Options),
    /// Compares a key with many grants with a key with one: how fast a grantee may use each.
    Grants(Box<grants::Options>),
    /// Prints the operations that can be measured, one a line.
    Operations,
}

fn main() -> Result<(), BenchError> {
    match Arguments::parse().command {
        Command::LimitServer { listen } => {
            tokio::runtime::Builder::new_multi_thread().enable_all().build()?.block_on(limit_server::run(listen))
        }
        // One thread, so that the driver leaves as much of the machine to the server as it can.
        Command::Load(options) => {
            tokio::runtime::Builder::new_current_thread().enable_all().build()?.block_on(load::run(*options))
        }
        Command::Grants(options) => {
            tokio::runtime::Builder::new_current_thread().enable_all().build()?.block_on(grants::run(*options))
        }
        Command::Crypto(options) => crypto::run(options),
        Command::Operations => {
            Operation::all().for_each(|operation| println!("{operation}"));
            Ok(())
        }
    }
}
