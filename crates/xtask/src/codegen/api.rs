//! The shapes, checks, operations and errors of a service, as `claviger_api` has them.

use std::collections::BTreeSet;

use super::plan::{Kind, Plan};
use super::{names, pattern};

/// `crates/api/src/generated/<service>.rs`.
pub(crate) fn service(plan: &Plan) -> Result<String, String> {
    let mut enumerations = String::new();
    let mut structures = String::new();
    let reached: BTreeSet<&String> = plan.inputs.iter().chain(&plan.outputs).collect();
    for (name, _) in plan.model.shapes.iter().filter(|(name, _)| reached.iter().any(|reached| reached == name)) {
        match plan.kind(name)? {
            Kind::Enumeration => enumerations.push_str(&enumeration(plan, name)?),
            Kind::Structure => structures.push_str(&structure(plan, name)?),
            _ => {}
        }
    }
    let limits = limits(plan)?;
    let checks = checks(plan)?;
    let (operations, errors, envelopes) = (operations(plan), errors(plan), envelopes(plan));
    let all = format!("{limits}{checks}{enumerations}{structures}{operations}{errors}{envelopes}");
    let mut uses = String::new();
    let service = plan.service.to_uppercase();
    let version = &plan.model.metadata.api_version;
    if all.contains("BTreeMap") {
        uses.push_str("use std::collections::BTreeMap;\n");
    }
    uses.push_str("use std::fmt;\n\n");
    let secret = if structures.contains("SecretBytes") { ", SecretBytes" } else { "" };
    uses.push_str(&format!("use claviger_secret::{{LogSafe{secret}}};\n\n"));
    let timestamp = if structures.contains("Timestamp") { "Timestamp, " } else { "" };
    uses.push_str(&format!("use crate::{{Path, ServiceError, {timestamp}Valid, Validate, Violations}};\n\n"));
    Ok(format!("//! {service}, API version {version}.\n\n{uses}{all}"))
}

/// `crates/api/src/generated.rs`.
pub(crate) fn top(plans: &[Plan]) -> String {
    let mut text = String::from(
        "//! Every service, one module each, and the sums over them.\n\nuse std::fmt;\n\nuse claviger_secret::LogSafe;\n\nuse crate::Protocol;\n\n",
    );
    let (mut operation, mut request, mut response) = (String::new(), String::new(), String::new());
    let mut chains = String::new();
    let (mut names_, mut services, mut protocols, mut of_request, mut froms) =
        (String::new(), String::new(), String::new(), String::new(), String::new());
    for plan in plans {
        let (service, variant) = (plan.service, names::shape(plan.service));
        text.push_str(&format!("pub mod {service};\n"));
        let doc = format!("/// {}.\n", service.to_uppercase());
        operation.push_str(&format!("{doc}{variant}({service}::Operation),\n"));
        request.push_str(&format!("{doc}{variant}({service}::Request),\n"));
        response.push_str(&format!("{doc}{variant}({service}::Response),\n"));
        names_.push_str(&format!("Self::{variant}(operation) => operation.name(),\n"));
        services.push_str(&format!("Self::{variant}(_) => {service:?},\n"));
        chains.push_str(&format!(".chain({service}::Operation::ALL.iter().copied().map(Self::{variant}))"));
        let protocol = if plan.model.metadata.protocol == "json" { "Json" } else { "Query" };
        protocols.push_str(&format!("Self::{variant}(_) => Protocol::{protocol},\n"));
        of_request.push_str(&format!("Self::{variant}(request) => Operation::{variant}(request.operation()),\n"));
        for sum in ["Operation", "Request", "Response"] {
            froms.push_str(&format!(
                "impl From<{service}::{sum}> for {sum} {{ fn from(inner: {service}::{sum}) -> Self {{ Self::{variant}(inner) }} }}\n\n"
            ));
        }
    }
    let shown = shown("Operation", "name");
    text.push_str(&format!(
        "\n/// An operation of any service.\n#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]\npub enum Operation {{ {operation} }}\n\n\
        impl Operation {{\n/// The name on the wire.\npub const fn name(self) -> &'static str {{ match self {{ {names_} }} }}\n\n\
        /// The service, as in a credential scope and before the colon of an action.\npub const fn service(self) -> &'static str {{ match self {{ {services} }} }}\n\n\
        /// The protocol its service speaks.\npub const fn protocol(self) -> Protocol {{ match self {{ {protocols} }} }}\n\n\
        /// Every operation of every service.\npub fn all() -> impl Iterator<Item = Self> {{ std::iter::empty(){chains} }}\n}}\n\n{shown}\
        /// A request to any service, its constraints checked.\npub enum Request {{ {request} }}\n\n\
        impl Request {{\n/// Its operation.\npub const fn operation(&self) -> Operation {{ match self {{ {of_request} }} }}\n}}\n\n\
        /// A response of any service.\n#[expect(clippy::large_enum_variant, reason = \"one is made for each call; a box would cost an allocation\")]\npub enum Response {{ {response} }}\n\n{froms}"
    ));
    text
}

