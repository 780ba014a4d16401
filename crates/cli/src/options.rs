//! The command line: options, their help, and what they are parsed to.

use std::ffi::{OsStr, OsString};
use std::path::PathBuf;
use std::time::Duration;

use clap::builder::{OsStringValueParser, PossibleValue, TypedValueParser, ValueParser};
use clap::error::{ContextKind, ContextValue};
use clap::{
    Arg, ArgAction, ArgMatches, Args, Command, CommandFactory as _, FromArgMatches, Parser, Subcommand,
    ValueEnum,
};

use crate::commands::Bin;
use crate::diff;
use crate::mounts::{self, Form, GuestPath, KINDS, Mount, SHORTS, ShortRow};
use crate::quantity;
use crate::sandbox;

const FILES: &str = "Files";
const CHANGES: &str = "Changes";
const GUEST: &str = "Guest";
const LIMITS: &str = "Limits";
const REPORTS: &str = "Reports";

/// The whole command line.
#[derive(Debug, Parser)]
#[command(name = "vnode", version, about = ABOUT, after_help = AFTER_HELP)]
struct Cli {
    #[command(subcommand)]
    action: ActionArgs,
}

#[derive(Debug, Subcommand)]
enum ActionArgs {
    #[command(about = "Run a WebAssembly program", long_about = RUN_ABOUT, after_long_help = RUN_AFTER_HELP)]
    Run(Box<Run>),
    #[command(about = "Keep, see, apply and discard what guests changed", long_about = sandbox::ABOUT, after_long_help = sandbox::AFTER_HELP)]
    Sandbox {
        #[command(subcommand)]
        action: sandbox::Action,
    },
    #[command(about = "Print completions for a shell", long_about = COMPLETIONS_ABOUT)]
    Completions {
        /// Which shell
        shell: clap_complete::Shell,
    },
}

/// What the command line asks for.
#[derive(Debug)]
pub(crate) enum Action {
    Run { options: Box<Run>, mounts: Vec<Mount> },
    Sandbox(sandbox::Action),
    Completions(clap_complete::Shell),
}

/// The options of `vnode run`, but for the mounts.
#[derive(Clone, Debug, Args)]
#[command(override_usage = "vnode run [OPTIONS] <MODULE> [ARGS]...")]
pub(crate) struct Run {
    /// Open one more directory for the guest before it starts, under the name NAME
    ///
    /// Each mount is opened for the guest already, in their order, from descriptor 3 on. "/" is opened only if
    /// there is no mount, or by --preopen /. NAME is GUEST as spelled, if it is not given.
    #[arg(long, value_name = "GUEST[=NAME]", value_parser = preopen(), action = ArgAction::Append, help_heading = FILES, display_order = 100)]
    pub(crate) preopen: Vec<Preopen>,

    /// Start in this directory of the guest's tree
    ///
    /// A program for WASIX is in that directory. For any other it is opened under the name ".", behind all others; wasi-libc doesn't tell "." from
    /// "/": where both are open, a program's absolute paths start in the directory, too.
    #[arg(long, value_name = "GUEST", value_parser = guest_path(), help_heading = FILES, display_order = 101)]
    pub(crate) cwd: Option<GuestPath>,

    /// Keep symbolic links in hidden files where a directory of the host is on a filesystem without links
    ///
    /// As emulate=yes on each --dir and --overlay that says nothing of it. A directory with links has one file more,
    /// .vnode-symlinks, which the guest doesn't see, and is one run's at a time; a filesystem that has links is served as it is. An overlay shows the
    /// links that were kept; those that are made over it are its own. Without this, making a link on such a filesystem
    /// is EPERM, as on Linux.
    #[arg(long, help_heading = FILES, display_order = 99)]
    pub(crate) emulate_symlinks: bool,

    /// Run in the sandbox NAME: it keeps what the guest changes, and what other mounts there are, for the next run
    ///
    /// The first run with a name makes the sandbox, of its --overlay mounts; later ones need no mount, and add those that they
    /// give. One run has it at a time. "vnode help sandbox" tells what can be done with the changes.
    #[arg(long, value_name = "NAME", conflicts_with = "keep", help_heading = CHANGES, display_order = 110)]
    pub(crate) sandbox: Option<String>,

