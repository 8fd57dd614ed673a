//! Error numbers of system calls, those of Linux.

use core::num::NonZeroU16;

/// A Linux error number.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Errno(NonZeroU16);

/// Declares the errors that the libos returns, by Linux's names.
macro_rules! errnos {
    ($($name:ident)*) => {
        impl Errno {
            $(
                #[doc = concat!("`", stringify!($name), "` of errno(3).")]
                pub const $name: Self = match NonZeroU16::new(linux_raw_sys::errno::$name as u16) {
                    Some(number) => Self(number),
                    None => panic!("errno 0 means success"),
                };
            )*

            const ALL: &[(Self, &str)] = &[$((Self::$name, stringify!($name)),)*];
        }
    };
}

errnos! {
    EPERM ENOENT ESRCH EINTR EIO ENXIO E2BIG EBADF ECHILD EAGAIN ENOMEM EACCES EFAULT EBUSY EEXIST EXDEV ENODEV ENOTDIR
    EISDIR EINVAL ENFILE EMFILE ENOTTY ETXTBSY EFBIG ENOSPC ESPIPE EROFS EMLINK EPIPE ERANGE EDEADLK ENAMETOOLONG ENOSYS
    ENOTEMPTY ELOOP EOVERFLOW ENOTSOCK EAFNOSUPPORT EOPNOTSUPP ETIMEDOUT EPROTOTYPE
    EPROTONOSUPPORT ESOCKTNOSUPPORT ENOPROTOOPT EIDRM ENOMSG EADDRINUSE EADDRNOTAVAIL ENETUNREACH ENOBUFS EDESTADDRREQ
    ECONNABORTED EINPROGRESS EALREADY ENOTCONN EISCONN ECONNREFUSED ECONNRESET EMSGSIZE
    EHOSTUNREACH EHOSTDOWN ENONET EPROTO
}

impl Errno {
    /// Value of the result register for this error.
    pub const fn to_result(self) -> i64 {
        -(self.0.get() as i64)
    }

    /// The error of this number, if there is one.
    pub fn from_number(number: i64) -> Option<Self> {
        u16::try_from(number).ok().and_then(NonZeroU16::new).map(Self)
    }

    /// Name on Linux.
    pub fn name(self) -> &'static str {
        Self::ALL.iter().find(|(errno, _)| *errno == self).map_or("an unknown error", |(_, name)| name)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_missing_file_is_minus_two() {
        assert_eq!(Errno::ENOENT.to_result(), -2);
    }
}
