//! What is generated of one service: its operations, the shapes they reach, and the Rust type of each.

use std::collections::BTreeSet;

use super::Selection;
use super::model::{Model, Shape};
use super::names;

/// One service's model with the selection applied.
pub(crate) struct Plan {
    pub(crate) service: &'static str,
    pub(crate) model: Model,
    pub(crate) operations: Vec<PlannedOperation>,
    /// Shapes reachable from an input, in the model's order.
    pub(crate) inputs: Vec<String>,
    /// Shapes reachable from an output, in the model's order.
    pub(crate) outputs: Vec<String>,
    pub(crate) errors: Vec<PlannedError>,
}

pub(crate) struct PlannedOperation {
    pub(crate) name: String,
    pub(crate) input: String,
    pub(crate) output: Option<String>,
    pub(crate) errors: Vec<String>,
}

pub(crate) struct PlannedError {
    pub(crate) code: String,
    pub(crate) status: u16,
    pub(crate) server_fault: bool,
}

/// The kinds of shape the generator knows.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    Text,
    SecretText,
    Enumeration,
    Blob,
    SecretBlob,
    Integer,
    Boolean,
    Timestamp,
    List,
    Map,
    Structure,
}

/// Members of outputs that AWS sends in another order than its model has them.
const ORDER: &[(&str, &[&str])] = &[("GetCallerIdentityResponse", &["Arn", "UserId", "Account"])];

/// Members that the model requires and AWS leaves out: an account's root, shown as a user, has neither.
const LEFT_OUT: &[(&str, &str)] = &[("User", "Path"), ("User", "UserName")];

/// Enumerations whose values on the wire are not the model's.
const VALUES: &[(&str, &[&str])] = &[("PermissionsBoundaryAttachmentType", &["Policy"])];

/// Faults that are 503 rather than 500 (errors.md).
const UNAVAILABLE: &[&str] = &["DependencyTimeoutException"];

impl Plan {
    pub(crate) fn new(selection: &Selection, mut model: Model) -> Result<Self, String> {
        give_inputs(&mut model);
        correct_values(&mut model);
        let all: Vec<&str> = model.operations.iter().map(|(name, _)| name).collect();
        let chosen = if selection.operations.is_empty() { all.as_slice() } else { selection.operations };
        let mut operations = Vec::new();
        let (mut inputs, mut outputs, mut error_shapes) = (BTreeSet::new(), BTreeSet::new(), BTreeSet::new());
        for name in chosen {
            let operation = model.operations.get(name).ok_or_else(|| format!("{name}: not in the model"))?;
            let input = operation.input.as_ref().map_or_else(|| empty_input(name), |input| input.shape.clone());
            reach(&model, &input, &mut inputs)?;
            let output = operation.output.as_ref().map(|output| output.shape.clone());
            if let Some(output) = &output {
                reach(&model, output, &mut outputs)?;
            }
            let mut errors = Vec::new();
            for error in &operation.errors {
                errors.push(code(&model, &error.shape)?);
                error_shapes.insert(error.shape.clone());
            }
            operations.push(PlannedOperation { name: (*name).to_owned(), input, output, errors });
        }
        operations.sort_by(|left, right| left.name.cmp(&right.name));
        let mut errors = Vec::new();
        for name in &error_shapes {
            errors.push(planned_error(&model, name)?);
        }
        let (inputs, outputs) = (in_order(&model, &inputs), in_order(&model, &outputs));
        Ok(Self { service: selection.service, operations, inputs, outputs, errors, model })
    }

    pub(crate) fn shape(&self, name: &str) -> Result<&Shape, String> {
        self.model.shapes.get(name).ok_or_else(|| format!("{name}: no such shape"))
    }

