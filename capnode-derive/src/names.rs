//! Wire names: the peer's spelling of a method's Rust name.

use proc_macro2::Ident;

/// A convention for names, spelled in `rename_all` as serde spells it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Case {
    Lower,
    Upper,
    Pascal,
    Camel,
    Snake,
    ScreamingSnake,
    Kebab,
    ScreamingKebab,
}

impl Case {
    /// Every convention by its spelling, in serde's order.
    pub(crate) const ALL: [(&'static str, Case); 8] = [
        ("lowercase", Case::Lower),
        ("UPPERCASE", Case::Upper),
        ("PascalCase", Case::Pascal),
        ("camelCase", Case::Camel),
        ("snake_case", Case::Snake),
        ("SCREAMING_SNAKE_CASE", Case::ScreamingSnake),
        ("kebab-case", Case::Kebab),
        ("SCREAMING-KEBAB-CASE", Case::ScreamingKebab),
    ];

    pub(crate) fn from_spelling(spelling: &str) -> Option<Self> {
        let known = Self::ALL.iter().find(|(known, _)| *known == spelling);
        known.map(|(_, case)| *case)
    }

    /// Converts a name in `snake_case`, as serde does for the name of a field.
    pub(crate) fn apply(self, name: &str) -> String {
        match self {
            Case::Lower | Case::Snake => name.to_owned(),
            Case::Upper | Case::ScreamingSnake => name.to_ascii_uppercase(),
            Case::Pascal => pascal(name),
            Case::Camel => with_first(&pascal(name), char::to_ascii_lowercase),
            Case::Kebab => name.replace('_', "-"),
            Case::ScreamingKebab => name.to_ascii_uppercase().replace('_', "-"),
        }
    }
}

/// Returns the name of `ident` without the `r#` that makes a keyword an identifier.
pub(crate) fn plain(ident: &Ident) -> String {
    let name = ident.to_string();
    match name.strip_prefix("r#") {
        Some(plain) => plain.to_owned(),
        None => name,
    }
}

/// Returns the name of a type, as a function would have it: `HttpLog` becomes `http_log`.
pub(crate) fn snake(name: &str) -> String {
    let mut snake = String::new();
    let mut before = None::<char>;
    let mut letters = name.chars().peekable();
    while let Some(letter) = letters.next() {
        let mut begins_word = |before: char| {
            // The last capital of several begins a word if a small letter follows.
            !before.is_uppercase() || letters.peek().is_some_and(|next| next.is_lowercase())
        };
        if letter.is_uppercase() && before.is_some_and(|before| before != '_' && begins_word(before)) {
            snake.push('_');
        }
        snake.extend(letter.to_lowercase());
        before = Some(letter);
    }
    snake
}

fn pascal(name: &str) -> String {
    let words = name.split('_');
    words.map(|word| with_first(word, char::to_ascii_uppercase)).collect()
}

fn with_first(word: &str, change: impl Fn(&char) -> char) -> String {
    let mut letters = word.chars();
    let first = letters.next().map(|letter| change(&letter));
    first.into_iter().chain(letters).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proc_macro2::Span;

    #[test]
    fn every_convention_converts_as_serde_does_for_fields() {
        let converted = Case::ALL.map(|(spelling, case)| (spelling, case.apply("on_new_mail")));
        let expected = [
            ("lowercase", "on_new_mail"),
            ("UPPERCASE", "ON_NEW_MAIL"),
            ("PascalCase", "OnNewMail"),
            ("camelCase", "onNewMail"),
            ("snake_case", "on_new_mail"),
            ("SCREAMING_SNAKE_CASE", "ON_NEW_MAIL"),
            ("kebab-case", "on-new-mail"),
            ("SCREAMING-KEBAB-CASE", "ON-NEW-MAIL"),
        ];
        assert_eq!(converted, expected.map(|(spelling, name)| (spelling, name.to_owned())));
    }

    #[test]
    fn camel_case_keeps_digits_drops_underscores_and_survives_odd_names() {
        for (name, camel) in [
            ("say", "say"),
            ("get_2d_point", "get2dPoint"),
            ("_hidden", "hidden"),
            ("type_", "type"),
            ("a__b", "aB"),
            ("already_Camel", "alreadyCamel"),
            ("alreadyCamel", "alreadyCamel"),
            ("äther_öl", "ätheröl"),
            ("__", ""),
        ] {
            assert_eq!(Case::Camel.apply(name), camel, "{name}");
        }
    }

    #[test]
    fn names_of_types_become_names_of_functions() {
        for (name, snake_name) in [
            ("Log", "log"),
            ("HttpLog", "http_log"),
            ("HTTPLog", "http_log"),
            ("Log2", "log2"),
            ("my_iface", "my_iface"),
            ("A", "a"),
            ("Ärger", "ärger"),
        ] {
            assert_eq!(snake(name), snake_name);
        }
    }

    #[test]
    fn spellings_are_serdes_and_nothing_else() {
        assert_eq!(Case::from_spelling("kebab-case"), Some(Case::Kebab));
        assert_eq!(Case::from_spelling("camelcase"), None);
        assert_eq!(Case::from_spelling(""), None);
    }

    #[test]
    fn a_raw_identifier_is_named_without_its_prefix() {
        assert_eq!(plain(&Ident::new_raw("type", Span::call_site())), "type");
        assert_eq!(plain(&Ident::new("join", Span::call_site())), "join");
    }
}
