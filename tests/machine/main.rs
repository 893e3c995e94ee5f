//! Supervisor's rules and what is better than in Supervisor, each with its exact times, on the real loop and a scripted
//! kernel.

mod better;
mod commands;
mod container;
mod probes;
mod rules;
mod script;