    pub(crate) fn kind(&self, name: &str) -> Result<Kind, String> {
        let shape = self.shape(name)?;
        Ok(match (shape.kind.as_str(), shape.sensitive) {
            ("string", false) if !shape.values.is_empty() => Kind::Enumeration,
            ("string", false) => Kind::Text,
            ("string", true) if shape.values.is_empty() => Kind::SecretText,
            ("blob", false) => Kind::Blob,
            ("blob", true) => Kind::SecretBlob,
            ("integer", false) => Kind::Integer,
            ("boolean", false) => Kind::Boolean,
            ("timestamp", false) => Kind::Timestamp,
            ("list", false) => Kind::List,
            ("map", false) => Kind::Map,
            ("structure", false) => Kind::Structure,
            (kind, sensitive) => {
                return Err(format!("{name}: {kind} (sensitive: {sensitive}) is not known"));
            }
        })
    }

    /// The Rust type; `prefix` stands before generated types.
    pub(crate) fn rust_type(&self, name: &str, prefix: &str) -> Result<String, String> {
        Ok(match self.kind(name)? {
            Kind::Text => "String".to_owned(),
            Kind::SecretText | Kind::SecretBlob => "SecretBytes".to_owned(),
            Kind::Blob => "Vec<u8>".to_owned(),
            Kind::Integer => "i32".to_owned(),
            Kind::Boolean => "bool".to_owned(),
            Kind::Timestamp => "Timestamp".to_owned(),
            Kind::List => format!("Vec<{}>", self.rust_type(self.element(name)?, prefix)?),
            Kind::Map if self.counts(name)? => "BTreeMap<String, i32>".to_owned(),
            Kind::Map => {
                let shape = self.shape(name)?;
                for part in [&shape.key, &shape.value].into_iter().flatten() {
                    let unchecked = !self.inputs.iter().any(|input| input == name);
                    // What an answer holds we write ourselves, so a text does for an enumeration.
                    let is_text = match self.kind(&part.shape)? {
                        Kind::Text => unchecked || !self.constrained(&part.shape)?,
                        Kind::Enumeration => unchecked,
                        _ => false,
                    };
                    if !is_text {
                        return Err(format!("{name}: only maps from plain text to plain text are known"));
                    }
                }
                "BTreeMap<String, String>".to_owned()
            }
            Kind::Enumeration | Kind::Structure => format!("{prefix}{}", names::shape(name)),
        })
    }

    /// Whether a map holds integers.
    pub(crate) fn counts(&self, name: &str) -> Result<bool, String> {
        let value = self.shape(name)?.value.as_ref().ok_or_else(|| format!("{name}: no value"))?;
        Ok(self.kind(&value.shape)? == Kind::Integer)
    }

    /// The shape of a list's elements.
    pub(crate) fn element(&self, name: &str) -> Result<&str, String> {
        let member = self.shape(name)?.member.as_ref().ok_or_else(|| format!("{name}: no member"))?;
        Ok(&member.shape)
    }

    /// The members of a structure: wire name, shape, whether required.
    pub(crate) fn members(&self, name: &str) -> Result<Vec<(&str, &str, bool)>, String> {
        let shape = self.shape(name)?;
        let mut members = Vec::new();
        for (member, facts) in shape.members.iter().flat_map(|members| members.iter()) {
            if facts.location_name.is_some() {
                return Err(format!("{name}.{member}: locationName is not known"));
            }
            let required =
                shape.required.iter().any(|required| required == member) && !LEFT_OUT.contains(&(name, member));
            members.push((member, facts.shape.as_str(), required));
        }
        if let Some((_, order)) = ORDER.iter().find(|(candidate, _)| *candidate == name) {
            members.sort_by_key(|(member, _, _)| order.iter().position(|candidate| candidate == member));
        }
        Ok(members)
    }

