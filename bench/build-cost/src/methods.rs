//! The methods of the interfaces, as they are before any library writes them in its own way.

/// The type of an argument.
#[derive(Clone, Copy)]
pub enum Ty {
    Number,
    /// Borrowed, where a library can.
    Text,
    Bytes,
    Record,
}

/// The result type of a method.
#[derive(Clone, Copy)]
pub enum Output {
    Plain(&'static str),
    /// `Result<.., Refused>`.
    Fallible(&'static str),
}

pub struct Method {
    pub name: String,
    pub kind: &'static Kind,
}

/// A sort of method, of which interfaces have several under different names.
pub struct Kind {
    name: &'static str,
    pub arguments: &'static [(&'static str, Ty)],
    pub output: Output,
    pub body: &'static str,
    /// The result of a call with `Ty::value`.
    pub expected: &'static str,
}

const KINDS: &[Kind] = &[
    Kind { name: "ping", arguments: &[], output: Output::Plain("()"), body: "", expected: "()" },
    Kind {
        name: "double",
        arguments: &[("number", Ty::Number)],
        output: Output::Plain("u32"),
        body: "number * 2",
        expected: "42",
    },
    Kind {
        name: "measure",
        arguments: &[("text", Ty::Text)],
        output: Output::Plain("u32"),
        body: "text.len() as u32",
        expected: "5",
    },
    Kind {
        name: "add",
        arguments: &[("left", Ty::Number), ("right", Ty::Number)],
        output: Output::Plain("u64"),
        body: "u64::from(left) + u64::from(right)",
        expected: "42",
    },
    Kind {
        name: "echo",
        arguments: &[("bytes", Ty::Bytes)],
        output: Output::Plain("Vec<u8>"),
        body: "bytes",
        expected: "[1, 2, 3]",
    },
    Kind {
        name: "keep",
        arguments: &[("record", Ty::Record)],
        output: Output::Plain("Record"),
        body: "record",
        expected: "Record::named(\"hello\")",
    },
    Kind {
        name: "find",
        arguments: &[("name", Ty::Text)],
        output: Output::Fallible("Record"),
        body: "Ok(Record::named(name))",
        expected: "Record::named(\"hello\")",
    },
    Kind {
        name: "rename",
        arguments: &[("id", Ty::Number), ("name", Ty::Text), ("record", Ty::Record)],
        output: Output::Fallible("()"),
        body: "if id == record.id && name == record.name { Ok(()) } else { Err(Refused) }",
        expected: "()",
    },
    Kind {
        name: "append",
        arguments: &[("name", Ty::Text), ("bytes", Ty::Bytes)],
        output: Output::Fallible("u32"),
        body: "Ok((name.len() + bytes.len()) as u32)",
        expected: "8",
    },
    Kind {
        name: "list",
        arguments: &[],
        output: Output::Plain("Vec<Record>"),
        body: "Vec::from([Record::named(\"hello\")])",
        expected: "[Record::named(\"hello\")]",
    },
];

/// The methods of an interface with `count` of them.
pub fn methods(count: usize) -> Vec<Method> {
    let method = |at| {
        let kind: &Kind = &KINDS[at % KINDS.len()];
        Method { name: format!("{}_{}", kind.name, at / KINDS.len()), kind }
    };
    (0..count).map(method).collect()
}

impl Ty {
    pub fn owned(self) -> &'static str {
        match self {
            Self::Number => "u32",
            Self::Text => "String",
            Self::Bytes => "Vec<u8>",
            Self::Record => "Record",
        }
    }

    /// A value of it where it is owned.
    pub fn value(self) -> &'static str {
        match self {
            Self::Number => "21",
            Self::Text => "\"hello\".to_owned()",
            Self::Bytes => "vec![1, 2, 3]",
            Self::Record => "Record::named(\"hello\")",
        }
    }
}

impl Output {
    pub fn ty(self) -> String {
        match self {
            Self::Plain(ty) => ty.to_owned(),
            Self::Fallible(ty) => format!("Result<{ty}, Refused>"),
        }
    }
}

impl Method {
    /// `name: type, ..`, with a comma after each.
    pub fn parameters(&self, ty: fn(Ty) -> &'static str) -> String {
        self.kind.arguments.iter().map(|(name, of)| format!("{name}: {}, ", ty(*of))).collect()
    }

    /// The values to call it with, with a comma after each.
    pub fn values(&self, value: fn(Ty) -> &'static str) -> String {
        self.kind.arguments.iter().map(|(_, of)| format!("{}, ", value(*of))).collect()
    }
}
