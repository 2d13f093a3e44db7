//! The subcommands that speak to a running server: `status`, `account ...`, `explain`.

use std::path::{Path, PathBuf};

use claviger_server::{
    AccountCreate, AccountList, AccountNamed, AccountRootCredentials, AccountShown, ClockShown, ClockStandingShown,
    Credentials, Explain, ExplainRequest, KeyImpact, OperatorAnswer, OperatorRequest, Status, UnsealKind, give_command,
};

use crate::arguments::{AccountCommand, ClockCommand, ExplainArguments, KeyCommand, Running};
use crate::config::{self, Unseal};
use crate::{Failure, ask_organization, dev, key_report, say, say_secret, unseal};

/// `claviger status`.
pub(crate) async fn status(running: &Running) -> Result<(), Failure> {
    match give(running, &OperatorRequest::Status).await? {
        OperatorAnswer::Status(status) => show_status(&status),
        _ => return Err(strange()),
    }
    Ok(())
}

/// `claviger account ...`.
pub(crate) async fn account(command: AccountCommand) -> Result<(), Failure> {
    let named = |account: String| AccountNamed { account };
    match command {
        AccountCommand::Create { account, name, running } => {
            let request = OperatorRequest::AccountCreate(AccountCreate { account, name });
            show_credentials(give(&running, &request).await?)
        }
        AccountCommand::List { running } => list(&running).await,
        AccountCommand::Close { account, running } => {
            show_account(give(&running, &OperatorRequest::AccountClose(named(account))).await?)
        }
        AccountCommand::Reopen { account, running } => {
            show_account(give(&running, &OperatorRequest::AccountReopen(named(account))).await?)
        }
        AccountCommand::Move { account, unit, running } => {
            ask_organization::move_account(&running, account, unit).await
        }
        AccountCommand::RootCredentials { account, replace, running } => {
            let (kind, unseal) = secret(&running)?;
            let request = AccountRootCredentials { account, replace, kind, unseal };
            show_credentials(give(&running, &OperatorRequest::AccountRootCredentials(request)).await?)
        }
    }
}

/// `claviger clock ...`.
pub(crate) async fn clock(command: &ClockCommand) -> Result<(), Failure> {
    let ClockCommand::Accept { running } = command;
    let OperatorAnswer::Clock(clock) = give(running, &OperatorRequest::ClockAccept).await? else {
        return Err(strange());
    };
    show(clock_lines(&clock));
    Ok(())
}

/// `claviger explain`.
pub(crate) async fn explain(arguments: ExplainArguments) -> Result<(), Failure> {
    let running = &arguments.running;
    let request = match arguments.request_id {
        Some(request_id) => OperatorRequest::ExplainRequest(ExplainRequest { request_id }),
        None => OperatorRequest::Explain(Explain {
            caller: arguments.caller.unwrap_or_default(),
            action: arguments.action.unwrap_or_default(),
            region: arguments.region.or_else(|| region_of(arguments.key.as_deref())),
            key: arguments.key,
            context: pairs(arguments.context)?,
            encryption_context: pairs(arguments.encryption_context)?,
            resource: arguments.resource.or(arguments.role),
            grant: arguments.grant,
            grant_operations: arguments.grant_operation,
            session_policy: arguments.session_policy.as_deref().map(policy).transpose()?,
            session_policy_arns: arguments.session_policy_arn,
            made_by: arguments.made_by,
        }),
    };
    let OperatorAnswer::Explained(explained) = give(running, &request).await? else { return Err(strange()) };
    explained.lines.iter().for_each(|line| say_text(line));
    Ok(())
}

/// The Region that an ARN names.
fn region_of(key: Option<&str>) -> Option<String> {
    let arn = key.filter(|key| key.starts_with("arn:"))?;
    arn.split(':').nth(3).map(str::to_owned)
}

/// `claviger key ...`.
pub(crate) async fn key(command: KeyCommand) -> Result<(), Failure> {
    let KeyCommand::Impact { key, region, account, since, json, running } = command;
    let request = OperatorRequest::KeyImpact(KeyImpact { key, region, account, since });
    let OperatorAnswer::KeyImpact(report) = give(&running, &request).await? else { return Err(strange()) };
    if json {
        say(&serde_json::to_string_pretty(&report).map_err(|error| error.to_string())?);
    } else {
        key_report::lines(&report).iter().for_each(|line| say_text(line));
    }
    Ok(())
}

/// Policies and records hold texts of anybody's choice: they must not act on the terminal.
fn say_text(line: &str) {
    say(&line.replace(|character: char| character.is_control(), "?"));
}

fn policy(file: &Path) -> Result<String, Failure> {
    std::fs::read_to_string(file).map_err(|error| format!("{}: {error}", file.display()))
}

fn pairs(texts: Vec<String>) -> Result<Vec<(String, String)>, Failure> {
    let pair = |text: String| {
        let (name, value) = text.split_once('=').ok_or_else(|| format!("{text:?} is not NAME=VALUE"))?;
        Ok((name.to_owned(), value.to_owned()))
    };
    texts.into_iter().map(pair).collect()
}