    /// Whether the generator writes a check for this shape.
    pub(crate) fn constrained(&self, name: &str) -> Result<bool, String> {
        let shape = self.shape(name)?;
        let limited = shape.min.is_some_and(|min| min > 0) || shape.max.is_some();
        Ok(match self.kind(name)? {
            Kind::Text | Kind::SecretText => limited || shape.pattern.is_some(),
            Kind::Blob | Kind::SecretBlob | Kind::Integer => limited,
            Kind::List => {
                limited || (self.kind(self.element(name)?)? == Kind::Text && self.constrained(self.element(name)?)?)
            }
            Kind::Enumeration | Kind::Boolean | Kind::Timestamp | Kind::Map | Kind::Structure => false,
        })
    }

    /// Whether a secret is anywhere inside.
    pub(crate) fn secret(&self, name: &str) -> Result<bool, String> {
        Ok(match self.kind(name)? {
            Kind::SecretText | Kind::SecretBlob => true,
            Kind::List => self.secret(self.element(name)?)?,
            Kind::Structure => {
                for (_, member, _) in self.members(name)? {
                    if self.secret(member)? {
                        return Ok(true);
                    }
                }
                false
            }
            _ => false,
        })
    }

    /// Whether the Rust type has a default.
    pub(crate) fn default(&self, name: &str) -> Result<bool, String> {
        Ok(match self.kind(name)? {
            Kind::SecretText | Kind::SecretBlob | Kind::Enumeration => false,
            Kind::Structure => {
                for (_, member, required) in self.members(name)? {
                    if required && !self.default(member)? {
                        return Ok(false);
                    }
                }
                true
            }
            _ => true,
        })
    }
}

/// The name of the input of an operation that takes none.
fn empty_input(operation: &str) -> String {
    format!("{operation}Request")
}

/// Operations without an input get an empty one, so that all are alike.
fn give_inputs(model: &mut Model) {
    let without: Vec<String> = model
        .operations
        .iter()
        .filter(|(_, operation)| operation.input.is_none())
        .map(|(name, _)| empty_input(name))
        .collect();
    for name in without {
        model.shapes.push(name, Shape::empty());
    }
}

fn correct_values(model: &mut Model) {
    for (name, shape) in model.shapes.iter_mut() {
        if let Some((_, values)) = VALUES.iter().find(|(candidate, _)| *candidate == name) {
            shape.values = values.iter().map(ToString::to_string).collect();
        }
    }
}

fn code(model: &Model, shape: &str) -> Result<String, String> {
    let facts = model.shapes.get(shape).filter(|facts| facts.exception);
    let facts = facts.ok_or_else(|| format!("{shape}: not an exception"))?;
    Ok(facts.error.as_ref().map_or_else(|| shape.to_owned(), |error| error.code.clone()))
}

fn planned_error(model: &Model, shape: &str) -> Result<PlannedError, String> {
    let code = code(model, shape)?;
    let facts = model.shapes.get(shape).ok_or_else(|| format!("{shape}: no such shape"))?;
    let (status, server_fault) = match &facts.error {
        Some(error) => (error.http_status_code, !error.sender_fault),
        None if UNAVAILABLE.contains(&shape) => (503, true),
        None if facts.fault => (500, true),
        None => (400, false),
    };
    Ok(PlannedError { code, status, server_fault })
}

fn reach(model: &Model, name: &str, found: &mut BTreeSet<String>) -> Result<(), String> {
    if !found.insert(name.to_owned()) {
        return Ok(());
    }
    let shape = model.shapes.get(name).ok_or_else(|| format!("{name}: no such shape"))?;
    for (_, member) in shape.members.iter().flat_map(|members| members.iter()) {
        reach(model, &member.shape, found)?;
    }
    for part in [&shape.member, &shape.key, &shape.value].into_iter().flatten() {
        reach(model, &part.shape, found)?;
    }
    Ok(())
}

fn in_order(model: &Model, names: &BTreeSet<String>) -> Vec<String> {
    model.shapes.iter().map(|(name, _)| name).filter(|name| names.contains(*name)).map(str::to_owned).collect()
}
