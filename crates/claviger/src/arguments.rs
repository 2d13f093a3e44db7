//! The command line.

use std::net::SocketAddr;
use std::path::PathBuf;

use clap::{Args, Parser, Subcommand};

/// A self-hosted AWS KMS.
#[derive(Parser)]
#[command(name = "claviger", version, about)]
pub(crate) struct Arguments {
    #[command(subcommand)]
    pub(crate) command: Command,
}

#[derive(Subcommand)]
pub(crate) enum Command {
    /// A faithful KMS on localhost, without configuration
    Dev(DevArguments),
    /// The server for production
    Server {
        /// The configuration file
        #[arg(long)]
        config: PathBuf,
    },
    /// Make the root key, the first account and its root access key
    Init {
        /// The configuration file
        #[arg(long)]
        config: PathBuf,
    },
    /// How a running server is
    Status {
        #[command(flatten)]
        running: Running,
    },
    /// The accounts of a running server
    Account {
        #[command(subcommand)]
        command: AccountCommand,
    },
    /// Why somebody may use a key, or may not: every statement and grant that matters, and every condition
    Explain(Box<ExplainArguments>),
    /// The clock of a running server
    Clock {
        #[command(subcommand)]
        command: ClockCommand,
    },
    /// Look at the audit log
    Audit {
        #[command(subcommand)]
        command: AuditCommand,
    },
}

#[derive(Args)]
#[command(group = clap::ArgGroup::new("what").required(true).args(["caller", "request_id"]))]
pub(crate) struct ExplainArguments {
    /// The ARN of a user, role, role session or account's root
    #[arg(long, requires = "action")]
    pub(crate) caller: Option<String>,
    /// The IAM action, for example kms:Decrypt
    #[arg(long, requires = "caller")]
    pub(crate) action: Option<String>,
    /// The key's id or ARN, or an alias, as the caller would name it
    #[arg(long, requires = "caller")]
    pub(crate) key: Option<String>,
    /// The Region of the request; us-east-1, or the first that is served, if left out
    #[arg(long)]
    pub(crate) region: Option<String>,
    /// A condition key of the request, for example aws:SourceIp=192.0.2.1; repeatable
    #[arg(long, value_name = "KEY=VALUE", requires = "caller")]
    pub(crate) context: Vec<String>,
    /// A pair of the encryption context; repeatable
    #[arg(long, value_name = "NAME=VALUE", requires = "caller")]
    pub(crate) encryption_context: Vec<String>,
    /// The id of a request that was answered: what was decided then, and how the policies stand to it now
    #[arg(long)]
    pub(crate) request_id: Option<String>,
    #[command(flatten)]
    pub(crate) running: Running,
}

#[derive(Args)]
pub(crate) struct DevArguments {
    /// Where to listen
    #[arg(long, default_value = "127.0.0.1:8080")]
    pub(crate) listen: SocketAddr,
    /// Keep everything in this directory; without it, in memory
    #[arg(long)]
    pub(crate) data: Option<PathBuf>,
    /// The account of access keys that name none
    #[arg(long, default_value = "000000000000")]
    pub(crate) account: String,
    /// Verify signatures against real root credentials
    #[arg(long)]
    pub(crate) enforce: bool,
    /// With --enforce: ACCOUNT=ACCESS_KEY_ID:SECRET; repeatable, for throw-away credentials
    #[arg(long = "root", value_name = "ACCOUNT=ACCESS_KEY_ID:SECRET", requires = "enforce")]
    pub(crate) roots: Vec<String>,
    /// A Region to serve; repeatable. Every Region if left out
    #[arg(long = "region", value_name = "REGION")]
    pub(crate) regions: Vec<String>,
    /// Limit how often accounts may call, with AWS's default request quotas
    #[arg(long)]
    pub(crate) quotas: bool,
    /// A JSON file of keys with fixed ids and material
    #[arg(long)]
    pub(crate) seed: Option<PathBuf>,
    /// A PEM file with a root certificate for attestation documents, instead of AWS's; repeatable
    #[arg(long = "attestation-root", value_name = "FILE")]
    pub(crate) attestation_roots: Vec<PathBuf>,
    /// Fetch the keys of an identity provider whose host is this one over plain HTTP, at this port of this machine;
    /// repeatable
    #[arg(long, value_name = "HOST:PORT")]
    pub(crate) allow_egress: Vec<String>,
    /// An origin whose web pages may call; repeatable
    #[arg(long, value_name = "ORIGIN")]
    pub(crate) allow_origin: Vec<String>,
    /// Listen beyond loopback: whoever reaches the port has every key
    #[arg(long)]
    pub(crate) danger_listen_anywhere: bool,
}

#[derive(Subcommand)]
pub(crate) enum AuditCommand {
    /// Check that the log is whole: exits 0, or 1 and names the first fault
    Verify {
        /// The log's directory: `audit` under the data directory
        directory: PathBuf,
        /// The node's public key in base64, kept where the log's writer cannot reach
        #[arg(long)]
        key: Option<PathBuf>,
        /// The hash of an entry known from elsewhere, which the log must hold
        #[arg(long)]
        head: Option<String>,
    },
}

/// Which running server: the one over a data directory.
#[derive(Args)]
#[group(required = true, multiple = false)]
pub(crate) struct Running {
    /// The server's configuration file
    #[arg(long)]
    pub(crate) config: Option<PathBuf>,
    /// The data directory of `claviger dev --data`
    #[arg(long)]
    pub(crate) data: Option<PathBuf>,
}

#[derive(Subcommand)]
pub(crate) enum ClockCommand {
    /// Take the server's clock for right, as it is: deletions and expiries that waited since it had leapt are done
    Accept {
        #[command(flatten)]
        running: Running,
    },
}

#[derive(Subcommand)]
pub(crate) enum AccountCommand {
    /// Make an account; prints its root access key, once
    Create {
        /// 12 digits; made at random if left out
        account: Option<String>,
        /// What to call it
        #[arg(long, default_value = "")]
        name: String,
        #[command(flatten)]
        running: Running,
    },
    /// Every account
    List {
        #[command(flatten)]
        running: Running,
    },
    /// Close an account: nobody of it can authenticate, and its keys refuse; nothing is deleted
    Close {
        /// The account's 12 digits
        account: String,
        #[command(flatten)]
        running: Running,
    },
    /// Open a closed account again
    Reopen {
        /// The account's 12 digits
        account: String,
        #[command(flatten)]
        running: Running,
    },
    /// Make another root access key for an account; needs the unseal secret
    RootCredentials {
        /// The account's 12 digits
        account: String,
        /// Delete the root's other access keys
        #[arg(long)]
        replace: bool,
        #[command(flatten)]
        running: Running,
    },
}
