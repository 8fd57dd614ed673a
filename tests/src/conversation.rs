//! A guest that answers each line of its input with one line.

use crate::Running;

/// A running guest with which the test exchanges lines; dropping the conversation ends the guest.
#[derive(Debug)]
pub struct Conversation {
    running: Running,
    answers: usize,
}

impl Conversation {
    /// Starts a conversation with a running guest.
    pub(crate) fn with(running: Running) -> Self {
        Self { running, answers: 0 }
    }

    /// Sends `line` and returns the answer.
    #[track_caller]
    pub fn ask(&mut self, line: &str) -> String {
        self.answers += 1;
        self.running.say(line).line(self.answers).trim_end().to_owned()
    }
}
