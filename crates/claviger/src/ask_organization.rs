//! The subcommands about organizational units and service control policies: `unit ...`, `policy ...`, `account move`.

use std::path::Path;

use claviger_secret::LogText;
use claviger_server::{
    AccountMove, LevelShown, OperatorAnswer, OperatorRequest, OrganizationAnswer, OrganizationRequest,
    PolicyAttachment, PolicyNamed, PolicyShown, PolicyTarget, PolicyWritten, UnitCreate, UnitNamed, UnitShown,
};

use crate::arguments::{PolicyCommand, Running, UnitCommand};
use crate::ask::{give, strange};
use crate::{Failure, say};

/// No policy is as long, in bytes.
const DOCUMENT_BYTES_MAX: u64 = 64 * 1024;

/// `claviger account move`.
pub(crate) async fn move_account(running: &Running, account: String, unit: String) -> Result<(), Failure> {
    let moved = ask(running, OrganizationRequest::MoveAccount(AccountMove { account: account.clone(), unit })).await?;
    let OrganizationAnswer::Units(moved) = moved else { return Err(strange()) };
    for UnitShown { unit, path, .. } in moved.units {
        say(&format!("{account}  {unit}  {}", LogText::new(&path)));
    }
    Ok(())
}

/// `claviger unit ...`.
pub(crate) async fn unit(command: UnitCommand) -> Result<(), Failure> {
    let (running, request) = match command {
        UnitCommand::List { running } => (running, OrganizationRequest::ListUnits),
        UnitCommand::Create { name, parent, running } => {
            (running, OrganizationRequest::CreateUnit(UnitCreate { name, parent }))
        }
        UnitCommand::Delete { unit, running } => (running, OrganizationRequest::DeleteUnit(UnitNamed { unit })),
    };
    let OrganizationAnswer::Units(found) = ask(&running, request).await? else { return Err(strange()) };
    for UnitShown { unit, path, accounts } in found.units {
        say(format!("{unit}  {}  {}", LogText::new(&path), accounts.join(" ")).trim_end());
    }
    Ok(())
}

/// `claviger policy ...`.
pub(crate) async fn policy(command: PolicyCommand) -> Result<(), Failure> {
    let written = |policy: String, file: &Path| document(file).map(|document| PolicyWritten { policy, document });
    let (running, request) = match command {
        PolicyCommand::List { target: None, running } => (running, OrganizationRequest::ListPolicies),
        PolicyCommand::List { target: Some(target), running } => {
            (running, OrganizationRequest::ListPoliciesForTarget(PolicyTarget { target }))
        }
        PolicyCommand::Show { policy, running } => {
            (running, OrganizationRequest::DescribePolicy(PolicyNamed { policy }))
        }
        PolicyCommand::Create { name, file, running } => {
            (running, OrganizationRequest::CreatePolicy(written(name, &file)?))
        }
        PolicyCommand::Update { policy, file, running } => {
            (running, OrganizationRequest::UpdatePolicy(written(policy, &file)?))
        }
        PolicyCommand::Delete { policy, running } => {
            (running, OrganizationRequest::DeletePolicy(PolicyNamed { policy }))
        }
        PolicyCommand::Attach { policy, target, running } => {
            (running, OrganizationRequest::AttachPolicy(PolicyAttachment { policy, target }))
        }
        PolicyCommand::Detach { policy, target, running } => {
            (running, OrganizationRequest::DetachPolicy(PolicyAttachment { policy, target }))
        }
    };
    match ask(&running, request).await? {
        OrganizationAnswer::Policies(found) => found.policies.iter().for_each(show_policy),
        OrganizationAnswer::Levels(found) => found.levels.iter().for_each(show_level),
        OrganizationAnswer::Units(_) => return Err(strange()),
    }
    Ok(())
}

async fn ask(running: &Running, request: OrganizationRequest) -> Result<OrganizationAnswer, Failure> {
    match give(running, &OperatorRequest::Organization(request)).await? {
        OperatorAnswer::Organization(answer) => Ok(answer),
        _ => Err(strange()),
    }
}

/// A policy with its document is shown as that alone, so that it can be changed and given back.
fn show_policy(shown: &PolicyShown) {
    let PolicyShown { policy, name, targets, document } = shown;
    match document {
        Some(document) => say(&without_control(document)),
        None => say(format!("{policy}  {}  {}", LogText::new(name), targets.join(" ")).trim_end()),
    }
}

fn show_level(shown: &LevelShown) {
    let LevelShown { target, path, policies } = shown;
    let place = if path.is_empty() { String::new() } else { format!("  {}", LogText::new(path)) };
    say(&format!("{target}{place}: {}", LogText::new(&policies.join(", "))));
}

/// A document is a text of somebody's choice: it must not act on the terminal. Its lines stay lines.
fn without_control(document: &str) -> String {
    document.replace(|character: char| character.is_control() && !matches!(character, '\n' | '\t'), "?")
}

/// The document in a file, or on standard input where the file is `-`.
fn document(file: &Path) -> Result<String, Failure> {
    use std::io::Read as _;
    let bad = |what: &dyn std::fmt::Display| format!("the policy {}: {what}", file.display());
    let mut text = String::new();
    let read = if file == Path::new("-") {
        std::io::stdin().lock().take(DOCUMENT_BYTES_MAX).read_to_string(&mut text)
    } else {
        let opened = std::fs::File::open(file).map_err(|error| bad(&error))?;
        opened.take(DOCUMENT_BYTES_MAX).read_to_string(&mut text)
    };
    read.map_err(|error| bad(&error))?;
    // An editor ends a file with a newline; it is none of the policy.
    Ok(text.trim_end().to_owned())
}
