//! One probe of one process: when it asks, and what the answers come to, by the rules of a kubelet's worker
//! (`pkg/kubelet/prober/worker.go`).
//!
//! It asks at once and then once a period. Where an answer takes longer than a period, the beats that pass meanwhile
//! count as one. Only so many equal answers in a row change the result. An attempt that could not be made is no answer.

use crate::plan::Probe as Rules;
use crate::time::Time;

/// How often an attempt is made where none can be.
const ATTEMPTS: u32 = 3;

/// A probe at work.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Probe {
    /// Those it has begun with, whatever the plan says by now.
    rules: Rules,
    /// When it is to ask next, or is to have asked.
    beat: Time,
    /// The question that waits for its answer.
    question: Option<Question>,
    /// The last answer, and how many in a row were the same.
    run: Option<(bool, u32)>,
    /// What the answers have come to.
    result: Option<bool>,
    /// The last question could not be asked.
    is_impossible: bool,
}

/// A question without an answer yet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Question {
    /// When it counts as answered badly.
    until: Time,
    /// How often it has been tried.
    attempt: u32,
}

/// What is to be done now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Due {
    /// Nothing.
    Nothing,
    /// To ask.
    Ask,
    /// To wait no longer for the answer.
    TimeOut,
}

/// What an answer has changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Change {
    /// Nothing.
    None,
    /// The result, after so many in a row.
    Result(bool, u32),
}

/// What follows from an attempt that could not be made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Retry {
    /// Another, at once.
    Again,
    /// None until the next beat; whether it is the first time.
    Later { is_news: bool },
}

impl Probe {
    /// One that first asks at `first`.
    pub(super) fn new(rules: Rules, first: Time) -> Probe {
        Probe { rules, beat: first, question: None, run: None, result: None, is_impossible: false }
    }

    /// How often it asks, and how many answers count.
    pub(super) fn rules(&self) -> Rules {
        self.rules
    }

    /// What the answers have come to so far.
    pub(super) fn result(&self) -> Option<bool> {
        self.result
    }

    /// A question waits for its answer.
    pub(super) fn is_asking(&self) -> bool {
        self.question.is_some()
    }

    /// When [`Probe::due`] is to be asked.
    pub(super) fn deadline(&self) -> Time {
        self.question.map_or(self.beat, |question| question.until)
    }

    /// What is to be done at `now`; that it is done is taken for granted.
    pub(super) fn due(&mut self, now: Time) -> Due {
        let rules = self.rules;
        match self.question {
            Some(question) if question.until <= now => Due::TimeOut,
            None if self.beat <= now => {
                let behind = now.since(self.beat).as_nanos() / rules.period.as_nanos().max(1) + 1;
                let behind = u32::try_from(behind).unwrap_or(u32::MAX);
                self.beat = self.beat.after(rules.period.saturating_mul(behind));
                self.question = Some(Question { until: now.after(rules.timeout), attempt: 1 });
                Due::Ask
            }
            Some(_) | None => Due::Nothing,
        }
    }

    /// The answer has come, or has not in time.
    pub(super) fn answered(&mut self, is_success: bool) -> Change {
        let rules = self.rules;
        (self.question, self.is_impossible) = (None, false);
        let count = match self.run {
            Some((last, count)) if last == is_success => count.saturating_add(1),
            Some(_) | None => 1,
        };
        self.run = Some((is_success, count));
        let threshold = if is_success { rules.success_threshold } else { rules.failure_threshold };
        if count < threshold || self.result == Some(is_success) {
            return Change::None;
        }
        self.result = Some(is_success);
        Change::Result(is_success, count)
    }

    /// The attempt could not be made: that is no answer.
    pub(super) fn failed_to_ask(&mut self, now: Time) -> Retry {
        match self.question {
            Some(Question { attempt, .. }) if attempt < ATTEMPTS => {
                self.question = Some(Question { until: now.after(self.rules.timeout), attempt: attempt + 1 });
                Retry::Again
            }
            Some(_) | None => {
                self.question = None;
                let is_news = !std::mem::replace(&mut self.is_impossible, true);
                Retry::Later { is_news }
            }
        }
    }
}
