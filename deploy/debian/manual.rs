//! Writes the manual pages and the completions for bash, zsh and fish from the flags in clap.
//!
//!     cargo run --example manual -- DIRECTORY

use clap::{Command, CommandFactory as _};
use clap_complete::{Shell, generate, generate_to};
use clap_mangen::Man;
use clap_mangen::roff::{Roff, roman};
use pstree_exporter::cli::flags::Cli;
use std::path::{Path, PathBuf};
use std::{env, fs, io};

const NAME: &str = "pstree-exporter";

fn main() -> io::Result<()> {
    let directory = env::args_os().nth(1).map(PathBuf::from);
    let directory = directory.ok_or_else(|| io::Error::other("give a directory to write to"))?;
    fs::create_dir_all(&directory)?;

    let mut exporter = Cli::command();
    exporter.build();
    for shell in [Shell::Bash, Shell::Zsh] {
        generate_to(shell, &mut Cli::command(), NAME, &directory)?;
    }
    fs::write(directory.join(format!("{NAME}.fish")), fish_completion(&exporter)?)?;
    let mut usages = vec![format!("{NAME} [OPTIONS]")];
    for command in exporter.get_subcommands() {
        let usage = command.clone().render_usage().to_string().replacen("Usage: ", "", 1);
        let (description, variables) = match command.get_name() {
            "tree" => (TREE_DESCRIPTION, [DOCKER_VARIABLE, COLOR_VARIABLE].concat()),
            "roots" => (ROOTS_DESCRIPTION, DOCKER_VARIABLE.to_owned()),
            other => return Err(io::Error::other(format!("no description of {other} here"))),
        };
        let sections = [TREE_EXAMPLES, EXIT_STATUS, ENVIRONMENT, &variables, TREE_SEE_ALSO];
        write_page(command, &usage, description, &sections.concat(), &directory)?;
        usages.push(usage);
    }
    let sections =
        [EXAMPLES, SIGNALS, EXIT_STATUS, ENVIRONMENT, DOCKER_VARIABLE, COLOR_VARIABLE, FILES, SEE_ALSO];
    let description = exporter.get_after_help().map(ToString::to_string).unwrap_or_default();
    write_page(&exporter, &usages.join("\n"), &description, &sections.concat(), &directory)
}

/// The output of clap with other conditions: fish's `argparse` rejects flags with dots, which disables all completions.
fn fish_completion(exporter: &Command) -> io::Result<String> {
    let mut text = Vec::new();
    generate(Shell::Fish, &mut Cli::command(), NAME, &mut text);
    let text = String::from_utf8(text).map_err(io::Error::other)?;
    let start = text.find("\ncomplete ").ok_or_else(|| io::Error::other("nothing to complete in fish"))?;
    let names: Vec<&str> = exporter.get_subcommands().map(Command::get_name).collect();
    Ok(format!("{}{}", FISH_CONDITIONS.replace("@COMMANDS@", &names.join(" ")), &text[start..]))
}

/// A subcommand must be the first argument.
const FISH_CONDITIONS: &str = "\
function __fish_pstree_exporter_needs_command
    not __fish_pstree_exporter_using_subcommand @COMMANDS@
end

function __fish_pstree_exporter_using_subcommand
    set -l words (commandline -opc)
    set -q words[2]; and contains -- $words[2] $argv
end
";

/// Writes one page, with `usage` instead of a synopsis that lists every flag, and with `sections` after those of clap.
fn write_page(
    command: &Command,
    usage: &str,
    description: &str,
    sections: &str,
    directory: &Path,
) -> io::Result<()> {
    let about = command.get_about().map(ToString::to_string).unwrap_or_default();
    let command =
        with_values_in_help(command.clone()).override_usage(usage.to_owned()).about(as_name(&about));
    let page = Man::new(command.clone());

    // Not written by clap_mangen, which omits an empty date, so that all later fields have the wrong position.
    let title = page.get_filename().trim_end_matches(".1").to_uppercase();
    let version = env!("CARGO_PKG_VERSION");
    let mut text = format!(".TH {title} 1 \"\" \"{NAME} {version}\" \"Process forests\"\n").into_bytes();
    page.render_name_section(&mut text)?;
    page.render_synopsis_section(&mut text)?;
    let mut roff = Roff::new();
    roff.control("SH", ["DESCRIPTION"]).text([roman(description)]);
    roff.to_writer(&mut text)?;
    page.render_options_section(&mut text)?;
    if command.has_subcommands() {
        page.render_subcommands_section(&mut text)?;
    }
    let mut text = String::from_utf8(text).map_err(io::Error::other)?;
    // Groups of flags are subsections of OPTIONS, which begins with the flags without a group.
    for heading in command.get_arguments().filter_map(|it| it.get_help_heading()) {
        text = text.replace(&format!(".SH {}\n", heading.to_uppercase()), &format!(".SS {heading}\n"));
    }
    text.push_str(sections);
    fs::write(directory.join(page.get_filename()), text)
}