    /// Keep the changes to the overlays as the new sandbox NAME when the guest has ended
    #[arg(long, value_name = "NAME", help_heading = CHANGES, display_order = 111)]
    pub(crate) keep: Option<String>,

    /// Show the changes to the overlays when the guest has ended, on stderr
    #[arg(long, value_name = "FORM", num_args = 0..=1, require_equals = true, default_missing_value = "short", help_heading = CHANGES, display_order = 112)]
    pub(crate) diff: Option<diff::Form>,

    /// Follow links as WASI's own rules say: never out of a preopened directory; for programs of preview 1
    ///
    /// Without it links mean what POSIX says, with the guest's "/" as their root. With it, an absolute link can't
    /// be made, read or followed, and ".." in a link can't leave the directory that the path started from.
    #[arg(long, help_heading = FILES, display_order = 102)]
    pub(crate) strict: bool,

    /// Give the guest the program in FILE as the command NAME, in its /bin
    ///
    /// A program for WASIX can execute it. /bin has these commands and nothing else; what the tree has there is covered.
    /// PATH is /usr/local/bin:/bin:/usr/bin, unless --env says otherwise.
    #[arg(long, value_name = "NAME=FILE", value_parser = bin(), action = ArgAction::Append, value_hint = clap::ValueHint::FilePath, help_heading = FILES, display_order = 103)]
    pub(crate) bin: Vec<Bin>,

    /// Give the guest each .wasm file in DIR as a command, in its /bin under its name without .wasm
    ///
    /// --bin goes over what lies there under the same name.
    #[arg(long, value_name = "DIR", action = ArgAction::Append, value_hint = clap::ValueHint::DirPath, help_heading = FILES, display_order = 104)]
    pub(crate) bin_dir: Vec<PathBuf>,

    /// Set a variable; without VALUE it is taken from vnode's environment
    ///
    /// Nothing else of vnode's environment is seen by the guest.
    #[arg(short, long, value_name = "NAME[=VALUE]", value_parser = variable(), action = ArgAction::Append, help_heading = GUEST)]
    pub(crate) env: Vec<Variable>,

    /// Set the variables that a file lists, one NAME=VALUE a line
    ///
    /// Empty lines and lines that start with # are skipped; a line with only a NAME takes the value from vnode's
    /// environment. Values are taken as they stand, quotes too. --env goes over what files say.
    #[arg(long, value_name = "FILE", action = ArgAction::Append, help_heading = GUEST)]
    pub(crate) env_file: Vec<PathBuf>,

    /// What the guest gets as its own name; MODULE as spelled, if not given
    #[arg(long, value_name = "NAME", help_heading = GUEST)]
    pub(crate) argv0: Option<OsString>,

    /// The user that the guest's files are checked against; 0, who may do all, if not given
    #[arg(short, long, value_name = "UID[:GID[,GROUP...]]", value_parser = user, allow_negative_numbers = true, help_heading = GUEST)]
    pub(crate) user: Option<User>,

    /// Permissions taken off what the guest creates, in octal
    #[arg(long, value_name = "MODE", value_parser = umask, default_value = "022", help_heading = GUEST)]
    pub(crate) umask: u32,

    /// End the guest after this time (10s, 500ms, 2m); the exit code is 124. 0 is no limit
    ///
    /// The time starts with the guest: reading and compiling the module and copying files don't count. What can't be
    /// interrupted, such as memory.fill of gigabytes, is given 200 ms more; then vnode exits all the same.
    #[arg(short, long, value_name = "TIME", value_parser = quantity::duration, allow_negative_numbers = true, help_heading = LIMITS)]
    pub(crate) timeout: Option<Duration>,

    /// Most memory of the guest's programs; 0 is no limit but the 4 GiB of each 32-bit module
    #[arg(long, value_name = "SIZE", value_parser = quantity::bytes, default_value = "0", help_heading = LIMITS)]
    pub(crate) max_memory: u64,

    /// Deepest stack of the guest's program, 64K to 1G
    #[arg(long, value_name = "SIZE", value_parser = stack, default_value = "16M", help_heading = LIMITS)]
    pub(crate) max_stack: usize,

    /// Most elements of the guest's tables; 0 is no limit
    #[arg(long, value_name = "COUNT", value_parser = quantity::count, default_value = "1M", help_heading = LIMITS)]
    pub(crate) max_table: u64,