/// A closed set of names may be shown and logged.
fn shown(type_name: &str, method: &str) -> String {
    format!(
        "impl fmt::Display for {type_name} {{ fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {{ formatter.write_str(self.{method}()) }} }}\n\n\
        impl LogSafe for {type_name} {{}}\n\n"
    )
}

fn enumeration(plan: &Plan, name: &str) -> Result<String, String> {
    let values = &plan.shape(name)?.values;
    let type_name = names::shape(name);
    let (mut variants, mut to_text, mut from_text, mut all) =
        (String::new(), String::new(), String::new(), String::new());
    for value in values {
        let variant = names::variant(value);
        variants.push_str(&format!("/// `{value}`\n{variant},\n"));
        to_text.push_str(&format!("Self::{variant} => {value:?},\n"));
        from_text.push_str(&format!("{value:?} => Self::{variant},\n"));
        all.push_str(&format!("Self::{variant},"));
    }
    Ok(format!(
        "/// `{name}`\n#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]\npub enum {type_name} {{ {variants} }}\n\n\
        impl {type_name} {{\n/// Every value, in the model's order.\npub const ALL: &[Self] = &[{all}];\n\n\
        /// The text on the wire.\npub const fn as_str(self) -> &'static str {{ match self {{ {to_text} }} }}\n\n\
        /// The value of a text on the wire.\npub fn parse(text: &str) -> Option<Self> {{ Some(match text {{ {from_text} _ => return None }}) }}\n}}\n\n{}",
        shown(&type_name, "as_str")
    ))
}

fn structure(plan: &Plan, name: &str) -> Result<String, String> {
    let type_name = names::shape(name);
    let mut derives = Vec::new();
    if !plan.secret(name)? {
        derives.extend(["Clone", "Debug", "PartialEq", "Eq"]);
    }
    if plan.default(name)? {
        derives.push("Default");
    }
    let derives = if derives.is_empty() { String::new() } else { format!("#[derive({})]\n", derives.join(", ")) };
    let mut fields = String::new();
    let mut validation = String::new();
    for (member, shape, required) in plan.members(name)? {
        let inner = plan.rust_type(shape, "")?;
        let field_type = if required { inner } else { format!("Option<{inner}>") };
        let field = names::field(member);
        fields.push_str(&format!("/// `{member}`{}\npub {field}: {field_type},\n", facts(plan, shape)?));
        if plan.inputs.iter().any(|input| input == name) {
            validation.push_str(&member_validation(plan, member, shape, required)?);
        }
    }
    let mut text = format!("/// `{name}`\n{derives}pub struct {type_name} {{ {fields} }}\n\n");
    if plan.inputs.iter().any(|input| input == name) {
        let (path, violations) = if validation.is_empty() { ("_path", "_violations") } else { ("path", "violations") };
        text.push_str(&format!(
            "impl Validate for {type_name} {{ fn validate(&self, {path}: &Path<'_>, {violations}: &mut Violations) {{ {validation} }} }}\n\n"
        ));
    }
    Ok(text)
}

