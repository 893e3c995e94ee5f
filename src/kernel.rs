//! All that the outside world can do for the supervisor, and all that it can tell it.
//!
//! Two implement it: `linux`, and the simulated kernel of the tests, which drives the same loop.

use crate::effect::Effect;
use crate::event::Event;
use crate::time::Time;

/// The doors to the outside. Keep them few.
pub trait Kernel {
    /// The time on a clock that never goes backwards.
    fn now(&self) -> Time;

    /// Carries out one effect. Does not block and does not fail: what cannot be done comes back as an event or is said
    /// in the log.
    fn perform(&mut self, effect: Effect);

    /// The next thing that happened; blocks until there is one, at most until `deadline`.
    ///
    /// Answers to effects come first, in the order of the effects. An exit that has happened comes before
    /// [`Event::Tick`] and a signal, but for a storm of exits that does not end; and `Tick` comes only once `deadline` is reached,
    /// then before any younger signal.
    fn next(&mut self, deadline: Option<Time>) -> Event;
}
