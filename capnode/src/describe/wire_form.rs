//! Corrections of what `ts-rs` says, where the wire says otherwise.

/// A piece of TypeScript.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Token<'a> {
    /// White space or a comment, which is kept as it is.
    Gap(&'a str),
    Word(&'a str),
    /// A text, with its quotes.
    Text(&'a str),
    Mark(&'a str),
}

impl<'a> Token<'a> {
    fn text(self) -> &'a str {
        match self {
            Self::Gap(text) | Self::Word(text) | Self::Text(text) | Self::Mark(text) => text,
        }
    }
}

/// Returns TypeScript of `ts-rs` as the wire is. `has_unit` says if there is a `()` in it.
///
/// * `()` is `undefined`. `ts-rs` has `null`, and only an option has that as an alternative.
/// * A field that is an option may be left out, by `skip_serializing_if` or by whoever sends it.
/// * The keys of a map are texts. Numbers are written as such.
pub(super) fn corrected(typescript: &str, has_unit: bool) -> String {
    let tokens = tokens(typescript);
    let mut out = String::with_capacity(typescript.len());
    let mut at = 0;
    while at < tokens.len() {
        let before = last(&tokens[..at]);
        match tokens[at] {
            Token::Word("null") if has_unit && before != Some(Token::Mark("|")) => out.push_str("undefined"),
            Token::Mark(":") if is_field(&tokens[..at]) && is_option(&tokens[at + 1..]) => out.push_str("?:"),
            Token::Word("in") if before.is_some() && is_key(&tokens[..at]) => {
                let end = end(&tokens[at + 1..]).map_or(tokens.len(), |end| at + 1 + end);
                let key: String = tokens[at + 1..end].iter().map(|token| token.text()).collect();
                let key = key_type(key.trim());
                out.push_str(&format!("in {key}"));
                at = end;
                // Each key that the type names may be missing.
                if key.starts_with('"') && tokens[end..].starts_with(&[Token::Mark("]"), Token::Mark(":")]) {
                    out.push_str("]?:");
                    at += 2;
                }
                continue;
            }
            token => out.push_str(token.text()),
        }
        at += 1;
    }
    out
}

/// Returns the type of the keys of a map, which on the wire are texts.
pub(super) fn key_type(key: &str) -> String {
    match key {
        "string" | "number" => key.to_owned(),
        "number | bigint" => "number".to_owned(),
        "boolean" => "\"true\" | \"false\"".to_owned(),
        other => format!("Extract<{other}, string | number>"),
    }
}

fn tokens<'a>(mut text: &'a str) -> Vec<Token<'a>> {
    let mut tokens = Vec::new();
    while let Some(first) = text.chars().next() {
        let len_while = |what: fn(char) -> bool| text.find(|c| !what(c)).unwrap_or(text.len());
        let is_word = |c: char| c.is_alphanumeric() || c == '_' || c == '$';
        let (len, token): (usize, fn(&'a str) -> Token<'a>) = if text.starts_with("/*") {
            (text.find("*/").map_or(text.len(), |end| end + 2), Token::Gap)
        } else if first.is_whitespace() {
            (len_while(char::is_whitespace), Token::Gap)
        } else if is_word(first) {
            (len_while(is_word), Token::Word)
        } else if matches!(first, '"' | '\'' | '`') {
            (len_of_text(text, first), Token::Text)
        } else if text.starts_with("=>") {
            (2, Token::Mark)
        } else {
            (first.len_utf8(), Token::Mark)
        };
        tokens.push(token(&text[..len]));
        text = &text[len..];
    }
    tokens
}

fn len_of_text(text: &str, quote: char) -> usize {
    let mut escaped = false;
    for (at, c) in text.char_indices().skip(1) {
        match c {
            _ if escaped => escaped = false,
            '\\' => escaped = true,
            c if c == quote => return at + c.len_utf8(),
            _ => {}
        }
    }
    text.len()
}

fn last<'a>(tokens: &[Token<'a>]) -> Option<Token<'a>> {
    tokens.iter().rev().find(|token| !matches!(token, Token::Gap(_))).copied()
}

