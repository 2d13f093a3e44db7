//! How much work one decision may take. Whoever writes a policy and whoever makes a request choose patterns and values;
//! together they must not choose how long everybody else waits.

use std::cell::Cell;
use std::ops::Deref;

use crate::condition::Truth;
use crate::decide::Question;

/// Steps of one decision; one is about a byte compared. Long policies and ordinary values take a few ten thousand; all
/// of them take up to 15 milliseconds (`the_worst_policies` in `tests/time.rs`).
pub(crate) const DECISION_STEPS: usize = 2 << 20;
/// Steps of one explanation, which also looks at what a decision may pass over.
pub(crate) const EXPLANATION_STEPS: usize = 4 * DECISION_STEPS;
/// What asking for the values of a condition key counts as: the request may have thousands of values to look through.
pub(crate) const LOOKUP_STEPS: usize = 1_024;
/// What beginning a comparison counts as.
pub(crate) const COMPARISON_STEPS: usize = 16;

/// The steps that are left.
#[derive(Debug)]
pub(crate) struct Steps(Cell<usize>);

impl Steps {
    pub(crate) const fn new(most: usize) -> Self {
        Self(Cell::new(most))
    }

    /// Takes so many steps, or all that are left.
    pub(crate) fn take(&self, steps: usize) {
        self.0.set(self.0.get().saturating_sub(steps));
    }

    /// Whether none are left. What is compared then comes to nothing, so whoever reads an outcome must ask this after.
    pub(crate) fn are_spent(&self) -> bool {
        self.0.get() == 0
    }

    /// The outcome, if there were steps enough to find it.
    pub(crate) fn tell(&self, truth: Truth) -> Truth {
        if self.are_spent() { Truth::Unknown } else { truth }
    }

    #[cfg(test)]
    pub(crate) fn left(&self) -> usize {
        self.0.get()
    }
}

/// A question, and the steps that its answer may take.
pub(crate) struct Inquiry<'a> {
    question: Question<'a>,
    pub(crate) steps: Steps,
}

impl<'a> Inquiry<'a> {
    pub(crate) const fn new(question: &Question<'a>, steps: usize) -> Self {
        Self { question: *question, steps: Steps::new(steps) }
    }
}

impl<'a> Deref for Inquiry<'a> {
    type Target = Question<'a>;

    fn deref(&self) -> &Self::Target {
        &self.question
    }
}