/// What a reader wants to know of a member's limits.
fn facts(plan: &Plan, shape: &str) -> Result<String, String> {
    let facts = plan.shape(shape)?;
    let unit = match plan.kind(shape)? {
        Kind::Text | Kind::SecretText => " characters",
        Kind::Blob | Kind::SecretBlob => " bytes",
        Kind::List => " elements",
        _ => "",
    };
    Ok(match (facts.min, facts.max) {
        (Some(min), Some(max)) => format!(": {min} to {max}{unit}"),
        (None, Some(max)) => format!(": at most {max}{unit}"),
        _ => String::new(),
    })
}

fn member_validation(plan: &Plan, member: &str, shape: &str, required: bool) -> Result<String, String> {
    let place = format!("path.member({:?})", names::path(member));
    let field = format!("self.{}", names::field(member));
    let kind = plan.kind(shape)?;
    let check = |value: &str| -> Result<Option<String>, String> {
        Ok(match kind {
            Kind::Structure => Some(format!("{value}.validate(&{place}, violations);")),
            Kind::List if plan.kind(plan.element(shape)?)? == Kind::Structure => Some(format!(
                "for (number, element) in {value}.iter().enumerate() {{ element.validate(&{place}.element(number.saturating_add(1)), violations); }}"
            )),
            _ if plan.constrained(shape)? => {
                Some(format!("checks::{}({value}, &{place}, violations);", names::field(shape)))
            }
            _ => None,
        })
    };
    let by_value = kind == Kind::Integer;
    let of_structures = kind == Kind::List && plan.kind(plan.element(shape)?)? == Kind::Structure;
    Ok(match (required, by_value) {
        (true, false) if of_structures => check(&field)?.unwrap_or_default(),
        (true, true) => check(&field)?.unwrap_or_default(),
        (true, false) if matches!(kind, Kind::Structure | Kind::List) && !plan.constrained(shape)? => {
            check(&field)?.unwrap_or_default()
        }
        (true, false) => check(&format!("&{field}"))?.unwrap_or_default(),
        (false, _) => {
            let reference = if by_value { "" } else { "&" };
            check("value")?
                .map_or_else(String::new, |check| format!("if let Some(value) = {reference}{field} {{ {check} }}\n"))
        }
    })
}

/// The constraints of strings as data, so that others can ask for them by name.
fn limits(plan: &Plan) -> Result<String, String> {
    let mut limits = String::new();
    for name in &plan.inputs {
        if !plan.constrained(name)? || !matches!(plan.kind(name)?, Kind::Text | Kind::SecretText) {
            continue;
        }
        let shape = plan.shape(name)?;
        let pattern = match &shape.pattern {
            Some(text) => format!("Some(&{})", pattern::expression(text)?),
            None => "None".to_owned(),
        };
        limits.push_str(&format!(
            "/// `{name}`\npub const {}: TextLimits = TextLimits {{ min: {:?}, max: {:?}, pattern: {pattern} }};\n\n",
            names::constant(name),
            shape.min.filter(|min| *min > 0),
            shape.max,
        ));
    }
    if limits.is_empty() {
        return Ok(limits);
    }
    let mut uses = String::from("use crate::check::TextLimits;\n");
    let used: Vec<&str> = ["Atom", "Pattern", "Piece"]
        .into_iter()
        .filter(|name| limits.contains(&format!("{name} {{")) || limits.contains(&format!("{name}::")))
        .collect();
    if !used.is_empty() {
        uses.push_str(&format!("use crate::{{{}}};\n", used.join(", ")));
    }
    Ok(format!("/// What the model says of its strings.\npub mod limits {{ {uses}\n{limits} }}\n\n"))
}

