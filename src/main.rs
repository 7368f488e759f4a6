//! Parses the command line, runs the command, and prints an error in one line.

use std::io::Write as _;
use std::process::ExitCode;

use pstree_exporter::cli::FlagError;
use pstree_exporter::cli::config::Task;
use pstree_exporter::cli::flags::{Cli, EarlyExit};
use pstree_exporter::cli::logging::{self, LogLevel};
use pstree_exporter::commands::{check, healthcheck, live, roots, serve, tree};

/// Exit status for wrong flags, as in other exporters and in shells.
const USAGE_ERROR: u8 = 2;

fn main() -> ExitCode {
    let cli = match Cli::parse_from_args(std::env::args_os()) {
        Ok(cli) => cli,
        Err(EarlyExit::Print(text)) => {
            // A reader that closes the pipe early, such as head, is not an error.
            let _ = std::io::stdout().write_all(text.as_bytes());
            return ExitCode::SUCCESS;
        }
        Err(EarlyExit::Error(error)) => return usage_error(&error),
    };
    let (log_level, log_format) = (cli.log_level, cli.log_format);
    let task = match cli.resolve(std::env::var("DOCKER_HOST").ok().as_deref()) {
        Ok(task) => task,
        Err(error) => return usage_error(&error),
    };
    let result = match task {
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
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("pstree-exporter: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn usage_error(error: &FlagError) -> ExitCode {
    eprintln!("pstree-exporter: {error}");
    ExitCode::from(USAGE_ERROR)
}
