//! The way from outlines to a description: all interfaces and types that are mentioned, each once.

use std::any::TypeId;
use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::mem;

use ts_rs::{Config, TS, TypeVisitor};

use super::form::{
    Argument, Declaration, Description, InterfaceDescription, MemberDescription, Type, VERSION,
};
use super::shape::{Described, Outline, Shape, Shaping};
use super::wire_form::corrected;

thread_local! {
    /// Interfaces that a type of the user's mentions: `ts-rs` passes on no more than types that it knows.
    static MENTIONED: RefCell<Vec<&'static Outline>> = const { RefCell::new(Vec::new()) };
    /// Types whose derive is the library's.
    static ACCOUNTED: RefCell<HashSet<TypeId>> = RefCell::default();
}

/// Has a visitor learn of an interface that a type of the user's mentions.
#[doc(hidden)]
pub fn mention<C: Described>() {
    MENTIONED.with_borrow_mut(|mentioned| mentioned.push(C::OUTLINE));
}

/// Notes that the derive of a type has accounted for all attributes of serde.
#[doc(hidden)]
pub fn accounted<T: TS + 'static>() {
    ACCOUNTED.with_borrow_mut(|accounted| accounted.insert(TypeId::of::<T::WithoutGenerics>()));
}

/// Returns the name of an interface, which for a generic one has its parameters in it.
#[doc(hidden)]
#[must_use]
pub fn name_of<C: Described>() -> String {
    name(C::OUTLINE)
}

fn name(outline: &'static Outline) -> String {
    let mut name = outline.interface.name.to_owned();
    for given in outline.given {
        let given = Collector::default().ty(*given).to_string();
        let words = given.split(|c: char| !c.is_alphanumeric()).filter(|word| !word.is_empty());
        words.for_each(|word| name.extend(["_", word]));
    }
    name
}

/// Options of `ts-rs`: integers that may be large are as the library writes them.
pub(super) fn config() -> Config {
    Config::new().with_large_int("number | bigint")
}

/// Interfaces and types that have been found so far.
#[doc(hidden)]
#[derive(Default)]
pub struct Collector {
    waiting: Vec<&'static Outline>,
    /// By name, each with what tells it from others of the name.
    interfaces: BTreeMap<String, (String, InterfaceDescription)>,
    types: BTreeMap<String, (TypeId, Declaration)>,
    seen: HashSet<TypeId>,
    /// `true` if the type that is visited has a `()` in it.
    has_unit: bool,
    /// The method or type that is looked at, for messages.
    place: String,
    warnings: BTreeSet<String>,
    problems: BTreeSet<String>,
}

crate::opaque::opaque!(Collector);

impl Collector {
    /// Adds an interface and all that it mentions, and returns its name.
    fn add(&mut self, outline: &'static Outline) -> String {
        self.waiting.push(outline);
        while let Some(outline) = self.waiting.pop() {
            self.interface(outline);
        }
        name(outline)
    }

    fn interface(&mut self, outline: &'static Outline) {
        let (name, identity) = (name(outline), outline.interface.identity().to_owned());
        match self.interfaces.get(&name) {
            Some((known, _)) if *known == identity => return,
            Some((known, _)) => {
                let problem = format!(
                    "two interfaces are named `{name}`, {known} and {identity}: give one of them another name by \
                     `#[capnode::interface(name = \"..\")]`"
                );
                self.problems.insert(problem);
                return;
            }
            None => {}
        }
        let empty = InterfaceDescription { name: name.clone(), ..Default::default() };
        self.interfaces.insert(name.clone(), (identity.clone(), empty));
        self.place.clone_from(&name);
        let extends: Vec<_> = outline.extends.iter().filter_map(|parent| self.parent(*parent)).collect();
        let methods = outline.interface.own_methods().iter().filter(|method| !method.name.is_empty());
        let members = methods.zip(outline.members).map(|(method, member)| {
            self.place = format!("{name}.{}", method.name);
            let arguments = method.args.iter().zip(member.arguments);
            MemberDescription {
                name: method.name.to_owned(),
                docs: member.docs.to_owned(),
                property: method.property,
                arguments: arguments
                    .map(|(name, ty)| Argument { name: (*name).to_owned(), ty: self.ty(*ty) })
                    .collect(),
                result: self.ty(member.result),
                error: member.error.map(|ty| self.ty(ty)),
            }
        });
        let members = members.collect();
        let docs = outline.docs.to_owned();
        self.interfaces
            .insert(name.clone(), (identity, InterfaceDescription { name, docs, extends, members }));
    }

    fn parent(&mut self, parent: Shaping) -> Option<String> {
        match self.ty(parent) {
            Type::Interface(name) => Some(name),
            // It is unknown, which has been said.
            _ => None,
        }
    }

