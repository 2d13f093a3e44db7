//! The codecs of a service, as `claviger_wire` has them: over its `Decoder` and any `Encoder`.

use super::names;
use super::plan::{Kind, Plan};

/// `crates/wire/src/generated/<service>.rs`.
pub(crate) fn service(plan: &Plan) -> Result<String, String> {
    let mut decoders = String::new();
    for name in &plan.inputs {
        decoders.push_str(&decoder(plan, name)?);
    }
    let mut encoders = String::new();
    for name in &plan.outputs {
        if plan.kind(name)? == Kind::Structure {
            encoders.push_str(&encoder(plan, name)?);
        }
    }
    let dispatch = dispatch(plan)?;
    let service = plan.service;
    let mut uses = String::new();
    if decoders.contains("SecretBytes") {
        uses.push_str("use claviger_secret::SecretBytes;\n");
    }
    let checks =
        if decoders.contains("checks::") { format!("use claviger_api::{service}::checks;\n") } else { String::new() };
    Ok(format!(
        "//! {}: requests from trees, responses to either protocol.\n\n{checks}use claviger_api::{{Path, {service}}};\n{uses}\n\
        use crate::decode::{{DecodeError, Decoded, Decoder}};\nuse crate::encode::Encoder;\nuse crate::node::Node;\n\n{dispatch}{decoders}{encoders}",
        service.to_uppercase(),
    ))
}

/// `crates/wire/src/generated.rs`.
pub(crate) fn top(plans: &[Plan]) -> String {
    let mut text = String::from("//! Dispatch over every service.\n\n");
    let (mut decodes, mut encodes, mut versions) = (String::new(), String::new(), String::new());
    let (mut targets, mut namespaces) = (String::new(), String::new());
    for plan in plans {
        let (service, variant) = (plan.service, names::shape(plan.service));
        let metadata = &plan.model.metadata;
        text.push_str(&format!("mod {service};\n"));
        decodes.push_str(&format!(
            "Operation::{variant}(operation) => {service}::decode(operation, decoder, node).map(Request::{variant}),\n"
        ));
        encodes.push_str(&format!("Response::{variant}(response) => {service}::encode(encoder, response),\n"));
        let namespace = metadata.xml_namespace.as_deref().unwrap_or_default();
        namespaces.push_str(&format!("Operation::{variant}(_) => {namespace:?},\n"));
        match &metadata.target_prefix {
            Some(prefix) => targets.push_str(&format!(
                "{prefix:?} => claviger_api::{service}::Operation::parse(operation).map(Operation::{variant}),\n"
            )),
            None => {
                versions.push_str(&format!(
                    "{:?} => claviger_api::{service}::Operation::parse(action).map(Operation::{variant}),\n",
                    metadata.api_version
                ));
            }
        }
    }
    text.push_str(&format!(
        "\nuse claviger_api::{{Operation, Request, Response}};\n\nuse crate::decode::{{DecodeError, Decoder}};\nuse crate::encode::Encoder;\nuse crate::node::Node;\n\n\
        /// The operation of an awsJson target, `<prefix>.<operation>`.\n\
        pub(crate) fn operation_of_target(prefix: &str, operation: &str) -> Option<Operation> {{ match prefix {{ {targets} _ => None }} }}\n\n\
        /// The operation of an awsQuery action in an API version.\n\
        pub(crate) fn operation_of_action(version: &str, action: &str) -> Option<Operation> {{ match version {{ {versions} _ => None }} }}\n\n\
        /// The XML namespace of an operation's service; empty for one that speaks no XML.\n\
        pub(crate) const fn namespace(operation: Operation) -> &'static str {{ match operation {{ {namespaces} }} }}\n\n\
        /// Decodes and validates a request.\n\
        pub(crate) fn decode(operation: Operation, decoder: &mut Decoder, node: &Node<'_>) -> Result<Request, DecodeError> {{ match operation {{ {decodes} }} }}\n\n\
        /// Encodes a response, if it has content.\n\
        pub(crate) fn encode<E: Encoder>(encoder: &mut E, response: &Response) {{ match response {{ {encodes} }} }}\n"
    ));
    text
}

