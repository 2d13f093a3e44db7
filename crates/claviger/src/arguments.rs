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
    /// Organizational units: accounts that service control policies bind together
    Unit {
        #[command(subcommand)]
        command: UnitCommand,
    },
    /// Service control policies: what everybody in an account, its root too, may be allowed at most
    Policy {
        #[command(subcommand)]
        command: PolicyCommand,
    },
    /// Why somebody may do something, or may not: every statement and grant that matters, and every condition
    Explain(Box<ExplainArguments>),
    /// The keys of a running server
    Key {
        #[command(subcommand)]
        command: KeyCommand,
    },
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
    /// The ARN of a user, role, role session, federated session or account's root
    #[arg(long, requires = "action")]
    pub(crate) caller: Option<String>,
    /// The IAM action, for example kms:Decrypt
    #[arg(long, requires = "caller")]
    pub(crate) action: Option<String>,
    /// The key's id or ARN, or an alias, as the caller would name it
    #[arg(long, requires = "caller")]
    pub(crate) key: Option<String>,
    /// The ARN of what the request is about: a thing of IAM, a federated session, or an alias; none for *
    #[arg(long, value_name = "ARN", requires = "caller", conflicts_with = "key")]
    pub(crate) resource: Option<String>,
    /// The ARN of the role that would be taken on, for sts:AssumeRole; the same as --resource
    #[arg(long, value_name = "ARN", requires = "caller", conflicts_with_all = ["key", "resource"])]
    pub(crate) role: Option<String>,
    /// The id of the grant that would be retired, for kms:RetireGrant
    #[arg(long, value_name = "ID", requires = "key")]
    pub(crate) grant: Option<String>,
    /// What the grant would allow that kms:CreateGrant makes, for example Decrypt; repeatable
    #[arg(long, value_name = "OPERATION", requires = "key")]
    pub(crate) grant_operation: Vec<String>,
    /// A file with a policy that the session of the role, or the federated session, would carry
    #[arg(long, value_name = "FILE", requires = "caller")]
    pub(crate) session_policy: Option<PathBuf>,
    /// The ARN of a managed policy that the session would carry; repeatable
    #[arg(long, value_name = "ARN", requires = "caller")]
    pub(crate) session_policy_arn: Vec<String>,
    /// The ARN of the user, or of the account's root, who would ask for the federated session
    #[arg(long, value_name = "ARN", requires = "caller")]
    pub(crate) made_by: Option<String>,
    /// The Region of the request; by default that of the key's ARN, or else us-east-1 or the first that is served
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
pub(crate) enum KeyCommand {
    /// Who would miss a key: who used it and when, by the audit log, and what goes with it
    Impact {
        /// The key's id or ARN, or an alias
        key: String,
        /// The key's Region, where its name does not say it; us-east-1, or the first that is served, if left out
        #[arg(long)]
        region: Option<String>,
        /// The key's account, which the name of an alias needs
        #[arg(long)]
        account: Option<String>,
        /// Count nothing before this day or instant, for example 2026-01-31
        #[arg(long, value_name = "DATE")]
        since: Option<String>,
        /// Print JSON
        #[arg(long)]
        json: bool,
        #[command(flatten)]
        running: Running,
    },
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
    /// Put an account into an organizational unit, or back into the root; its service control policies change at once
    Move {
        /// The account's 12 digits
        account: String,
        /// The unit's id, or r-root
        unit: String,
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

#[derive(Subcommand)]
pub(crate) enum UnitCommand {
    /// The root and every unit, each with the accounts in it; all other accounts are in the root
    List {
        #[command(flatten)]
        running: Running,
    },
    /// Make a unit; prints its id
    Create {
        /// What to call it
        name: String,
        /// The id of the unit that it is in; the root if left out
        #[arg(long)]
        parent: Option<String>,
        #[command(flatten)]
        running: Running,
    },
    /// Delete a unit that has neither accounts nor units in it
    Delete {
        /// The unit's id
        unit: String,
        #[command(flatten)]
        running: Running,
    },
}

#[derive(Subcommand)]
pub(crate) enum PolicyCommand {
    /// Every policy and what it is attached to
    List {
        /// What binds this account or unit instead, from the root down: 12 digits, a unit's id, or r-root
        #[arg(long)]
        target: Option<String>,
        #[command(flatten)]
        running: Running,
    },
    /// Print a policy's document
    Show {
        /// The policy's name or id
        policy: String,
        #[command(flatten)]
        running: Running,
    },
    /// Make a policy; it binds nobody until it is attached
    Create {
        /// What to call it
        name: String,
        /// A file with the document; - for standard input
        file: PathBuf,
        #[command(flatten)]
        running: Running,
    },
    /// Give a policy another document, wherever it is attached
    Update {
        /// The policy's name or id
        policy: String,
        /// A file with the document; - for standard input
        file: PathBuf,
        #[command(flatten)]
        running: Running,
    },
    /// Delete a policy that is attached to nothing
    Delete {
        /// The policy's name or id
        policy: String,
        #[command(flatten)]
        running: Running,
    },
    /// Attach a policy to an account, a unit or the root: it binds every account there at once
    Attach {
        /// The policy's name or id
        policy: String,
        /// An account's 12 digits, a unit's id, or r-root
        target: String,
        #[command(flatten)]
        running: Running,
    },
    /// Detach a policy; the last one of a target stays
    Detach {
        /// The policy's name or id
        policy: String,
        /// An account's 12 digits, a unit's id, or r-root
        target: String,
        #[command(flatten)]
        running: Running,
    },
}