    /// Most files open at a time; 0 is as many as there can be, 1048576
    #[arg(long, value_name = "COUNT", value_parser = quantity::count, default_value = "1024", help_heading = LIMITS)]
    pub(crate) max_open_files: u64,

    /// Most processes of a guest at a time, ended ones that nobody waited for among them; 0 is as many as there can be, 32766
    ///
    /// What they use of memory and tables counts together, but for memories that threads share: each may grow to
    /// --max-memory.
    #[arg(long, value_name = "COUNT", value_parser = quantity::count, default_value = "64", help_heading = LIMITS)]
    pub(crate) max_processes: u64,

    /// Most bytes in each memory filesystem that has no size= of its own; 0 is no limit
    #[arg(long, value_name = "SIZE", value_parser = quantity::bytes, default_value = "50%", help_heading = LIMITS)]
    pub(crate) max_fs_bytes: u64,

    /// Most files and directories in each memory filesystem that has no inodes= of its own; 0 is no limit
    #[arg(long, value_name = "COUNT", value_parser = quantity::count, default_value = "1M", help_heading = LIMITS)]
    pub(crate) max_fs_inodes: u64,

    /// Most bytes of changes to each overlay that has no size= of its own; 0 is no limit
    ///
    /// Without this, changes in memory have --max-fs-bytes, and those in a directory (upper=) have no limit. What was
    /// kept there by runs before counts.
    #[arg(long, value_name = "SIZE", value_parser = quantity::bytes, help_heading = LIMITS)]
    pub(crate) quota: Option<u64>,

    /// Write a line for each call of the guest with its paths, result and time, to stderr or FILE
    #[arg(long, value_name = "FILE", num_args = 0..=1, require_equals = true, help_heading = REPORTS)]
    #[allow(clippy::option_option, reason = "not given, given, given with a file")]
    pub(crate) trace: Option<Option<PathBuf>>,

    /// Tell at the end what the guest used, on stderr
    #[arg(long, value_name = "FORMAT", num_args = 0..=1, require_equals = true, default_missing_value = "text", help_heading = REPORTS)]
    pub(crate) stats: Option<StatsFormat>,

    /// Say nothing but errors
    #[arg(short, long, help_heading = REPORTS)]
    pub(crate) quiet: bool,

    /// Compile the module anew, and keep nothing of it on disk
    #[arg(long, help_heading = REPORTS)]
    pub(crate) no_cache: bool,

    /// The module, .wasm or .wat, and the guest's arguments; "-" reads it from stdin
    ///
    /// Everything behind MODULE goes to the guest, also what looks like an option.
    #[arg(value_name = "MODULE", required = true, num_args = 1.., trailing_var_arg = true, value_hint = clap::ValueHint::FilePath)]
    command: Vec<OsString>,
}

impl Run {
    /// The module's file; `-` is stdin.
    pub(crate) fn module(&self) -> &OsStr {
        self.command.first().map_or(OsStr::new(""), |module| module)
    }

    /// The guest's arguments, its name not among them.
    pub(crate) fn arguments(&self) -> &[OsString] {
        self.command.get(1..).unwrap_or_default()
    }
}

/// A directory to open for the guest.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Preopen {
    pub(crate) directory: GuestPath,
    pub(crate) name: OsString,
}

/// A variable to set; without a value it is inherited.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Variable {
    pub(crate) name: OsString,
    pub(crate) value: Option<OsString>,
}

/// Who the guest is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct User {
    pub(crate) uid: u32,
    pub(crate) gid: u32,
    pub(crate) groups: Vec<u32>,
}

/// How the figures are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum StatsFormat {
    /// Lines for people
    Text,
    /// One JSON object
    Json,
}

/// The whole command, for parsing, help and completions.
pub(crate) fn command() -> Command {
    Cli::command().mut_subcommand("run", |run| run.args(mount_args()).args(TO_COME.iter().map(to_come)))
}

/// Parses a command line, its first word being the command's name.
///
/// # Errors
/// As clap tells: a mistake, or that help or the version was asked for.
pub(crate) fn parse(words: impl IntoIterator<Item = OsString>) -> Result<Action, clap::Error> {
    let matches = command().try_get_matches_from(words).map_err(with_suggestion)?;
    Ok(match Cli::from_arg_matches(&matches)?.action {
        ActionArgs::Run(options) => {
            let mounts = matches.subcommand_matches("run").map(mounts_in_order).unwrap_or_default();
            Action::Run { options, mounts }
        }
        ActionArgs::Sandbox { action } => Action::Sandbox(action),
        ActionArgs::Completions { shell } => Action::Completions(shell),
    })
}

