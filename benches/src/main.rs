//! Guest calls on a memory filesystem and an overlay of two, without an engine: what instruction counts and scaling are measured on.
//!
//! `vnode-calls count OPERATION REPETITIONS` makes calls and ends. Run under callgrind with two numbers of
//! repetitions, the difference is what one costs: what comes before the first call cancels out.
//!
//! `vnode-calls scale THREADS MILLISECONDS` lets threads work in directories of their own, each as a process of its
//! own on one filesystem, and prints the operations a second.
//!
//! | module | what |
//! | --- | --- |
//! | [`guest`] | a process with a memory of bytes, and its calls |
//! | [`operations`] | what is counted |
//! | [`scale`] | threads beside each other |

#![allow(clippy::print_stdout, reason = "what it measures is read by the developer's commands")]

mod guest;
mod operations;
mod scale;

use anyhow::{Result, bail};
use std::process::ExitCode;

const USAGE: &str = "usage: vnode-calls list | count OPERATION REPETITIONS | scale THREADS MILLISECONDS";

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let words: Vec<&str> = arguments.iter().map(String::as_str).collect();
    match run(&words) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("vnode-calls: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn run(words: &[&str]) -> Result<()> {
    match words {
        ["list"] => {
            let all = operations::ALL.iter().chain(operations::LAYERED);
            all.for_each(|operation| println!("{}", operation.name));
        }
        ["count", name, repetitions] => operations::repeat(name, repetitions.parse()?)?,
        ["scale", threads, milliseconds] => {
            println!("{:.0}", scale::operations_a_second(threads.parse()?, milliseconds.parse()?)?);
        }
        _ => bail!(USAGE),
    }
    Ok(())
}
