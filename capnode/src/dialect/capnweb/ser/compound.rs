//! Arrays, objects and variants being written.

use serde::ser::{self, Serialize};

use super::key::KeyWriter;
use super::{Result, Writer};
use crate::dialect::capnweb::text::write_string;
use crate::dialect::{ExtractRef, Failure};

/// A compound value being written, with its end to write and the state to restore there.
pub(in super::super) struct Compound<'a, R> {
    writer: &'a mut Writer<R>,
    first: bool,
    end: &'static str,
    depth: usize,
}

impl<'a, R: ExtractRef> Compound<'a, R> {
    pub(super) fn array(writer: &'a mut Writer<R>) -> Self {
        let depth = writer.depth;
        if let Some(form) = writer.form.take() {
            writer.out.push_str("[\"");
            writer.out.push_str(form);
            writer.out.push('"');
            return Self { writer, first: false, end: "]", depth };
        }
        if writer.plain {
            writer.out.push('[');
            return Self { writer, first: true, end: "]", depth };
        }
        writer.out.push_str("[[");
        writer.depth += 1;
        Self { writer, first: true, end: "]]", depth }
    }

    pub(super) fn object(writer: &'a mut Writer<R>) -> Self {
        let depth = writer.depth;
        writer.out.push('{');
        writer.depth += 1;
        // The content of an object of a special form is made of ordinary values again; it comes last.
        writer.plain = writer.json;
        Self { writer, first: true, end: "}", depth }
    }

    /// An object of one member, whose value is still to come.
    pub(super) fn variant(writer: &'a mut Writer<R>, variant: &str) -> Self {
        let mut object = Self::object(writer);
        object.key(variant);
        object.first = true;
        object
    }

    /// Opens the array that is the value of a variant.
    pub(super) fn with_array(self) -> Result<Self> {
        self.with("]]}", Self::array)
    }

    /// Opens the object that is the value of a variant.
    pub(super) fn with_object(self) -> Result<Self> {
        self.with("}}", Self::object)
    }

    fn with(self, end: &'static str, open: fn(&'a mut Writer<R>) -> Self) -> Result<Self> {
        let Self { writer, depth, .. } = self;
        writer.check_depth()?;
        Ok(Self { end, depth, ..open(writer) })
    }

    fn comma(&mut self) {
        if !std::mem::replace(&mut self.first, false) {
            self.writer.out.push(',');
        }
    }

    pub(super) fn element<T: Serialize + ?Sized>(&mut self, value: &T) -> Result<()> {
        self.comma();
        self.writer.child(value)
    }

    fn key(&mut self, key: &str) {
        self.comma();
        write_string(&mut self.writer.out, key);
        self.writer.out.push(':');
    }

    pub(super) fn close(self) -> Result<()> {
        self.writer.out.push_str(self.end);
        self.writer.depth = self.depth;
        Ok(())
    }
}

macro_rules! compound_seq {
    ($($trait:ident::$method:ident),*) => { $(
        impl<R: ExtractRef> ser::$trait for Compound<'_, R> {
            type Ok = ();
            type Error = Failure;

            fn $method<T: Serialize + ?Sized>(&mut self, value: &T) -> Result<()> {
                self.element(value)
            }

            fn end(self) -> Result<()> {
                self.close()
            }
        }
    )* };
}

compound_seq!(SerializeSeq::serialize_element, SerializeTuple::serialize_element);
compound_seq!(SerializeTupleStruct::serialize_field, SerializeTupleVariant::serialize_field);

impl<R: ExtractRef> ser::SerializeMap for Compound<'_, R> {
    type Ok = ();
    type Error = Failure;

    fn serialize_key<T: Serialize + ?Sized>(&mut self, key: &T) -> Result<()> {
        self.comma();
        key.serialize(KeyWriter(self.writer))?;
        self.writer.out.push(':');
        Ok(())
    }

    fn serialize_value<T: Serialize + ?Sized>(&mut self, value: &T) -> Result<()> {
        self.writer.child(value)
    }

    fn end(self) -> Result<()> {
        self.close()
    }
}

macro_rules! compound_struct {
    ($($trait:ident),*) => { $(
        impl<R: ExtractRef> ser::$trait for Compound<'_, R> {
            type Ok = ();
            type Error = Failure;

            fn serialize_field<T: Serialize + ?Sized>(&mut self, key: &'static str, value: &T) -> Result<()> {
                self.key(key);
                self.writer.child(value)
            }

            fn end(self) -> Result<()> {
                self.close()
            }
        }
    )* };
}

compound_struct!(SerializeStruct, SerializeStructVariant);
