//! Maps: a value, and the program that is run for each of its elements.

use std::sync::Arc;

use super::{Result, Scanner};
use crate::error::{Error, ErrorKind};
use crate::message::{CapDescriptor, Id, Mapping, Payload, Program, ReceiverRef, Slot, Text};
use crate::thin_vec::ThinVec;

/// Levels of depth that a map inside another takes. Each is understood, run and dropped within the one around it.
const MAP_LEVELS: usize = 8;

impl Scanner<'_> {
    /// Reads a map behind its name. A program that makes no sense is no breach of the protocol: the map alone fails.
    pub(super) fn map(&mut self, depth: usize) -> Result<Mapping> {
        let id = self.lexer.integer_after_comma("an id")?;
        self.lexer.expect(b',', "a property path")?;
        let path = self.path()?;
        self.lexer.expect(b',', "a list of captures")?;
        let captures = self.captures(depth)?;
        self.lexer.expect(b',', "a list of instructions")?;
        if self.lexer.peek() != b'[' {
            return self.lexer.bad("a list of instructions");
        }
        if self.in_program {
            let program = self.program(depth + MAP_LEVELS - 1, captures.len())?;
            return Ok(Mapping { id, path, captures, program });
        }
        let start = self.lexer.pos;
        self.json(depth)?;
        let end = std::mem::replace(&mut self.lexer.pos, start);
        self.in_program = true;
        let outer = std::mem::replace(&mut self.refs, ThinVec::NONE);
        let program = self.program(depth, captures.len());
        self.refs = outer;
        self.in_program = false;
        self.lexer.pos = end;
        let program = program.unwrap_or_else(|error| Err(error.message().to_owned()));
        Ok(Mapping { id, path, captures, program })
    }

    /// Reads a whole text that is a program with so many captures.
    pub(in super::super) fn whole_program(&mut self, captures: usize) -> Result<Arc<Program>> {
        self.in_program = true;
        let program = self.program(0, captures)?;
        if !self.lexer.ahead().is_empty() {
            return self.lexer.bad("the end of the program");
        }
        program.map_err(|why| Error::new(ErrorKind::Encode, why))
    }

    fn captures(&mut self, depth: usize) -> Result<Vec<CapDescriptor>> {
        let outer = std::mem::replace(&mut self.refs, ThinVec::NONE);
        self.list(b'[', b']', "a list of captures", "a comma or the end of the captures", |scanner| {
            scanner.lexer.ahead();
            let (before, start) = (scanner.refs.len(), scanner.lexer.pos);
            scanner.expression(depth)?;
            let is_whole = |slot: &Slot<_>| (slot.start, slot.end) == (start, scanner.lexer.pos);
            let is_capture = match scanner.refs.get(before..) {
                Some([slot]) if is_whole(slot) => match &slot.to {
                    CapDescriptor::SenderHosted(_) => true,
                    CapDescriptor::ReceiverHosted(import) => {
                        !import.awaited && import.path.is_empty() && import.args.is_none()
                    }
                    _ => false,
                },
                _ => false,
            };
            if !is_capture {
                scanner.lexer.pos = start;
                return scanner.lexer.bad("an `import` or `export`");
            }
            Ok(())
        })?;
        let captures = std::mem::replace(&mut self.refs, outer);
        Ok(captures.into_iter().map(|slot| slot.to).collect())
    }

    /// Reads a program with so many captures, or the reason why it cannot run.
    fn program(
        &mut self,
        depth: usize,
        captures: usize,
    ) -> Result<std::result::Result<Arc<Program>, String>> {
        let start = self.lexer.pos;
        let (mut instructions, mut wrong) = (Vec::new(), None);
        self.list(
            b'[',
            b']',
            "a list of instructions",
            "a comma or the end of the instructions",
            |scanner| {
                scanner.lexer.ahead();
                let start = scanner.lexer.pos;
                let outer = std::mem::replace(&mut scanner.refs, ThinVec::NONE);
                scanner.expression(depth)?;
                let refs = std::mem::replace(&mut scanner.refs, outer);
                let known = Known { captures, results: instructions.len() };
                if let Err(why) = refs.iter().try_for_each(|slot| known.check(&slot.to)) {
                    wrong.get_or_insert(why);
                }
                let text = scanner.keep(start..scanner.lexer.pos);
                instructions.push(Payload { text, refs, nodes: ThinVec::NONE });
                Ok(())
            },
        )?;
        if instructions.is_empty() {
            wrong.get_or_insert_with(|| "a map without instructions".to_owned());
        }
        let text: Text = self.keep(start..self.lexer.pos);
        Ok(wrong.map_or_else(|| Ok(Arc::new(Program { text, instructions })), Err))
    }
}

/// The variables that an instruction may use.
struct Known {
    captures: usize,
    /// The results of instructions before it.
    results: usize,
}

impl Known {
    fn check(&self, descriptor: &CapDescriptor) -> std::result::Result<(), String> {
        match descriptor {
            CapDescriptor::ReceiverHosted(ReceiverRef { args: Some(_), awaited: false, .. }) => {
                Err("a call in a map is made by `pipeline`, not by `import`".to_owned())
            }
            CapDescriptor::ReceiverHosted(ReceiverRef { id, args, .. }) => {
                self.check_id(*id)?;
                let mut args = args.iter().flat_map(|args| args.refs.iter());
                args.try_for_each(|slot| self.check(&slot.to))
            }
            CapDescriptor::Map(map) => {
                self.check_id(map.id)?;
                map.captures.iter().try_for_each(|capture| self.check(capture))?;
                map.program.as_ref().map(drop).map_err(String::clone)
            }
            _ => Err("an instruction of a map refers to something that is not in it".to_owned()),
        }
    }

    fn check_id(&self, id: Id) -> std::result::Result<(), String> {
        let count = if id < 0 { self.captures } else { self.results };
        if usize::try_from(id.unsigned_abs()).is_ok_and(|id| id <= count) {
            Ok(())
        } else {
            Err(format!("no such variable in a map: {id}"))
        }
    }
}
