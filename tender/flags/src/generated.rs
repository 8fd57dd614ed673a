//! The manual page and the completions of `husk` as `husk` itself contains them: the texts take a third of the room that the
//! code takes which makes them. A test compares them with that code's result.

/// The manual page.
pub const MAN: &str = include_str!("../generated/husk.1");

/// Returns the completions for a shell, one of [`crate::completions::SHELLS`]; `None` for another.
pub fn completions(shell: &str) -> Option<&'static str> {
    match shell {
        "bash" => Some(include_str!("../generated/husk.bash")),
        "zsh" => Some(include_str!("../generated/_husk")),
        "fish" => Some(include_str!("../generated/husk.fish")),
        _ => None,
    }
}
