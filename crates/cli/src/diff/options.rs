//! How changes are to be told: options of the command line.

use std::ffi::OsStr;

use clap::builder::{OsStringValueParser, TypedValueParser};
use clap::{ArgAction, Args, ValueEnum};

use crate::mounts::GuestPath;

/// The forms in which changes are told.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub(crate) enum Form {
    /// A line for each path
    #[default]
    Short,
    /// The content that differs, as a patch
    Patch,
    /// How many lines of each file differ
    Stat,
    /// One JSON object
    Json,
}

/// When there are colours.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub(crate) enum Colour {
    /// On a terminal, unless NO_COLOR is set
    #[default]
    Auto,
    /// Always
    Always,
    /// Never
    Never,
}

impl Colour {
    /// Whether there are, on a terminal or elsewhere: by the same variables as the help has them.
    pub(crate) fn is_on(self, is_terminal: bool) -> bool {
        let set = |name| std::env::var_os(name).filter(|value| !value.is_empty());
        match self {
            Colour::Always => true,
            Colour::Never => false,
            Colour::Auto if set("NO_COLOR").is_some() => false,
            Colour::Auto if set("CLICOLOR_FORCE").is_some_and(|value| value != "0") => true,
            Colour::Auto if set("CLICOLOR").is_some_and(|value| value == "0") => false,
            Colour::Auto => is_terminal && set("TERM").is_some_and(|term| term != "dumb"),
        }
    }
}

/// How changes are told, and which of them.
#[derive(Clone, Debug, Default)]
pub(crate) struct DiffOptions {
    pub(crate) form: Form,
    pub(crate) colour: Colour,
    /// The guest's, absolute: what is neither one of them nor below one isn't told; all is if there is none.
    pub(crate) paths: Vec<Vec<u8>>,
}

/// The same as options of a command.
#[derive(Clone, Debug, Args)]
pub(crate) struct DiffArgs {
    /// Show what differs in the files, as a patch that git apply takes
    ///
    /// What a patch has no words for, directories, owners and devices among it, stands in lines that start with #.
    #[arg(short, long, conflicts_with_all = ["stat", "json"])]
    patch: bool,

    /// Count the lines that differ in each file
    #[arg(long, conflicts_with = "json")]
    stat: bool,

    /// Write one JSON object, for programs
    ///
    /// It has "changes", each with "path", "from" if that was another, "kind" (added, removed, renamed, type-changed, modified,
    /// attributes, relinked), "letter", "content_differs", "attributes_differ", and "old" and "new" with "type", "mode",
    /// "uid", "gid", "nlink", "size", "mtime", "target", "rdev"; and "summary", how many of each kind there are. A path that is no UTF-8 has
    /// its bytes in "path_bytes".
    #[arg(long)]
    json: bool,

    /// Colours
    #[arg(long, value_name = "WHEN", default_value = "auto")]
    color: Colour,

    /// Only these, and what is below them: paths of the guest's
    #[arg(value_name = "PATH", value_parser = guest_path(), action = ArgAction::Append)]
    paths: Vec<GuestPath>,
}

fn guest_path() -> impl TypedValueParser<Value = GuestPath> {
    OsStringValueParser::new().try_map(|text| GuestPath::new(OsStr::new(&text)))
}

impl From<&DiffArgs> for DiffOptions {
    fn from(args: &DiffArgs) -> Self {
        let form = match args {
            DiffArgs { patch: true, .. } => Form::Patch,
            DiffArgs { stat: true, .. } => Form::Stat,
            DiffArgs { json: true, .. } => Form::Json,
            _ => Form::Short,
        };
        let paths = args.paths.iter().map(|path| path.absolute().to_vec()).collect();
        DiffOptions { form, colour: args.color, paths }
    }
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    #[derive(Debug, Parser)]
    struct Command {
        #[command(flatten)]
        diff: DiffArgs,
    }

    fn parsed(words: &[&str]) -> Option<DiffOptions> {
        let words = [&["diff"], words].concat();
        Command::try_parse_from(words).ok().map(|command| DiffOptions::from(&command.diff))
    }

    #[test]
    fn one_form_is_chosen() {
        let form = |words: &[&str]| parsed(words).map(|options| options.form);
        assert_eq!(form(&[]), Some(Form::Short));
        assert_eq!(form(&["-p"]), Some(Form::Patch));
        assert_eq!(form(&["--stat"]), Some(Form::Stat));
        assert_eq!(form(&["--json"]), Some(Form::Json));
        assert_eq!(form(&["--json", "--stat"]), None);
        assert_eq!(form(&["--json", "-p"]), None);
        assert_eq!(form(&["--stat", "--patch"]), None);
    }

    #[test]
    fn paths_and_colours_are_taken() {
        let options = parsed(&["--color=never", "work//x/", "/"]).unwrap();
        assert_eq!(options.paths, [&b"/work/x"[..], b"/"]);
        assert_eq!(options.colour, Colour::Never);
        assert!(!options.colour.is_on(true) && Colour::Always.is_on(false));
        assert!(parsed(&["--color=sometimes"]).is_none() && parsed(&["a/.."]).is_none());
    }
}