/// Names the action that is meant where clap finds none alike: letters in another order, a module without `run`.
fn with_suggestion(mut error: clap::Error) -> clap::Error {
    let letters = |word: &str| {
        let mut letters: Vec<char> = word.chars().collect();
        letters.sort_unstable();
        letters
    };
    if let Some(ContextValue::String(word)) = error.get(ContextKind::InvalidSubcommand)
        && error.get(ContextKind::SuggestedSubcommand).is_none()
    {
        let command = command();
        let mut names = command.get_subcommands().map(Command::get_name);
        let meant = if word.ends_with(".wasm") || word.ends_with(".wat") {
            Some(format!("run {word}"))
        } else {
            names.find(|name| letters(name) == letters(word)).map(str::to_owned)
        };
        if let Some(meant) = meant {
            error.insert(ContextKind::SuggestedSubcommand, ContextValue::Strings(vec![meant]));
        }
    }
    error
}

/// Options that are decided on and not served yet, with what to do instead.
const TO_COME: &[(&str, &str, &str)] = &[("bind", "GUEST::GUEST", "bind mounts aren't there yet")];

/// An option that only says that it is not there.
fn to_come(&(name, value, instead): &(&'static str, &'static str, &'static str)) -> Arg {
    let parser = OsStringValueParser::new().try_map(move |_| Err::<OsString, &str>(instead));
    Arg::new(name).long(name).value_name(value).value_parser(parser).hide(true)
}

/// The mount options, made from the table.
fn mount_args() -> Vec<Arg> {
    let mut args: Vec<Arg> = SHORTS.iter().map(short_form).collect();
    args.push(
        mount_arg("mount", FullForm)
            .value_name("type=KIND,...")
            .help("A mount in the full form: type=KIND,dst=GUEST,KEY=VALUE,... (--help lists them)")
            .long_help(mounts::full_form_help())
            .hide_possible_values(true),
    );
    args.into_iter().enumerate().map(|(order, arg)| arg.display_order(order)).collect()
}

fn short_form(row: &'static ShortRow) -> Arg {
    let parser = OsStringValueParser::new().try_map(move |value| Mount::short(row, &value));
    mount_arg(row.option, parser)
        .value_name(row.syntax)
        .help(row.about)
        .long_help(mounts::short_form_help(row))
        .value_hint(match row.form {
            Form::HostGuest => clap::ValueHint::AnyPath,
            Form::Image => clap::ValueHint::FilePath,
            Form::HostOrBoth | Form::Layers | Form::Volume => clap::ValueHint::DirPath,
            Form::Guest | Form::Mapped => clap::ValueHint::Other,
        })
}

fn mount_arg(name: &'static str, parser: impl Into<ValueParser>) -> Arg {
    Arg::new(name).long(name).action(ArgAction::Append).value_parser(parser).help_heading(FILES)
}

/// The mounts in the order in which they stand on the command line.
fn mounts_in_order(matches: &ArgMatches) -> Vec<Mount> {
    let mut found: Vec<(usize, Mount)> = SHORTS
        .iter()
        .map(|row| row.option)
        .chain(["mount"])
        .filter_map(|name| Some(matches.indices_of(name)?.zip(matches.get_many::<Mount>(name)?.cloned())))
        .flatten()
        .collect();
    found.sort_by_key(|(index, _)| *index);
    found.into_iter().map(|(_, mount)| mount).collect()
}

/// Parses the full form, and offers its beginnings to completions.
#[derive(Clone)]
struct FullForm;

impl TypedValueParser for FullForm {
    type Value = Mount;

    fn parse_ref(&self, command: &Command, arg: Option<&Arg>, value: &OsStr) -> Result<Mount, clap::Error> {
        OsStringValueParser::new().try_map(|value| Mount::full(&value)).parse_ref(command, arg, value)
    }

    fn possible_values(&self) -> Option<Box<dyn Iterator<Item = PossibleValue> + '_>> {
        Some(Box::new(KINDS.iter().map(|row| PossibleValue::new(row.start))))
    }
}