fn dispatch(plan: &Plan) -> Result<String, String> {
    let service = plan.service;
    let (mut decodes, mut encodes) = (String::new(), String::new());
    for operation in &plan.operations {
        let name = &operation.name;
        decodes.push_str(&format!(
            "{service}::Operation::{name} => decoder.request(node, {}, {service}::Request::{name}),\n",
            names::field(&operation.input)
        ));
        match &operation.output {
            None => encodes.push_str(&format!("{service}::Response::{name} => {{}}\n")),
            Some(output) => {
                let wrapper = plan
                    .model
                    .operations
                    .get(name)
                    .and_then(|operation| operation.output.as_ref())
                    .and_then(|output| output.result_wrapper.clone())
                    .unwrap_or_else(|| format!("{name}Result"));
                encodes.push_str(&format!(
                    "{service}::Response::{name}(response) => encoder.result({wrapper:?}, |encoder| {}(encoder, response)),\n",
                    encoder_name(output)
                ));
            }
        }
    }
    Ok(format!(
        "pub(super) fn decode(operation: {service}::Operation, decoder: &mut Decoder, node: &Node<'_>) -> Result<{service}::Request, DecodeError> {{ match operation {{ {decodes} }} }}\n\n\
        pub(super) fn encode<E: Encoder>(encoder: &mut E, response: &{service}::Response) {{ match response {{ {encodes} }} }}\n\n"
    ))
}

fn encoder_name(shape: &str) -> String {
    format!("encode_{}", names::field(shape))
}

/// The decoder of a shape: a method of `Decoder` where nothing is special about it.
fn decoder_name(plan: &Plan, name: &str) -> Result<String, String> {
    Ok(match plan.kind(name)? {
        Kind::Text if !plan.constrained(name)? => "Decoder::text".to_owned(),
        Kind::SecretText if !plan.constrained(name)? => "Decoder::secret_text".to_owned(),
        Kind::Blob if !plan.constrained(name)? => "Decoder::blob".to_owned(),
        Kind::SecretBlob if !plan.constrained(name)? => "Decoder::secret_blob".to_owned(),
        Kind::Integer if !plan.constrained(name)? => "Decoder::integer".to_owned(),
        Kind::Boolean => "Decoder::boolean".to_owned(),
        Kind::Timestamp => "Decoder::timestamp".to_owned(),
        Kind::Map => "Decoder::map".to_owned(),
        _ => names::field(name),
    })
}

fn decoder(plan: &Plan, name: &str) -> Result<String, String> {
    // Of these, what only lists hold is read by the list.
    let simple = matches!(plan.kind(name)?, Kind::Enumeration | Kind::Text);
    if decoder_name(plan, name)?.starts_with("Decoder::") || (simple && !is_input_member(plan, name)?) {
        return Ok(String::new());
    }
    let service = plan.service;
    let result = plan.rust_type(name, &format!("{service}::"))?;
    let checked = |method: &str, reference: &str| {
        format!(
            "let value = decoder.{method}(node, path)?;\nif let Some(value) = {reference}value {{ checks::{}(value, path, decoder.violations()); }}\nOk(value)",
            names::field(name)
        )
    };
    let body = match plan.kind(name)? {
        Kind::Text => checked("text", "&"),
        Kind::SecretText => checked("secret_text", "&"),
        Kind::Blob => checked("blob", "&"),
        Kind::SecretBlob => checked("secret_blob", "&"),
        Kind::Integer => checked("integer", ""),
        Kind::Enumeration => {
            format!("decoder.enumeration(node, path, {result}::ALL, {result}::as_str)")
        }
        Kind::List => list_decoder(plan, name)?,
        Kind::Structure => structure_decoder(plan, name)?,
        Kind::Boolean | Kind::Timestamp | Kind::Map => {
            return Err(format!("{name}: no decoder of its own"));
        }
    };
    Ok(format!(
        "fn {}(decoder: &mut Decoder, node: &Node<'_>, path: &Path<'_>) -> Decoded<{result}> {{ {body} }}\n\n",
        names::field(name)
    ))
}

/// Whether some input has a member of this very shape, and not only of lists of it.
fn is_input_member(plan: &Plan, name: &str) -> Result<bool, String> {
    for input in &plan.inputs {
        if plan.members(input)?.iter().any(|(_, shape, _)| *shape == name) {
            return Ok(true);
        }
    }
    Ok(false)
}

fn list_decoder(plan: &Plan, name: &str) -> Result<String, String> {
    let element = plan.element(name)?;
    let prefix = format!("{}::", plan.service);
    let element_type = plan.rust_type(element, &prefix)?;
    let decode = match plan.kind(element)? {
        Kind::Text => "decoder.text_list(node, path)".to_owned(),
        Kind::Enumeration => {
            format!("decoder.enumeration_list(node, path, {element_type}::ALL, {element_type}::as_str)")
        }
        Kind::Structure => format!("decoder.list(node, path, {})", decoder_name(plan, element)?),
        _ => {
            return Err(format!("{name}: only lists of text, enumerations and structures are known"));
        }
    };
    if !plan.constrained(name)? {
        return Ok(decode);
    }
    Ok(format!(
        "let value = {decode}?;\nif let Some(value) = &value {{ checks::{}(value, path, decoder.violations()); }}\nOk(value)",
        names::field(name)
    ))
}

