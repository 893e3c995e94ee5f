//! The binary: everything is in the library, its entry point too.
#![no_main]

sexton::entry_point!(sexton::run);
