//! A guest that answers each line of its input with one line.

use crate::Running;

/// A guest that runs while the test talks with it; it is ended with the conversation.
#[derive(Debug)]
pub struct Conversation {
    running: Running,
    answers: usize,
}

impl Conversation {
    /// Talks with what was just started.
    pub(crate) fn with(running: Running) -> Self {
        Self { running, answers: 0 }
    }

    /// Says `line` and waits for the answer.
    #[track_caller]
    pub fn ask(&mut self, line: &str) -> String {
        self.answers += 1;
        self.running.say(line).line(self.answers).trim_end().to_owned()
    }
}
