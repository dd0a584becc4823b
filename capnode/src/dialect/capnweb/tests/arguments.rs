//! The arguments of a call.

use super::*;
use crate::dialect::capnweb::{each_argument, only_argument};

fn arguments(text: &str) -> LivePayload {
    let op = message(&format!(r#"["push",["pipeline",0,["f"],{text}]]"#)).unwrap();
    let Message::Call { args: Some(args), .. } = op else { panic!("{op:?}") };
    args.map(|word| panic!("{word:?}"))
}

fn all<T>(
    text: &str,
    read: impl FnOnce(&mut Reader<'_, PayloadRef>) -> Result<T, Error>,
) -> Result<T, Error> {
    decode_args(&arguments(text), read)
}

#[test]
fn arguments_stand_side_by_side_and_are_not_wrapped() {
    let args = write_args::<PayloadRef>(usize::MAX, |args| {
        args.push("x")?;
        args.push(&vec![1, 2])?;
        args.push(&())
    });
    assert_eq!(args.unwrap().text.as_str(), r#"["x",[[1,2]],["undefined"]]"#);
    assert_eq!(write_args::<PayloadRef>(usize::MAX, |_| Ok(())).unwrap().text.as_str(), "[]");
}

#[test]
fn arguments_are_read_one_by_one() {
    let read = all(r#" [ "x" , [ [ 1 , 2 ] ] , 5 ] "#, |args| {
        Ok((args.argument::<String>()?, args.argument::<Vec<u8>>()?, args.argument::<u8>()?))
    });
    assert_eq!(read.unwrap(), ("x".to_owned(), vec![1, 2], 5));
    all("[1,2,3]", |args| args.argument::<u8>()).unwrap();
}

#[test]
fn references_among_arguments_do_not_hide_those_behind_them() {
    let [a, b] = [cap(), cap()];
    let args = write_args::<PayloadRef>(usize::MAX, |args| {
        args.push(&a)?;
        args.push(&5)?;
        args.push(&vec![b.clone()])?;
        args.push(&b)?;
        args.push("end")
    });
    let args = args.unwrap();
    let read = decode_args(&args, |args| {
        Ok((
            args.argument::<Cap>()?,
            args.argument::<u8>()?,
            args.argument::<Vec<Cap>>()?,
            args.argument::<Cap>()?,
            args.argument::<String>()?,
        ))
    });
    assert_eq!(read.unwrap(), (a.clone(), 5, vec![b.clone()], b.clone(), "end".to_owned()));
    // Nor do references that are not wanted.
    let read = decode_args(&args, |args| {
        args.argument::<()>()?;
        Ok((args.argument::<Value>()?, args.argument::<Value>()?, args.argument::<Option<Cap>>()?))
    });
    assert_eq!(read.unwrap(), (5.into(), Value::Array(vec![b.clone().into()]), Some(b)));
}

#[test]
fn an_argument_that_is_missing_is_undefined() {
    for text in ["[]", " [ ] "] {
        let read = all(text, |args| {
            Ok((args.argument::<Option<u8>>()?, args.argument::<()>()?, args.argument::<Value>()?))
        });
        assert_eq!(read.unwrap(), (None, (), Value::Undefined));
    }
    let read = all("[1]", |args| {
        Ok((args.argument::<u8>()?, args.argument::<Option<u8>>()?, args.argument::<Option<u8>>()?))
    });
    assert_eq!(read.unwrap(), (1, None, None));
    assert_eq!(
        all("[]", |args| args.argument::<u8>()).unwrap_err().to_string(),
        "it is missing, expected u8"
    );
    assert!(
        all("[1]", |args| args.argument::<u8>().and_then(|_| args.argument::<Cap>()))
            .unwrap_err()
            .to_string()
            .starts_with("it is missing")
    );
}

#[test]
fn an_argument_that_cannot_be_written_is_told_by_its_number() {
    let written = write_args::<PayloadRef>(usize::MAX, |args| {
        args.push(&5)?;
        args.push(&std::collections::BTreeMap::from([((), 1)]))
    });
    let error = written.unwrap_err();
    assert_eq!(error.to_string(), "argument 2: the key of a map has to be a string, a number or a bool");
    assert_eq!(error.kind(), ErrorKind::Encode);
}

#[test]
fn an_argument_that_does_not_fit_says_what_was_wanted() {
    let error = all(r#"["x"]"#, |args| args.argument::<u8>()).unwrap_err();
    assert_eq!(
        (error.kind(), error.to_string().as_str()),
        (ErrorKind::Decode, r#"invalid type: string "x", expected u8"#)
    );
}

#[test]
fn arguments_are_told_apart_in_their_text() {
    for (text, expected) in [
        ("[]", vec![""]),
        ("[1]", vec!["1"]),
        (r#"[[[1,2]],{"a":[[3,4]]},5]"#, vec!["[[1,2]]", r#"{"a":[[3,4]]}"#, "5"]),
        (r#"["a,]\",",["date",1],"\\"]"#, vec![r#""a,]\",""#, r#"["date",1]"#, r#""\\""#]),
    ] {
        assert_eq!(each_argument(text).collect::<Vec<_>>(), expected, "{text}");
        let only = Some(expected[0]).filter(|only| expected.len() == 1 && !only.is_empty());
        assert_eq!(only_argument(text), only);
    }
}
