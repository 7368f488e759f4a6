//! The command line: parse, run, say in one line what went wrong.

use std::io::Write as _;
use std::process::ExitCode;

use pstree_exporter::cli::config::Task;
use pstree_exporter::cli::flags::{Cli, Stop};
use pstree_exporter::cli::logging::{self, LogLevel};
use pstree_exporter::commands::{check, healthcheck, live, roots, serve, tree};

/// Wrong flags, as the ecosystem's exporters and the shell have it.
const USAGE_ERROR: u8 = 2;

fn main() -> ExitCode {
    let cli = match Cli::parse_from_args(std::env::args_os()) {
        Ok(cli) => cli,
        Err(Stop::Print(text)) => {
            // A reader that has seen enough is no failure of ours.
            let _ = std::io::stdout().write_all(text.as_bytes());
            return ExitCode::SUCCESS;
        }
        Err(Stop::Refuse(line)) => return refuse(&line),
    };
    let (log_level, log_format) = (cli.log_level, cli.log_format);
    let task = match cli.resolve(std::env::var("DOCKER_HOST").ok().as_deref()) {
        Ok(task) => task,
        Err(line) => return refuse(&line),
    };
    let done = match task {
        Task::Serve(config) => {
            logging::init(log_level, log_format);
            serve::run(config)
        }
        Task::Check(config) => {
            logging::init(LogLevel::Error, log_format);
            match check::run(&config) {
                Ok(true) => Ok(()),
                Ok(false) => return ExitCode::FAILURE,
                Err(error) => Err(error),
            }
        }
        Task::Healthcheck(web) => healthcheck::run(&web),
        Task::Tree(config) => match config.watch {
            Some(period) => live::watch(&config, period),
            None => tree::tree(&config),
        },
        Task::Roots(config) => roots::roots(&config),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("pstree-exporter: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn refuse(line: &str) -> ExitCode {
    eprintln!("pstree-exporter: {line}");
    ExitCode::from(USAGE_ERROR)
}