pub(crate) async fn give(running: &Running, request: &OperatorRequest) -> Result<OperatorAnswer, Failure> {
    let own = rustix::process::geteuid().as_raw();
    give_command(&data(running)?, own, request).await.map_err(|error| error.to_string())
}

fn data(running: &Running) -> Result<PathBuf, Failure> {
    match (&running.config, &running.data) {
        (Some(file), _) => Ok(config::read(file)?.data),
        (None, Some(data)) => Ok(data.clone()),
        (None, None) => Err("--config or --data says which server".to_owned()),
    }
}

/// The unseal secret of the server's deployment, read from where the server itself has it.
fn secret(running: &Running) -> Result<(UnsealKind, claviger_secret::SecretBytes), Failure> {
    let file = |file: &Path| unseal::bytes_of_file(file).map(|secret| (UnsealKind::File, secret));
    match (&running.config, &running.data) {
        (Some(config), _) => match config::read(config)?.unseal {
            Unseal::File(path) => file(&path),
            Unseal::Passphrase => Ok((UnsealKind::Passphrase, unseal::line_of_standard_input()?)),
        },
        (None, Some(data)) => file(&dev::unseal_file(data)),
        (None, None) => Err("--config or --data says which server".to_owned()),
    }
}

async fn list(running: &Running) -> Result<(), Failure> {
    let mut after = None;
    loop {
        let request = OperatorRequest::AccountList(AccountList { after });
        let OperatorAnswer::Accounts(page) = give(running, &request).await? else { return Err(strange()) };
        page.accounts.iter().for_each(|account| say(&line(account)));
        match page.accounts.last() {
            Some(last) if page.more => after = Some(last.account.clone()),
            _ => return Ok(()),
        }
    }
}

fn line(account: &AccountShown) -> String {
    let AccountShown { account, name, created, closed } = account;
    let state = closed.as_ref().map_or_else(|| "open".to_owned(), |closed| format!("closed {closed}"));
    // A name is a text of somebody's choice: it must not act on the terminal.
    let name = claviger_secret::LogText::new(name);
    format!("{account}  created {created}  {state}  {name}").trim_end().to_owned()
}

fn show_account(answer: OperatorAnswer) -> Result<(), Failure> {
    let OperatorAnswer::Account(account) = answer else { return Err(strange()) };
    say(&line(&account));
    Ok(())
}

fn show_credentials(answer: OperatorAnswer) -> Result<(), Failure> {
    let OperatorAnswer::Credentials(made) = answer else { return Err(strange()) };
    let Credentials { account, access_key_id, secret_access_key } = made;
    say(&format!("account {account}"));
    say(&format!("AWS_ACCESS_KEY_ID={access_key_id}"));
    say_secret("AWS_SECRET_ACCESS_KEY", &secret_access_key);
    say("This is a root access key of the account. It is not shown again.");
    Ok(())
}

fn show_status(status: &Status) {
    let Status {
        version,
        node,
        uptime_seconds,
        store_revision,
        store_number,
        audit_sequence,
        audit_head,
        audit_on_disk,
        audit_unrecorded,
        accounts,
        accounts_closed,
        groups_refused,
        clock,
    } = status;
    let known = |count: &Option<usize>| count.map_or_else(|| "unknown".to_owned(), |count| count.to_string());
    let integrity = match groups_refused {
        0 => "sound".to_owned(),
        groups => format!("{groups} of 256 groups of rows do not add up and are refused; the server's log names them"),
    };
    let lines = [
        ("version", version.clone()),
        ("node", node.clone()),
        ("up", format!("{uptime_seconds} s")),
        ("store revision", store_revision.to_string()),
        ("store commit", store_number.to_string()),
        ("audit entries", audit_sequence.to_string()),
        ("audit head", audit_head.clone()),
        ("audit on disk", audit_on_disk.to_string()),
        ("audit missed", audit_unrecorded.to_string()),
        ("accounts", known(accounts)),
        ("accounts closed", known(accounts_closed)),
        ("integrity", integrity),
    ];
    show(lines);
    show(clock_lines(clock));
}

fn show<const N: usize>(lines: [(&str, String); N]) {
    for (name, value) in lines {
        say(&format!("{name:<16}{value}"));
    }
}

fn clock_lines(clock: &ClockShown) -> [(&'static str, String); 4] {
    let ClockShown { time, newest, standing, seconds, jobs_waiting } = clock;
    let standing = match standing {
        ClockStandingShown::Sound => "as expected".to_owned(),
        ClockStandingShown::Behind => format!("{seconds} s behind the newest time seen, at which time stands still"),
        ClockStandingShown::Leapt => {
            format!("leapt ahead by {seconds} s: deletions and expiries wait for `claviger clock accept`")
        }
        ClockStandingShown::Unknown => "unknown: the newest time seen cannot be read; nothing is destroyed".to_owned(),
    };
    [
        ("clock", time.clone()),
        ("newest time", newest.clone().unwrap_or_else(|| "unknown".to_owned())),
        ("clock state", standing),
        ("jobs waiting", jobs_waiting.to_string()),
    ]
}

pub(crate) fn strange() -> Failure {
    claviger_server::OperatorError::BadAnswer.to_string()
}
