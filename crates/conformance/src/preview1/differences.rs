//! Where preview 1 is not Linux, by its own rules: the cases that come out otherwise, how, and why.

/// One case that has another outcome through preview 1.
pub(super) struct Difference {
    /// The case's name.
    pub(super) case: &'static str,
    /// The call, with what is expected of it.
    pub(super) call: &'static str,
    /// What it comes to instead.
    pub(super) got: &'static str,
    /// Why.
    pub(super) why: &'static str,
}

/// All of them. One that doesn't come out so is a failure, like any.
pub(super) const DIFFERENCES: &[Difference] = &[
    Difference {
        case: "names: a path of 4096 bytes",
        call: "stat </*4095>f => ENAMETOOLONG",
        got: "{type=file mode=644 nlink=1 uid=0 gid=0 size=1}",
        why: "the C library takes the first slash off, and 4095 bytes are allowed",
    },
    Difference {
        case: "times: read %h 0: d/f is touched",
        call: "touched d/f $t => \"a\"",
        got: "\"\"",
        why: "fd_read is readv(2), which touches nothing when no bytes are asked for; read(2) on tmpfs does",
    },
];

impl Difference {
    /// Whether this is what went wrong.
    pub(super) fn explains(&self, case: &str, why: &str) -> bool {
        case == self.case && why.ends_with(&format!(": {}\n    got {}", self.call, self.got))
    }
}
