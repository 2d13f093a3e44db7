//! What Claviger's speed is measured against: a server that does nothing else than HTTP, and a load driver.

use std::error::Error;
use std::net::SocketAddr;

use clap::{Parser, Subcommand};

mod limit_server;
mod load;
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
    /// Answers every request with one canned reply, which a load driver sets with `PUT /canned`.
    LimitServer {
        /// Where to listen; port 0 takes a free one.
        #[arg(long, default_value = "127.0.0.1:0")]
        listen: SocketAddr,
    },
    /// Sends signed requests over kept-alive connections and reports how many were answered, and how fast.
    Load(Box<load::Options>),
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
    }
}
