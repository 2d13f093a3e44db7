//! awsQuery forms (and query strings) to trees: `Tags.member.1.Key=a` is a list in a map.

use std::borrow::Cow;

use percent_encoding::percent_decode;

use crate::decode::Malformed;
use crate::limit;
use crate::node::{Members, Node, Text};

/// Parses a form. Of a parameter sent twice, or at odds with another, the first wins, as AWS takes it.
pub(crate) fn parse(form: &[u8]) -> Result<Node<'_>, Malformed> {
    let mut root = Members::new();
    for (name, value) in parameters(form)? {
        let parts: Vec<&str> = name.split('.').collect();
        if parts.len() > limit::DEPTH_MAX {
            return Err(Malformed);
        }
        insert(&mut root, &parts, value);
    }
    Ok(Node::Map(root))
}

/// The value of one parameter, the first if it is there more than once.
pub(crate) fn parameter<'a>(form: &'a [u8], wanted: &str) -> Result<Option<Cow<'a, str>>, Malformed> {
    let all = parameters(form)?;
    Ok(all.into_iter().find(|(name, _)| name == wanted).map(|(_, value)| value))
}

type Parameter<'a> = (Cow<'a, str>, Cow<'a, str>);

fn parameters(form: &[u8]) -> Result<Vec<Parameter<'_>>, Malformed> {
    let mut parameters = Vec::new();
    for pair in form.split(|byte| *byte == b'&').filter(|pair| !pair.is_empty()) {
        if parameters.len() >= limit::PARAMETERS_MAX {
            return Err(Malformed);
        }
        let mut halves = pair.splitn(2, |byte| *byte == b'=');
        let name = halves.next().unwrap_or_default();
        let value = halves.next().unwrap_or_default();
        parameters.push((unescape(name)?, unescape(value)?));
    }
    Ok(parameters)
}

fn unescape(text: &[u8]) -> Result<Cow<'_, str>, Malformed> {
    if !text.contains(&b'+') {
        return percent_decode(text).decode_utf8().map_err(|_| Malformed);
    }
    let spaced: Vec<u8> = text.iter().map(|byte| if *byte == b'+' { b' ' } else { *byte }).collect();
    let decoded: Vec<u8> = percent_decode(&spaced).collect();
    String::from_utf8(decoded).map(Cow::Owned).map_err(|_| Malformed)
}

fn insert<'a>(members: &mut Members<'a>, parts: &[&str], value: Cow<'a, str>) {
    let Some((first, rest)) = parts.split_first() else {
        return;
    };
    let first = Cow::Owned((*first).to_owned());
    if rest.is_empty() {
        members.entry(first).or_insert(Node::Text(Text::new(value)));
    } else if let Node::Map(inner) = members.entry(first).or_insert_with(|| Node::Map(Members::new())) {
        insert(inner, rest, value);
    }
}
