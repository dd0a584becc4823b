//! Forms of an object in JSON: a value, or a form of the language.

use std::borrow::Cow;

use super::key;
use crate::dialect::json::Json;

/// The address of a tree: the same address is the same object as long as the tree lives.
pub(super) type JsonAddress<'a> = *const Json<'a>;

/// The meaning of an object in JSON.
pub(super) enum Form<'t, 'a> {
    /// The object at a path from the root of the value.
    Path(Option<Cow<'a, str>>),
    Special(Cow<'a, str>),
    /// A rejected promise. There is no such value outside JavaScript: it is read as the error that it is.
    Rejected(&'t Json<'a>),
    Reference {
        id: &'t Json<'a>,
        function: bool,
    },
    /// An export of ours.
    Own(&'t Json<'a>),
    Plain(&'t [(&'a str, Json<'a>)]),
}

/// Finds the form of an object, in the order in which the package looks. A form whose value is false in JavaScript does
/// not count.
pub(super) fn form<'t, 'a>(json: &'t Json<'a>) -> Option<Form<'t, 'a>> {
    let Json::Object(members) = json else { return None };
    let possible = members.iter().any(|(raw, _)| key::is_form(raw));
    let truthy = |name| json.get(name).filter(|value| possible && value.is_truthy());
    Some(if !possible {
        Form::Plain(members)
    } else if let Some(path) = json.get("$") {
        Form::Path(path.text())
    } else if let Some(name) = truthy("%") {
        Form::Special(name.text().unwrap_or_default())
    } else if let Some(reason) = truthy("!") {
        Form::Rejected(reason)
    } else if let Some(id) = truthy("@").or_else(|| truthy("@r")) {
        let function = json.get("type").and_then(Json::text).is_some_and(|kind| kind == "function");
        Form::Reference { id, function }
    } else if let Some(id) = json.get("@l").filter(|id| matches!(id, Json::String(_))) {
        Form::Own(id)
    } else {
        Form::Plain(members)
    })
}
