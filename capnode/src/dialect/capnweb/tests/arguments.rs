//! The arguments of a call.

use super::*;

fn arguments(text: &str) -> Body {
    let op = message(&format!(r#"["push",["pipeline",0,["f"],{text}]]"#)).unwrap();
    let Op::Call { args: Some(args), .. } = op else { panic!("{op:?}") };
    args.map(|word| panic!("{word:?}"))
}

fn all<T>(text: &str, read: impl FnOnce(&mut ArgsReader<'_, Part>) -> Result<T, Error>) -> Result<T, Error> {
    decode_args(&arguments(text), read)
}

#[test]
fn arguments_stand_side_by_side_and_are_not_wrapped() {
    let mut writer = ArgsWriter::<Part>::new();
    writer.push("x").unwrap();
    writer.push(&vec![1, 2]).unwrap();
    writer.push(&()).unwrap();
    assert_eq!(writer.finish().text.as_str(), r#"["x",[[1,2]],["undefined"]]"#);
    assert_eq!(ArgsWriter::<Part>::new().finish().text.as_str(), "[]");
}

#[test]
fn arguments_are_read_one_by_one() {
    let read = all(r#" [ "x" , [ [ 1 , 2 ] ] , 5 ] "#, |args| {
        Ok((args.next::<String>()?, args.next::<Vec<u8>>()?, args.next::<u8>()?))
    });
    assert_eq!(read.unwrap(), ("x".to_owned(), vec![1, 2], 5));
    all("[1,2,3]", |args| args.next::<u8>()).unwrap();
}

#[test]
fn references_among_arguments_do_not_hide_those_behind_them() {
    let [a, b] = [cap(), cap()];
    let mut writer = ArgsWriter::<Part>::new();
    writer.push(&a).unwrap();
    writer.push(&5).unwrap();
    writer.push(&vec![b.clone()]).unwrap();
    writer.push(&b).unwrap();
    writer.push("end").unwrap();
    let args = writer.finish();
    let read = decode_args(&args, |args| {
        Ok((
            args.next::<Cap>()?,
            args.next::<u8>()?,
            args.next::<Vec<Cap>>()?,
            args.next::<Cap>()?,
            args.next::<String>()?,
        ))
    });
    assert_eq!(read.unwrap(), (a.clone(), 5, vec![b.clone()], b.clone(), "end".to_owned()));
    // Nor do references that are not wanted.
    let read = decode_args(&args, |args| {
        args.next::<()>()?;
        Ok((args.next::<Value>()?, args.next::<Value>()?, args.next::<Option<Cap>>()?))
    });
    assert_eq!(read.unwrap(), (5.into(), Value::Array(vec![b.clone().into()]), Some(b)));
}

#[test]
fn an_argument_that_is_missing_is_undefined() {
    for text in ["[]", " [ ] "] {
        let read =
            all(text, |args| Ok((args.next::<Option<u8>>()?, args.next::<()>()?, args.next::<Value>()?)));
        assert_eq!(read.unwrap(), (None, (), Value::Undefined));
    }
    let read =
        all("[1]", |args| Ok((args.next::<u8>()?, args.next::<Option<u8>>()?, args.next::<Option<u8>>()?)));
    assert_eq!(read.unwrap(), (1, None, None));
    assert_eq!(all("[]", |args| args.next::<u8>()).unwrap_err().to_string(), "it is missing, expected u8");
    assert!(
        all("[1]", |args| args.next::<u8>().and_then(|_| args.next::<Cap>()))
            .unwrap_err()
            .to_string()
            .starts_with("it is missing")
    );
}

#[test]
fn an_argument_that_cannot_be_written_is_told_by_its_number() {
    let mut writer = ArgsWriter::<Part>::new();
    writer.push(&5).unwrap();
    let error = writer.push(&std::collections::BTreeMap::from([((), 1)])).unwrap_err();
    assert_eq!(error.to_string(), "argument 2: the key of a map has to be a string, a number or a bool");
    assert_eq!(error.kind(), ErrorKind::Encode);
}

#[test]
fn an_argument_that_does_not_fit_says_what_was_wanted() {
    let error = all(r#"["x"]"#, |args| args.next::<u8>()).unwrap_err();
    assert_eq!(
        (error.kind(), error.to_string().as_str()),
        (ErrorKind::Decode, r#"invalid type: string "x", expected u8"#)
    );
}
