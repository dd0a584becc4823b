//! Types whose form on the wire cannot be told from serde's attributes: each gives one message.

use crate::described::expand;
use proc_macro2::TokenStream;
use quote::quote;

fn message(item: TokenStream) -> String {
    let expansion = expand(item).to_string();
    let message = expansion.strip_prefix(":: core :: compile_error ! { \"").unwrap_or(&expansion);
    message.strip_suffix("\" }").unwrap_or(message).to_owned()
}

macro_rules! refused {
    ($($rule:ident: ($($tokens:tt)*) => $message:expr;)*) => { $(
        #[test]
        fn $rule() {
            let message = message(quote!($($tokens)*));
            assert!(message.starts_with($message), "{message}");
        }
    )* };
}

refused! {
    a_type_that_is_read_from_another_alone: (#[serde(try_from = "String")] struct Id { number: u64 }) =>
        "what is read differs from what is written";
    a_type_that_is_read_from_another_than_it_is_written_to: (#[serde(from = "u32", into = "String")] struct Id(u64);) =>
        "what is read differs from what is written";
    a_newtype_that_is_written_to_another_type: (#[serde(into = "String")] struct Id(u64);) =>
        "what is read differs from what is written";
    a_field_that_a_function_writes: (struct Line { #[serde(serialize_with = "f")] a: u8 }) =>
        "what `serialize_with` makes of a value is not known to TypeScript: say the type by";
    a_field_that_a_function_reads: (enum Line { A { #[serde(deserialize_with = "f")] a: u8 } }) =>
        "what `deserialize_with` makes of a value";
    a_variant_that_a_module_writes: (enum Line { #[serde(with = "f")] A(u8) }) => "what `with` makes of a value";
    a_transparent_type_with_a_field_of_that_kind: (#[serde(transparent)] struct Line { #[serde(with = "f")] a: u8 }) =>
        "it is not known what is written";
    a_name_that_differs_for_reading: (struct Line { #[serde(rename(serialize = "b", deserialize = "c"))] a: u8 }) =>
        "`rename` differs for what is read and what is written";
    names_of_what_is_written_alone: (#[serde(rename_all(serialize = "camelCase"))] struct Line { a: u8 }) =>
        "`rename_all` differs for what is read and what is written";
    a_field_that_is_left_out_and_not_read_back: (struct Line { #[serde(skip_serializing_if = "f")] a: u8 }) =>
        "what `skip_serializing_if` leaves out is not read back: add `#[serde(default)]`";
    a_field_that_is_written_and_refused: (#[serde(deny_unknown_fields)] struct Line { #[serde(skip_deserializing)] a: u8 }) =>
        "what is written here is refused when it is read";
    a_field_of_a_variant_that_is_written_and_refused:
        (#[serde(deny_unknown_fields)] enum Line { A { #[serde(skip_deserializing)] a: u8 } }) =>
        "what is written here is refused when it is read";
    a_name_that_is_also_the_tag: (#[serde(tag = "t")] #[ts(rename = "Other")] struct Line { a: u8 }) =>
        "the name is what `tag` has";
    an_attribute_that_is_not_known: (#[serde(variant_identifier)] enum Line { A }) =>
        "`variant_identifier` of serde is not known to descriptions";
    a_union: (union Line { a: u8 }) => "a union has no form on the wire";
}

#[test]
fn what_is_said_for_typescript_is_not_refused() {
    let said = [
        quote!(
            #[serde(try_from = "String")]
            #[ts(type = "string")]
            struct Id {
                #[serde(with = "f")]
                number: u64,
            }
        ),
        quote!(
            struct Line {
                #[serde(with = "f")]
                #[ts(as = "String")]
                a: u8,
            }
        ),
        quote!(
            enum Line {
                #[serde(serialize_with = "f")]
                #[ts(skip)]
                A(u8),
            }
        ),
    ];
    for item in said {
        let expansion = expand(item).to_string();
        assert!(!expansion.contains("compile_error"), "{expansion}");
    }
}
