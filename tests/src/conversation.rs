//! A guest that answers each line of its input with one line.

use std::io::{BufRead, BufReader, Write};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};

/// A guest that runs while the test talks with it; it is ended with the conversation.
#[derive(Debug)]
pub struct Conversation {
    child: Child,
    questions: ChildStdin,
    answers: BufReader<ChildStdout>,
}

impl Conversation {
    /// Starts `command`.
    pub fn start(mut command: Command) -> Self {
        let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().expect("the tender starts");
        let questions = child.stdin.take().expect("piped");
        let answers = BufReader::new(child.stdout.take().expect("piped"));
        Self { child, questions, answers }
    }

    /// Says `line` and waits for the answer.
    pub fn ask(&mut self, line: &str) -> String {
        writeln!(self.questions, "{line}").expect("the guest reads");
        let mut answer = String::new();
        self.answers.read_line(&mut answer).expect("the guest answers");
        answer.trim_end().to_owned()
    }
}

impl Drop for Conversation {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