fn guest_path() -> impl TypedValueParser<Value = GuestPath> {
    OsStringValueParser::new().try_map(|text| GuestPath::new(&text))
}

fn preopen() -> impl TypedValueParser<Value = Preopen> {
    OsStringValueParser::new().try_map(|text| {
        let (directory, name) = split_at_equals(&text);
        let directory = GuestPath::new(&directory)?;
        let name = match name {
            Some(name) if name.is_empty() => return Err("the name behind = is missing".to_owned()),
            Some(name) => name,
            None => directory.spelled().to_owned(),
        };
        Ok::<_, String>(Preopen { directory, name })
    })
}

fn bin() -> impl TypedValueParser<Value = Bin> {
    OsStringValueParser::new().try_map(|text| Bin::parse(&text))
}

fn variable() -> impl TypedValueParser<Value = Variable> {
    OsStringValueParser::new().try_map(|text| Variable::parse(&text))
}

impl Variable {
    /// Parses `NAME` or `NAME=VALUE`.
    pub(crate) fn parse(text: &OsStr) -> Result<Variable, String> {
        let (name, value) = split_at_equals(text);
        if name.is_empty() {
            return Err("the variable's name is missing".to_owned());
        }
        Ok(Variable { name, value })
    }
}

fn split_at_equals(text: &OsStr) -> (OsString, Option<OsString>) {
    use std::os::unix::ffi::OsStrExt as _;
    let bytes = text.as_bytes();
    match bytes.iter().position(|&byte| byte == b'=') {
        Some(at) => {
            (OsStr::from_bytes(&bytes[..at]).to_owned(), Some(OsStr::from_bytes(&bytes[at + 1..]).to_owned()))
        }
        None => (text.to_owned(), None),
    }
}

fn user(text: &str) -> Result<User, String> {
    let number = |text: &str| text.parse::<u32>().ok().filter(|&id| id != u32::MAX);
    let wrong = || format!("\"{text}\" is no user; write numbers, UID[:GID[,GROUP...]] (1000:1000,20)");
    let (uid, groups) = text.split_once(':').map_or((text, None), |(uid, groups)| (uid, Some(groups)));
    let uid = number(uid).ok_or_else(wrong)?;
    let Some(groups) = groups else { return Ok(User { uid, gid: uid, groups: Vec::new() }) };
    let mut groups = groups.split(',').map(|group| number(group).ok_or_else(wrong));
    let gid = groups.next().ok_or_else(wrong)??;
    Ok(User { uid, gid, groups: groups.collect::<Result<_, _>>()? })
}

fn stack(text: &str) -> Result<usize, String> {
    let size = quantity::bytes(text)?;
    match usize::try_from(size) {
        Ok(size @ 0x1_0000..=0x4000_0000) => Ok(size),
        _ => Err(format!("\"{text}\" is no stack; write 64K to 1G")),
    }
}

fn umask(text: &str) -> Result<u32, String> {
    quantity::mode(text).and_then(|mode| {
        if mode <= 0o777 {
            Ok(mode)
        } else {
            Err(format!("\"{text}\" is no umask; write octal digits up to 777"))
        }
    })
}

const ABOUT: &str = "Runs WebAssembly programs on a POSIX-true filesystem";

const AFTER_HELP: &str = "\
Examples:
  vnode run program.wasm                        an empty filesystem in memory at /
  vnode run --dir . program.wasm                this directory of the host, as the guest's /
  vnode run --overlay . program.wasm            the same, and nothing of it is changed
  vnode run --sandbox try --overlay . program.wasm    the same, kept: vnode sandbox diff try, apply try
  vnode run --copy .::/work program.wasm /work  a copy of this directory at /work
  vnode run --help                              every option, examples, exit codes
  vnode help sandbox                            what to do with what guests changed";

const RUN_ABOUT: &str = "\
Run a WebAssembly program, a command for WASI preview 1 (or wasi_unstable) or WASIX.

The guest has the files that the mount options give it and nothing else: no other file of the host, no environment, \
no network. Without a mount it has an empty filesystem in memory. stdin, stdout and stderr are vnode's own.";

