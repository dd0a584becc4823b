//! Values that do not arrive as within one program. `capnode/docs/semantics.md` has each reason.

use capnode::Dialect::{self, CapnWeb, Capnode, Q};

pub(super) struct Difference {
    pub(super) row: &'static str,
    pub(super) dialects: &'static [Dialect],
    pub(super) expected: Expected,
    pub(super) why: &'static str,
}

pub(super) enum Expected {
    /// The call fails with these words.
    Refused(&'static str),
    /// It prints as this.
    Becomes(&'static str),
}

use Expected::{Becomes, Refused};

impl Difference {
    pub(super) fn is_about(&self, row: &str, dialect: Dialect) -> bool {
        self.row == row && self.dialects.contains(&dialect)
    }
}

const fn line(
    row: &'static str,
    dialects: &'static [Dialect],
    expected: Expected,
    why: &'static str,
) -> Difference {
    Difference { row, dialects, expected, why }
}

const ALL: &[Dialect] = &[CapnWeb, Capnode, Q];
const BOTH: &[Dialect] = &[Capnode, Q];
const ONE: &[Dialect] = &[Capnode];

const NONE: &str = "`Some` of nothing is `None`";
const NO_NAN: &str = "NaN and infinities are refused by Capnode";
const INEXACT: &str = "integers that no double represents exactly are refused by Capnode and Q-Connection";
const KEYS: &str = "a map's keys are strings, numbers, booleans or bare variants; others are refused";
const PROTO: &str = "the key `__proto__` is refused by Capnode";
const KINDS: &str = "dates and headers are refused by Capnode and Q-Connection";
const BYTES: &str = "a byte container is a list of numbers in Capnode and Q-Connection";
const PLAIN: &str = "read as a `Value`, a URL is a string in Capnode and Q-Connection";
const NULL: &str = "`null` is `undefined` in Capnode";
const WHOLE: &str = "a whole float is an integer where no type decides";
const WIDE: &str = "an integer from 2^53 on is a float in Capnode and Q-Connection where no type decides";
const ASIDE: &str = "serde cannot buffer keys that are numbers, integers beyond 64 bits, and `undefined`";

pub(super) const DIFFERENCES: &[Difference] = &[
    line("Option<Option>, Some(None)", ALL, Becomes("None"), NONE),
    line("Option<()>, Some", ALL, Becomes("None"), NONE),
    line("Option<unit struct>, Some", ALL, Becomes("None"), NONE),
    line("f64, not finite", ONE, Refused("Capnode has no"), NO_NAN),
    line("f32, not finite", ONE, Refused("Capnode has no"), NO_NAN),
    line("Vec<f64>, not finite", ONE, Refused("Capnode has no NaN"), NO_NAN),
    line("Value::Number, not finite", ONE, Refused("Capnode has no infinity"), NO_NAN),
    line("u64, inexact", BOTH, Refused("has no integer as large as"), INEXACT),
    line("i64, inexact", BOTH, Refused("has no integer as large as"), INEXACT),
    line("u128, inexact", BOTH, Refused("has no integer as large as"), INEXACT),
    line("i128, inexact", BOTH, Refused("has no integer as large as"), INEXACT),
    line("Duration, inexact", BOTH, Refused("has no integer as large as"), INEXACT),
    line("BigInt, inexact", BOTH, Refused("has no integer as large as"), INEXACT),
    line("BTreeMap<tuple>", ALL, Refused("the key of a map has to be"), KEYS),
    line("BTreeMap<()>", ALL, Refused("the key of a map has to be"), KEYS),
    line("BTreeMap<Vec>", ALL, Refused("the key of a map has to be"), KEYS),
    line("BTreeMap, __proto__", ONE, Refused("`__proto__`"), PROTO),
    line("struct, __proto__", ONE, Refused("`__proto__`"), PROTO),
    line("Date", BOTH, Refused("a date cannot be said"), KINDS),
    line("Value::Date", BOTH, Refused("a date cannot be said"), KINDS),
    line("Headers", BOTH, Refused("headers cannot be said"), KINDS),
    line("Value::Headers", BOTH, Refused("headers cannot be said"), KINDS),
    line(
        "Bytes of a kind",
        BOTH,
        Becomes("Bytes { data: [1, 2, 3, 255, 0, 128, 7, 9], kind: Uint8Array }"),
        BYTES,
    ),
    line("Bytes of a wide kind", BOTH, Refused("integer `513`, expected u8"), BYTES),
    line("Value::Bytes", BOTH, Becomes("Array([Number(1.0), Number(2.0)])"), BYTES),
    line("Value::BigInt", BOTH, Becomes("Number(5.0)"), PLAIN),
    line("Value::Url", BOTH, Becomes("String(\"https://a.b/c\")"), PLAIN),
    line(
        "Value::Error",
        BOTH,
        Becomes("Object([(\"message\", String(\"m\")), (\"name\", String(\"TypeError\"))])"),
        PLAIN,
    ),
    line("Value::Null", ONE, Becomes("Undefined"), NULL),
    line("serde_json::Value, whole float", ALL, Becomes("Number(5)"), WHOLE),
    line("enum, untagged whole float", ALL, Becomes("Integer(5)"), WHOLE),
    line("serde_json::Value, wide", BOTH, Becomes("Number(1.152921504606847e+18)"), WIDE),
    line("enum, untagged, wide", BOTH, Refused("did not match any variant"), WIDE),
    line("flatten, wide", BOTH, Refused("expected u64"), WIDE),
    line("enum, untagged, wider", ALL, Refused("did not match any variant"), ASIDE),
    line("flatten map of numbers", ALL, Refused("invalid type: string \"5\", expected u16"), ASIDE),
    line("enum, untagged Value::Undefined", ALL, Becomes("Value(Null)"), ASIDE),
];
