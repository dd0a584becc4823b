//! Choices, made by the bytes of the input.

use capnode::Value;

/// The input, as numbers to choose with. When it is over they are zero.
pub struct Input<'a>(pub &'a [u8]);

impl Input<'_> {
    pub fn byte(&mut self) -> usize {
        match self.0.split_first() {
            Some((first, rest)) => {
                self.0 = rest;
                usize::from(*first)
            }
            None => 0,
        }
    }

    pub fn text(&mut self) -> String {
        let count = self.byte();
        let (text, rest) = self.0.split_at(count.min(self.0.len()));
        self.0 = rest;
        String::from_utf8_lossy(text).into_owned()
    }
}

/// A small value of any shape that all languages have.
pub fn value(input: &mut Input<'_>, depth: usize) -> Value {
    match input.byte() % 8 {
        0 => Value::Bool(true),
        1 => Value::Number(input.byte() as f64),
        2 | 3 => Value::String(input.text()),
        4 if depth < 4 => Value::Array((0..input.byte() % 4).map(|_| value(input, depth + 1)).collect()),
        5 if depth < 4 => {
            let count = input.byte() % 3;
            Value::Object(
                (0..count).map(|at| (format!("{at}{}", input.text()), value(input, depth + 1))).collect(),
            )
        }
        6 => Value::Number(-0.5),
        _ => Value::Null,
    }
}

/// The frame with another number in the place of the first behind a position.
pub fn with_number(frame: &[u8], at: usize, number: usize) -> Vec<u8> {
    let from = frame.iter().skip(at).position(u8::is_ascii_digit).map_or(frame.len(), |found| at + found);
    let digits = frame[from..].iter().take_while(|byte| byte.is_ascii_digit()).count();
    let number = match number {
        255 => i64::MAX.to_string(),
        254 => i64::MIN.to_string(),
        number => (number as i64 - 127).to_string(),
    };
    [&frame[..from], number.as_bytes(), &frame[from + digits..]].concat()
}
