//! stub
pub(crate) fn string_member(_: &str, _: &str) -> Option<String> {
    None
}