/// `mandb` requires a phrase, not a sentence.
fn as_name(about: &str) -> String {
    let about = about.trim_end_matches('.');
    let mut letters = about.chars();
    match letters.next() {
        Some(first) if !about.starts_with("Prometheus") => first.to_lowercase().chain(letters).collect(),
        _ => about.to_owned(),
    }
}

/// Writes possible values in brackets, as `--help` does, instead of a list with one line per value.
fn with_values_in_help(command: Command) -> Command {
    command.mut_args(|argument| {
        let values: Vec<String> =
            argument.get_possible_values().iter().map(|value| value.get_name().to_owned()).collect();
        match (argument.get_help().map(ToString::to_string), values.is_empty()) {
            (Some(help), false) if argument.get_action().takes_values() => argument
                .help(format!("{help} [possible values: {}]", values.join(", ")))
                .hide_possible_values(true),
            _ => argument,
        }
    })
}

const TREE_DESCRIPTION: &str = "Draws the processes of containers as forests: roots are processes whose parent is \
    not in the container, marked by how they came in (init, exec, or adopted as orphans). Siblings that are alike are \
    folded: 4*[nginx] are four, and {4} are threads. Neither a running exporter nor any tool in the container is needed.";

const ROOTS_DESCRIPTION: &str = "A root process is one whose parent is not in the container: its init, what came in \
    by exec, and orphans that were adopted.";

const EXAMPLES: &str = r#".SH EXAMPLES
Serve on this machine alone, without names from Docker:
.PP
.EX
    pstree\-exporter \-\-web.listen\-address=127.0.0.1:10073 \-\-no\-docker
.EE
.PP
Look once, without serving:
.PP
.EX
    pstree\-exporter \-\-once | grep ^pstree_container_processes
.EE
.PP
See live what a container is doing, and who leaves zombies behind anywhere:
.PP
.EX
    pstree\-exporter tree \-\-watch shop
    pstree\-exporter tree \-\-zombies
.EE
"#;

const TREE_EXAMPLES: &str = r#".SH EXAMPLES
The container that owns a process of the host, its live view, and its root processes for another tool:
.PP
.EX
    pstree\-exporter tree 27024
    pstree\-exporter tree \-\-watch 0.3 shop
    pstree\-exporter roots shop | xargs \-n1 pstree \-p
.EE
"#;

const SIGNALS: &str = r#".SH SIGNALS
.TP
.BR SIGTERM ", " SIGINT
Answers what was asked, then ends with status 0.
"#;

const EXIT_STATUS: &str = r#".SH EXIT STATUS
.TP
.B 0
Done.
.TP
.B 1
Something that was asked for cannot be had; one line on standard error says what to do.
.TP
.B 2
Wrong flags.
"#;

const ENVIRONMENT: &str = ".SH ENVIRONMENT\n";

const DOCKER_VARIABLE: &str = r#".TP
.B DOCKER_HOST
The Docker API, where
.B \-\-docker.host
is not given.
"#;

const COLOR_VARIABLE: &str = r#".TP
.B NO_COLOR
Trees without colours, unless
.B \-\-color
asks for them.
"#;

const FILES: &str = r#".SH FILES
.TP
.I /etc/default/pstree\-exporter
Flags of the service, in the variable ARGS.
.TP
.IR /proc ", " /sys/fs/cgroup
What is read.
.TP
.IR /var/run/docker.sock ", " /run/podman/podman.sock
Where names are asked for.
.TP
.I /usr/share/pstree\-exporter
Rules for Prometheus and dashboards for Grafana.
.TP
.I /usr/share/doc/pstree\-exporter
README.Debian, which says how to get names and the kernel's counts; runbooks of the alerts.
"#;

const SEE_ALSO: &str = r#".SH SEE ALSO
.BR pstree\-exporter\-tree (1),
.BR pstree\-exporter\-roots (1),
.BR pstree (1),
.BR proc (5),
.BR cgroups (7),
.BR capabilities (7)
"#;

const TREE_SEE_ALSO: &str = r#".SH SEE ALSO
.BR pstree\-exporter (1),
.BR pstree (1),
.BR ps (1)
"#;
