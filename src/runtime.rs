//! The loop: what happened goes to the supervisor, what it decides goes to the kernel.

use crate::event::Event;
use crate::kernel::Kernel;
use crate::supervisor::Supervisor;

/// Runs the container from its start to its end and returns its exit code.
pub fn run(supervisor: &mut Supervisor, kernel: &mut impl Kernel) -> u8 {
    let mut event = Event::Start;
    loop {
        let now = kernel.now();
        log::debug!("{:?} event {event:?}", now.since_start());
        for effect in supervisor.handle(event, now) {
            log::debug!("{:?} effect {effect:?}", now.since_start());
            kernel.perform(effect);
        }
        if let Some(code) = supervisor.exit_code() {
            return code;
        }
        event = kernel.next(supervisor.next_deadline());
    }
}
