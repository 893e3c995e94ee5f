//! The loop: what happened goes to the supervisor, what it decides goes to the kernel.

use crate::event::Event;
use crate::kernel::Kernel;
use crate::supervisor::Supervisor;
use crate::time::Exact;

/// Runs the container from its start to its end and returns its exit code.
pub fn run(supervisor: &mut Supervisor, kernel: &mut impl Kernel) -> u8 {
    let mut event = Event::Start;
    loop {
        let now = kernel.now();
        let since_start = Exact(now.since_start());
        log::debug!("{since_start} event {event:?}");
        for effect in supervisor.handle(event, now) {
            log::debug!("{since_start} effect {effect:?}");
            kernel.perform(effect);
        }
        if let Some(code) = supervisor.exit_code() {
            return code;
        }
        event = kernel.next(supervisor.next_deadline());
    }
}