    fn ty(&mut self, shaping: Shaping) -> Type {
        let boxed = |this: &mut Self, shaping| Box::new(this.ty(shaping));
        match shaping() {
            Shape::Known(name) => Type::Known(name.to_owned()),
            Shape::Unknown(written) => {
                let warning = format!(
                    "{}: nothing is known of `{written}`, so it is `unknown`: derive `capnode::describe::TS` for it",
                    self.place
                );
                self.warnings.insert(warning);
                Type::Unknown(written.to_owned())
            }
            Shape::Declared(declared) => {
                let text = declared(self);
                // A parameter may stand for a client.
                if self.is_interface(&text) { Type::Interface(text) } else { Type::Declared(text) }
            }
            Shape::Interface(outline) => {
                self.waiting.push(outline);
                Type::Interface(name(outline))
            }
            Shape::Option(ty) => Type::Option(boxed(self, ty)),
            Shape::List(ty) => Type::List(boxed(self, ty)),
            Shape::Map(key, value) => Type::Map(boxed(self, key), boxed(self, value)),
            Shape::Tuple(parts) => Type::Tuple(parts.iter().map(|ty| self.ty(*ty)).collect()),
            Shape::Array(ty, len) => Type::Array(boxed(self, ty), len),
            Shape::Result(ok, error) => Type::Result(boxed(self, ok), boxed(self, error)),
            Shape::Func(parts) => {
                let mut parts: Vec<_> = parts.iter().map(|ty| self.ty(*ty)).collect();
                let result = parts.pop().unwrap_or_else(|| Type::Known("()".to_owned()));
                let (result, error) = match result {
                    Type::Result(ok, error) => (ok, Some(error)),
                    result => (Box::new(result), None),
                };
                Type::Function { arguments: parts, result, error }
            }
            Shape::Reader(ty) => Type::Reader(boxed(self, ty)),
            Shape::Writer(ty) => Type::Writer(boxed(self, ty)),
        }
    }

    fn is_interface(&self, name: &str) -> bool {
        self.interfaces.contains_key(name) || self.waiting.iter().any(|waiting| self::name(waiting) == name)
    }

    /// Takes in a type that `ts-rs` knows, with all that it mentions, and returns its name.
    pub(super) fn declared<T: TS + ?Sized + 'static>(&mut self) -> String {
        self.visit::<T>();
        T::visit_generics(self);
        let unit = mem::take(&mut self.has_unit);
        corrected(&T::name(&config()), unit)
    }

    fn declare<T: TS + ?Sized + 'static>(&mut self, has_unit: bool) {
        let name = T::ident(&config());
        let id = TypeId::of::<T::WithoutGenerics>();
        if !ACCOUNTED.with_borrow(|accounted| accounted.contains(&id)) {
            let warning = format!(
                "{name}: `ts-rs` does not know all attributes of serde: derive `capnode::describe::TS` for it instead"
            );
            self.warnings.insert(warning);
        }
        let declaration = T::decl(&config());
        let is_unit = declaration.ends_with("= null;");
        let text = corrected(&declaration, has_unit || is_unit);
        let docs = T::docs().unwrap_or_default();
        match self.types.get(&name) {
            Some((known, other)) if *known != id && other.text != text => {
                let problem = format!(
                    "two types are named `{name}`: give one of them another name by `#[ts(rename = \"..\")]`"
                );
                self.problems.insert(problem);
            }
            Some(_) => {}
            None => {
                self.types.insert(name.clone(), (id, Declaration { name, docs, text }));
            }
        }
    }
}

impl TypeVisitor for Collector {
    fn visit<T: TS + ?Sized + 'static>(&mut self) {
        let id = TypeId::of::<T>();
        self.has_unit |= id == TypeId::of::<()>();
        if id == TypeId::of::<usize>() || id == TypeId::of::<isize>() {
            let warning = format!(
                "{}: a `usize` or `isize` is `number` here, and arrives as a `bigint` from 2^53 on: use `u64` or `i64`",
                self.place
            );
            self.warnings.insert(warning);
        }
        if !self.seen.insert(id) {
            return;
        }
        let is_declared = T::output_path().is_some();
        let outer = (self.place.clone(), self.has_unit);
        if is_declared {
            self.place = T::ident(&config());
            self.has_unit = false;
        }
        T::visit_dependencies(self);
        self.waiting.extend(MENTIONED.take());
        if is_declared {
            self.declare::<T>(self.has_unit);
            (self.place, self.has_unit) = outer;
        }
    }
}

impl Description {
    /// Returns the description of an interface, and of all that it mentions.
    #[must_use]
    pub fn of<C: Described>() -> Self {
        Self { version: VERSION, ..Self::default() }.and::<C>()
    }

    /// Adds another interface, with all that it mentions.
    #[must_use]
    pub fn and<C: Described>(mut self) -> Self {
        let mut collector = Collector::default();
        self.roots.push(collector.add(C::OUTLINE));
        let interfaces = collector.interfaces.into_values().map(|(_, interface)| interface);
        let types = collector.types.into_values().map(|(_, declaration)| declaration);
        self.problems.extend(collector.problems);
        self.warnings.extend(collector.warnings);
        merge(&mut self.interfaces, interfaces, |interface| &interface.name, &mut self.problems);
        merge(&mut self.types, types, |declaration| &declaration.name, &mut self.problems);
        let both = self.types.iter().filter(|ty| self.interfaces.iter().any(|other| other.name == ty.name));
        let both =
            both.map(|ty| format!("an interface and a type are named `{}`: rename one of them", ty.name));
        self.problems.extend(both);
        self
    }
}

/// Adds what is not there yet, and keeps the order of the names.
fn merge<T: PartialEq>(
    all: &mut Vec<T>,
    more: impl Iterator<Item = T>,
    name: impl Fn(&T) -> &String,
    problems: &mut BTreeSet<String>,
) {
    for one in more {
        match all.binary_search_by(|known| name(known).cmp(name(&one))) {
            Ok(at) if all[at] != one => {
                problems.insert(format!("two things are named `{}`: rename one of them", name(&one)));
            }
            Ok(_) => {}
            Err(at) => all.insert(at, one),
        }
    }
}
