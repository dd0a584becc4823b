//! stub
use super::*;
use crate::limits::Limits;
use crate::op::Op;
#[derive(Default)]
pub(crate) struct Speech;
impl Speech {
    pub(crate) fn parse(&mut self, _: &str, _: &Limits, _: &mut dyn Names) -> Result<Option<Op>, Error> {
        Ok(None)
    }
    pub(crate) fn write(&mut self, _: &Op, _: &mut dyn Names, _: &mut String) -> Result<(), Refused> {
        Ok(())
    }
    pub(crate) fn take_reply(&mut self) -> Option<String> {
        None
    }
    pub(crate) fn take_lost(&mut self) -> Option<super::q::Lost> {
        None
    }
    pub(crate) fn reconstruct(&mut self, _: &str) -> Id {
        0
    }
}
pub(crate) fn is_answer(_: &[u8]) -> bool {
    false
}