fn checks(plan: &Plan) -> Result<String, String> {
    let mut checks = String::new();
    for name in &plan.inputs {
        if plan.constrained(name)? {
            checks.push_str(&shape_check(plan, name)?);
        }
    }
    if checks.is_empty() {
        return Ok(checks);
    }
    let mut uses = String::new();
    if checks.contains("SecretBytes") {
        uses.push_str("use claviger_secret::SecretBytes;\n\n");
    }
    if checks.contains("limits::") {
        uses.push_str("use super::limits;\n");
    }
    let echo = if checks.contains("Echo::") { "Echo, " } else { "" };
    uses.push_str(&format!("use crate::{{{echo}Path, Violations, check}};\n"));
    Ok(format!("/// One check for each constrained shape of a request.\npub mod checks {{ {uses}\n{checks} }}\n\n"))
}

fn shape_check(plan: &Plan, name: &str) -> Result<String, String> {
    let shape = plan.shape(name)?;
    let constant = names::constant(name);
    let (min, max) = (shape.min.unwrap_or(0), shape.max);
    let usize_max = max.map_or_else(|| "usize::MAX".to_owned(), |max| max.to_string());
    let (argument, body) = match plan.kind(name)? {
        Kind::Text => (
            "&str".to_owned(),
            format!("check::text(value, || Echo::Text(value.to_owned()), &limits::{constant}, path, violations);"),
        ),
        Kind::SecretText => (
            "&SecretBytes".to_owned(),
            format!(
                "check::text(&String::from_utf8_lossy(value.expose()), || Echo::Omitted, &limits::{constant}, path, violations);"
            ),
        ),
        kind @ (Kind::Blob | Kind::SecretBlob) => (
            if kind == Kind::Blob { "&[u8]" } else { "&SecretBytes" }.to_owned(),
            format!("check::length(value.len(), || Echo::Omitted, {min}, {usize_max}, path, violations);"),
        ),
        Kind::Integer => {
            let max = max.map_or_else(|| "i32::MAX".to_owned(), |max| max.to_string());
            ("i32".to_owned(), format!("check::range(value, {min}, {max}, path, violations);"))
        }
        Kind::List => list_check(plan, name, min, &usize_max)?,
        _ => return Err(format!("{name}: no check for this kind")),
    };
    Ok(format!(
        "/// `{name}`\npub fn {}(value: {argument}, path: &Path<'_>, violations: &mut Violations) {{ {body} }}\n\n",
        names::field(name)
    ))
}

/// AWS reports a list of simple values as one value, with every constraint of its elements.
fn list_check(plan: &Plan, name: &str, min: u64, max: &str) -> Result<(String, String), String> {
    let element = plan.element(name)?;
    let kind = plan.kind(element)?;
    let element_type = plan.rust_type(element, "super::")?;
    let echo = match kind {
        Kind::Text => "|| check::list_echo(value.iter())",
        Kind::Enumeration => "|| check::list_echo(value.iter().map(|element| element.as_str()))",
        _ => "|| Echo::Omitted",
    };
    let mut body = String::new();
    if plan.shape(name)?.max.is_some() || min > 0 {
        body.push_str(&format!("check::length(value.len(), {echo}, {min}, {max}, path, violations);\n"));
    }
    if kind == Kind::Text && plan.constrained(element)? {
        body.push_str(&format!(
            "if !value.iter().all(|element| limits::{}.hold(element)) {{ violations.push(path, check::list_echo(value.iter()), {:?}); }}\n",
            names::constant(element),
            format!("Member must satisfy constraint: [{}]", text_constraints(plan, element)?),
        ));
    }
    Ok((format!("&[{element_type}]"), body))
}

fn text_constraints(plan: &Plan, name: &str) -> Result<String, String> {
    let shape = plan.shape(name)?;
    let mut constraints = Vec::new();
    if let Some(max) = shape.max {
        constraints.push(format!("Member must have length less than or equal to {max}"));
    }
    if let Some(min) = shape.min {
        constraints.push(format!("Member must have length greater than or equal to {min}"));
    }
    if let Some(pattern) = &shape.pattern {
        constraints.push(format!("Member must satisfy regular expression pattern: {pattern}"));
    }
    Ok(constraints.join(", "))
}

