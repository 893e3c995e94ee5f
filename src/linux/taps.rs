//! What programs write, for who follows it, on its way through the pump.

use super::outlet::Standard;
use crate::framing::Framing;
use crate::plan::{Output, ProgramId, Style};

/// The programs that somebody follows, and what they have written since the last look.
pub(super) struct Taps {
    programs: Vec<(ProgramId, String)>,
    /// By their place in the pump.
    streams: Vec<(usize, ProgramId, Framing)>,
    /// Whole lines with the program's name in front.
    out: Vec<(ProgramId, Vec<u8>)>,
}

impl Taps {
    pub(super) fn new() -> Taps {
        Taps { programs: Vec::new(), streams: Vec::new(), out: Vec::new() }
    }

    /// From here on these are followed, and no others.
    pub(super) fn set(&mut self, programs: Vec<(ProgramId, String)>) {
        self.streams.retain(|(_, id, _)| programs.iter().any(|(followed, _)| followed == id));
        self.programs = programs;
    }

    /// A stream is followed from here on, where its program is. It has written this of a line that is not over.
    pub(super) fn begin(&mut self, slot: usize, program: ProgramId, standard: Standard, begun: &[u8]) {
        let is_known = self.streams.iter().any(|(known, ..)| *known == slot);
        let name = self.programs.iter().find(|(id, _)| *id == program).map(|(_, name)| name);
        if let Some(name) = name.filter(|_| !is_known) {
            let style = Style { output: Output::Prefix, timestamps: false };
            let mut framing = Framing::new(name, standard.name(), style);
            framing.pass(begun, "", &mut Vec::new());
            self.streams.push((slot, program, framing));
        }
    }

    /// This has come through a stream.
    pub(super) fn take(&mut self, slot: usize, program: ProgramId, standard: Standard, bytes: &[u8]) {
        self.begin(slot, program, standard, b"");
        let mut lines = Vec::new();
        if let Some((.., framing)) = self.streams.iter_mut().find(|(known, ..)| *known == slot) {
            framing.pass(bytes, "", &mut lines);
        }
        self.put(program, lines);
    }

    /// A stream is over.
    pub(super) fn end(&mut self, slot: usize) {
        if let Some(place) = self.streams.iter().position(|(known, ..)| *known == slot) {
            let (_, program, mut framing) = self.streams.remove(place);
            let mut lines = Vec::new();
            framing.finish("", &mut lines);
            self.put(program, lines);
        }
    }

    fn put(&mut self, program: ProgramId, lines: Vec<u8>) {
        if !lines.is_empty() {
            self.out.push((program, lines));
        }
    }

    /// What has come since the last look.
    pub(super) fn take_out(&mut self) -> Vec<(ProgramId, Vec<u8>)> {
        std::mem::take(&mut self.out)
    }
}
