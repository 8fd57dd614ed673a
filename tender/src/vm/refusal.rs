//! What a program cannot have in a unikernel, in words for its user: each says what to do instead.

use husk_abi::call::notice;
use std::borrow::Cow;

/// Linux system calls that start processes, by number.
const CALLS: [(u64, &str); 5] = [(56, "clone"), (57, "fork"), (58, "vfork"), (59, "execve"), (322, "execveat")];

/// Explains a notice about something that the program asked for and did not get; `None` for any other notice.
pub fn explain(notice: u64, value: u64) -> Option<Cow<'static, str>> {
    let call = CALLS.iter().find(|(number, _)| *number == value).map_or("a system call", |(_, name)| name);
    Some(match notice {
        notice::EXECUTION_REFUSED => "asked for memory that it can execute, which no guest gets (EACCES): all code is in the \
                                      image; switch its just-in-time compiler off, if it does not do so itself"
            .into(),
        notice::PROCESS_REFUSED => format!(
            "tried to start another program ({call}: ENOSYS): a unikernel is one program; use a thread or a library for it, \
             or run the other program as a guest of its own"
        )
        .into(),
        notice::WATCH_LIMITED => "watches files in a folder of the host (inotify_add_watch): it learns of what it does there itself, \
                                  not of changes by the host: let it look at them from time to time, as with a setting for \
                                  polling"
            .into(),
        notice::LOOPBACK_ONLY => format!(
            "refused a client at port {port} because it listens on its loopback interface only, which nothing outside of the \
             guest reaches: let it listen on 0.0.0.0:{port} or [::]:{port}",
            port = value & 0xffff
        )
        .into(),
        notice::MAPPING_REFUSED => "tried to map a file of --files as shared memory (mmap: ENODEV), which the host may change \
                                    meanwhile: keep such files on a disk, with --block NAME=FILE and --mount NAME:PATH; SQLite \
                                    needs none with locking_mode=EXCLUSIVE"
            .into(),
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whatever_a_guest_gives_as_value_is_explained_or_not_at_all() {
        for value in [0, 56, 58, 7000, u64::MAX] {
            assert_eq!(explain(notice::MEMORY_REFUSED, value), None);
            assert_eq!(explain(u64::MAX, value), None);
            assert!(explain(notice::PROCESS_REFUSED, value).is_some_and(|text| text.contains("one program")));
        }
        assert!(explain(notice::PROCESS_REFUSED, 56).is_some_and(|text| text.contains("(clone: ENOSYS)")));
        assert!(explain(notice::WATCH_LIMITED, 254).is_some_and(|text| text.contains("from time to time")));
        assert!(explain(notice::LOOPBACK_ONLY, 7000).is_some_and(|text| text.contains("0.0.0.0:7000")));
    }
}