const RUN_AFTER_HELP: &str = "\
Examples:
  vnode run hello.wasm
      An empty filesystem in memory at /, opened for the guest as /.
  vnode run --dir src::/src::ro --dir out::/out --tmpfs /tmp:size=64M cc.wasm -O2 /src/main.c
      The host's src, which stays as it is, its out, and 64 MiB for temporary files. -O2 goes to the
      guest.
  vnode run --copy src::/src tidy.wasm /src
      A copy of src, which the guest may change.
  vnode run --overlay .::/ build.wasm
      This directory, which the guest may change and which stays as it is.
  vnode run --overlay src::/src,upper=changes --quota 1G cc.wasm /src/main.c
      What the guest changes of src is kept in changes, 1 GiB at most; the next run goes on with it.
  vnode run --overlay image=root.tar.gz --cwd /home --user 1000 sh.wasm
      A tree from an archive, which the guest, user 1000 in it, may change; the archive stays as it is.
  vnode run --timeout 10s --stats --trace=calls.txt job.wasm < in > out
      At most 10 seconds; what it used on stderr, every call in calls.txt.
  cat hello.wasm | vnode run - one two
      The module from stdin.

Exit codes:
  0-255  the guest's own
  124    the time was over (--timeout)
  125    vnode: wrong usage, or what an option names can't be set up
  126    vnode: the module is there and can't be run
  127    vnode: there is no such module
  134    the guest trapped; a backtrace is on stderr
  128+N  the guest was ended by signal N (130: Ctrl-C)";

const COMPLETIONS_ABOUT: &str = "\
Print completions for a shell.

  bash:  vnode completions bash > ~/.local/share/bash-completion/completions/vnode
  zsh:   vnode completions zsh > \"${fpath[1]}/_vnode\"
  fish:  vnode completions fish > ~/.config/fish/completions/vnode.fish";

#[cfg(test)]
mod tests {
    use super::*;

    fn run(words: &[&str]) -> (Run, Vec<Mount>) {
        let words = ["vnode", "run"].iter().chain(words).map(OsString::from);
        match parse(words).unwrap() {
            Action::Run { options, mounts } => (*options, mounts),
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn the_definition_is_sound() {
        command().debug_assert();
    }

    #[test]
    fn everything_behind_the_module_is_the_guests() {
        for args in
            [&["--tmpfs", "/x"][..], &["-h"], &["--", "-"], &["--help", "--", "x"], &["a", "--env", "B"]]
        {
            let words: Vec<&str> = ["--quiet", "m.wasm"].iter().chain(args).copied().collect();
            let (options, mounts) = run(&words);
            assert_eq!(options.module(), "m.wasm");
            assert_eq!(options.arguments(), args);
            assert!(mounts.is_empty() && options.quiet);
        }
        assert_eq!(run(&["-", "x"]).0.module(), "-");
        assert_eq!(run(&["--", "--odd.wasm", "--", "x"]).0.arguments(), ["--", "x"]);
    }

    #[test]
    fn mounts_stay_in_order_across_options() {
        let (_, mounts) = run(&[
            "--copy",
            "a::/1",
            "--tmpfs",
            "/2",
            "--mount",
            "type=tmpfs,dst=/3",
            "--tmpfs=/4",
            "--copy",
            "b::5",
            "m",
        ]);
        let guests: Vec<&OsStr> = mounts.iter().map(|mount| mount.guest.spelled()).collect();
        assert_eq!(guests, ["/1", "/2", "/3", "/4", "5"]);
    }

    #[test]
    fn options_with_optional_values_leave_the_module() {
        let (options, _) = run(&["--trace", "--stats", "m.wasm"]);
        assert_eq!(options.trace, Some(None));
        assert_eq!(options.stats, Some(StatsFormat::Text));
        let (options, _) = run(&["--trace=t.txt", "--stats=json", "m.wasm"]);
        assert_eq!(options.trace, Some(Some("t.txt".into())));
        assert_eq!(options.stats, Some(StatsFormat::Json));
        assert_eq!(run(&["m.wasm"]).0.trace, None);
    }

    #[test]
    fn users() {
        assert_eq!(user("5"), Ok(User { uid: 5, gid: 5, groups: vec![] }));
        assert_eq!(user("5:6,7,8"), Ok(User { uid: 5, gid: 6, groups: vec![7, 8] }));
        for bad in ["", ":", "5:", "me", "5:6,", "-1", "4294967295"] {
            assert!(user(bad).is_err(), "{bad}");
        }
        assert!(umask("1000").is_err());
    }
}