fn operations(plan: &Plan) -> String {
    let (mut variants, mut to_name, mut from_name, mut all, mut errors) =
        (String::new(), String::new(), String::new(), String::new(), String::new());
    for operation in &plan.operations {
        let name = &operation.name;
        variants.push_str(&format!("/// `{name}`\n{name},\n"));
        to_name.push_str(&format!("Self::{name} => {name:?},\n"));
        from_name.push_str(&format!("{name:?} => Self::{name},\n"));
        all.push_str(&format!("Self::{name},"));
        let codes: String = operation.errors.iter().map(|code| format!("ErrorCode::{code},")).collect();
        errors.push_str(&format!("Self::{name} => &[{codes}],\n"));
    }
    format!(
        "/// The operations.\n#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]\npub enum Operation {{ {variants} }}\n\n\
        impl Operation {{\n/// Every operation, in alphabetical order.\npub const ALL: &[Self] = &[{all}];\n\n\
        /// The name on the wire.\npub const fn name(self) -> &'static str {{ match self {{ {to_name} }} }}\n\n\
        /// The operation of a name.\npub fn parse(name: &str) -> Option<Self> {{ Some(match name {{ {from_name} _ => return None }}) }}\n\n\
        /// The errors the model lists for it; the common ones come on top.\npub const fn errors(self) -> &'static [ErrorCode] {{ match self {{ {errors} }} }}\n}}\n\n{}",
        shown("Operation", "name")
    )
}

fn errors(plan: &Plan) -> String {
    let (mut variants, mut to_name, mut statuses, mut faults, mut all) =
        (String::new(), String::new(), String::new(), String::new(), String::new());
    for error in &plan.errors {
        let code = &error.code;
        variants.push_str(&format!("/// `{code}`\n{code},\n"));
        to_name.push_str(&format!("Self::{code} => {code:?},\n"));
        statuses.push_str(&format!("Self::{code} => {},\n", error.status));
        faults.push_str(&format!("Self::{code} => {},\n", error.server_fault));
        all.push_str(&format!("Self::{code},"));
    }
    format!(
        "/// The errors in the model of the operations here.\n#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]\npub enum ErrorCode {{ {variants} }}\n\n\
        impl ErrorCode {{\n/// Every code.\npub const ALL: &[Self] = &[{all}];\n\n\
        /// The code on the wire.\npub const fn name(self) -> &'static str {{ match self {{ {to_name} }} }}\n\n\
        /// The HTTP status.\npub const fn status(self) -> u16 {{ match self {{ {statuses} }} }}\n\n\
        /// Whether the fault is the service's, so that a client may try again.\npub const fn fault(self) -> bool {{ match self {{ {faults} }} }}\n\n\
        /// The error with a text for the client.\npub fn with_message(self, message: impl Into<String>) -> ServiceError {{\n\
        ServiceError {{ code: self.name(), status: self.status(), message: Some(message.into()), sender_fault: !self.fault() }} }}\n\n\
        /// The error as AWS sends it without a text.\npub fn silent(self) -> ServiceError {{\n\
        ServiceError {{ code: self.name(), status: self.status(), message: None, sender_fault: !self.fault() }} }}\n}}\n\n{}",
        shown("ErrorCode", "name")
    )
}

fn envelopes(plan: &Plan) -> String {
    let (mut requests, mut responses, mut of_request) = (String::new(), String::new(), String::new());
    for operation in &plan.operations {
        let name = &operation.name;
        requests.push_str(&format!("/// `{name}`\n{name}(Valid<{}>),\n", names::shape(&operation.input)));
        let body = operation.output.as_ref().map_or_else(String::new, |output| format!("({})", names::shape(output)));
        responses.push_str(&format!("/// `{name}`\n{name}{body},\n"));
        of_request.push_str(&format!("Self::{name}(_) => Operation::{name},\n"));
    }
    format!(
        "/// A request, its constraints checked.\npub enum Request {{ {requests} }}\n\n\
        impl Request {{\n/// Its operation.\npub const fn operation(&self) -> Operation {{ match self {{ {of_request} }} }}\n}}\n\n\
        /// A response; without content where the model has no output.\npub enum Response {{ {responses} }}\n\n"
    )
}