fn structure_decoder(plan: &Plan, name: &str) -> Result<String, String> {
    let members = plan.members(name)?;
    let type_name = plan.rust_type(name, &format!("{}::", plan.service))?;
    if members.is_empty() {
        return Ok(format!("let _ = (Decoder::structure(node)?, decoder, path);\nOk(Some({type_name} {{}}))"));
    }
    let mut body = String::from("let members = Decoder::structure(node)?;\n");
    let (mut present, mut fields) = (String::new(), String::new());
    for (member, shape, required) in members {
        let field = names::field(member);
        // The decoder has variables of its own.
        let own = ["decoder", "members", "node", "path"].contains(&field.as_str());
        let local = if own { format!("{field}_member") } else { field.clone() };
        let method = if required { "required" } else { "optional" };
        body.push_str(&format!(
            "let {local} = decoder.{method}(members, {member:?}, &path.member({:?}), {})?;\n",
            names::path(member),
            decoder_name(plan, shape)?
        ));
        if required {
            present.push_str(&format!("let Some({local}) = {local} else {{ return Ok(None); }};\n"));
        }
        fields.push_str(&if own { format!("{field}: {local},") } else { format!("{field},") });
    }
    body.push_str(&format!("{present}Ok(Some({type_name} {{ {fields} }}))"));
    Ok(body)
}

fn encoder(plan: &Plan, name: &str) -> Result<String, String> {
    let type_name = plan.rust_type(name, &format!("{}::", plan.service))?;
    let mut body = String::new();
    for (member, shape, required) in plan.members(name)? {
        let field = names::field(member);
        let by_value = matches!(plan.kind(shape)?, Kind::Integer | Kind::Boolean | Kind::Timestamp | Kind::Enumeration);
        let (reference, star) = if by_value { ("", "") } else { ("&", "") };
        let write = |value: &str| -> Result<String, String> {
            Ok(format!("encoder.member({member:?}, |encoder| {});", value_encoder(plan, shape, value)?))
        };
        if required {
            body.push_str(&write(&format!("{reference}value.{field}"))?);
        } else {
            body.push_str(&format!(
                "if let Some(value) = {reference}value.{field} {{ {} }}\n",
                write(&format!("{star}value"))?
            ));
        }
    }
    let value = if body.is_empty() { "_value" } else { "value" };
    let inner = if body.is_empty() { "_encoder" } else { "encoder" };
    Ok(format!(
        "fn {}<E: Encoder>(encoder: &mut E, {value}: &{type_name}) {{ encoder.structure(|{inner}| {{ {body} }}); }}\n\n",
        encoder_name(name)
    ))
}

fn value_encoder(plan: &Plan, shape: &str, value: &str) -> Result<String, String> {
    Ok(match plan.kind(shape)? {
        Kind::Text => format!("encoder.text({value})"),
        Kind::SecretText => format!("encoder.secret_text({value})"),
        Kind::Enumeration => format!("encoder.text({value}.as_str())"),
        Kind::Blob => format!("encoder.blob({value})"),
        Kind::SecretBlob => format!("encoder.secret_blob({value})"),
        Kind::Integer => format!("encoder.integer({value})"),
        Kind::Boolean => format!("encoder.boolean({value})"),
        Kind::Timestamp => format!("encoder.timestamp({value})"),
        Kind::Map if plan.counts(shape)? => format!("encoder.counts({value})"),
        Kind::Map => format!("encoder.map({value})"),
        Kind::Structure => format!("{}(encoder, {value})", encoder_name(shape)),
        Kind::List => {
            let element = plan.element(shape)?;
            match plan.kind(element)? {
                Kind::Structure => format!("encoder.list({value}, {})", encoder_name(element)),
                Kind::Text => {
                    format!("encoder.list({value}, |encoder, element| encoder.text(element))")
                }
                Kind::Enumeration => {
                    format!("encoder.list({value}, |encoder, element| encoder.text(element.as_str()))")
                }
                _ => {
                    return Err(format!("{shape}: only lists of text, enumerations and structures are known"));
                }
            }
        }
    })
}