/// `true` if the name of a field, which is not optional, comes before.
fn is_field(before: &[Token<'_>]) -> bool {
    let mut before = before.iter().rev().filter(|token| !matches!(token, Token::Gap(_)));
    matches!(before.next(), Some(Token::Word(_) | Token::Text(_)))
        && matches!(before.next(), Some(Token::Mark("{" | ",")))
}

/// `true` if a type is an alternative with `null`, and a comma ends it, as it does each field of a struct.
fn is_option(after: &[Token<'_>]) -> bool {
    let Some(end) = end(after) else { return false };
    let mut ty = after[..end].iter().rev().filter(|token| !matches!(token, Token::Gap(_)));
    after.get(end) == Some(&Token::Mark(","))
        && ty.next() == Some(&Token::Word("null"))
        && ty.next() == Some(&Token::Mark("|"))
}

/// Returns the place of the mark that ends a type.
fn end(tokens: &[Token<'_>]) -> Option<usize> {
    let mut depth = 0_usize;
    tokens.iter().position(|token| match token {
        Token::Mark("{" | "[" | "(" | "<") => {
            depth += 1;
            false
        }
        Token::Mark("}" | "]" | ")" | ">") if depth == 0 => true,
        Token::Mark("}" | "]" | ")" | ">") => {
            depth -= 1;
            false
        }
        Token::Mark("," | ";") => depth == 0,
        _ => false,
    })
}

/// `true` behind `[key`.
fn is_key(before: &[Token<'_>]) -> bool {
    let mut before = before.iter().rev().filter(|token| !matches!(token, Token::Gap(_)));
    before.next() == Some(&Token::Word("key")) && before.next() == Some(&Token::Mark("["))
}

/// Returns the alternatives of a result that is a value, if the text of `ts-rs` is one.
pub(super) fn result_parts(typescript: &str) -> Option<(String, String)> {
    let inner = typescript.strip_prefix("{ Ok : ")?.strip_suffix(" }")?;
    let tokens = tokens(inner);
    let at = end(&tokens)?;
    let text = |tokens: &[Token<'_>]| tokens.iter().map(|token| token.text()).collect::<String>();
    let rest = text(&tokens[at..]);
    Some((text(&tokens[..at]).trim().to_owned(), rest.strip_prefix("} | { Err : ")?.to_owned()))
}

/// Returns the comment before a function that throws an error of that type. One in which there is a comment cannot be in another.
pub(super) fn thrown_before(error: &str) -> String {
    match error {
        "Error" => "/** @throws {Error} */ ".to_owned(),
        error if error.contains("*/") => String::new(),
        error => format!("/** @throws {{Error & {{ data: {error} }}}} */ "),
    }
}

#[cfg(test)]
mod tests {
    use super::{corrected, result_parts};

    #[test]
    fn a_field_that_is_an_option_may_be_left_out() {
        assert_eq!(corrected("{ a: string | null, b: number, }", false), "{ a?: string | null, b: number, }");
        assert_eq!(corrected("{ \"a-b\": string | null, }", false), "{ \"a-b\"?: string | null, }");
        assert_eq!(corrected("{ a: { b: string | null, }, }", false), "{ a: { b?: string | null, }, }");
        let documented = "{ \n/**\n * A: null\n */\na: string | null, }";
        assert_eq!(corrected(documented, false), documented.replace("a: s", "a?: s"));
        // The content of a variant is there.
        let variant = "{ \"A\": string | null }";
        assert_eq!(corrected(variant, false), variant);
        let inner = "{ a: Array<string | null>, }";
        assert_eq!(corrected(inner, false), inner);
        let optional = "{ a?: string | null, }";
        assert_eq!(corrected(optional, false), optional);
    }

    #[test]
    fn a_unit_is_undefined_and_a_missing_option_null() {
        assert_eq!(corrected("[null, string | null]", true), "[undefined, string | null]");
        assert_eq!(corrected("null | null", true), "undefined | null");
        assert_eq!(corrected("\"null\" | null", true), "\"null\" | null");
    }

    #[test]
    fn the_keys_of_a_map_are_texts() {
        assert_eq!(corrected("{ [key in number | bigint]: A }", false), "{ [key in number]: A }");
        assert_eq!(corrected("{ [key in Id]?: A }", false), "{ [key in Extract<Id, string | number>]?: A }");
        assert_eq!(corrected("{ [key in string]: A }", false), "{ [key in string]: A }");
        assert_eq!(corrected("{ [key in boolean]: A }", false), "{ [key in \"true\" | \"false\"]?: A }");
    }

    #[test]
    fn a_result_as_a_value_has_two_parts() {
        let parts = result_parts("{ Ok : Array<{ a: number, }> } | { Err : string }");
        assert_eq!(parts, Some(("Array<{ a: number, }>".to_owned(), "string".to_owned())));
        assert_eq!(result_parts("string"), None);
    }
}
