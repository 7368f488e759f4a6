//! The flags `--[no-]collector.NAME`.

use clap::{Arg, ArgAction, ArgMatches, Args, Command, FromArgMatches};

use crate::export::collectors::{Collector, Collectors};

/// The collectors that are enabled.
#[derive(Clone, Copy, Debug)]
pub(crate) struct CollectorFlags(pub(crate) Collectors);

/// The flag that enables a collector, the one that disables it, and the help of the one that changes the default.
fn flags(collector: Collector) -> (&'static str, &'static str, &'static str) {
    match collector {
        Collector::Processes => ("collector.processes", "no-collector.processes", ""),
        Collector::States => ("collector.states", "no-collector.states", "Do not export processes by state"),
        Collector::Depth => ("collector.depth", "no-collector.depth", "Do not export processes by depth"),
        Collector::Tree => ("collector.tree", "no-collector.tree", "Do not export tree nodes"),
        Collector::Exits => ("collector.exits", "no-collector.exits", "Do not export exits by outcome"),
        Collector::Commands => (
            "collector.commands",
            "no-collector.commands",
            "Do not count and export forks, execs and exits by command",
        ),
        Collector::Lifetimes => {
            ("collector.lifetimes", "no-collector.lifetimes", "Do not export the lifetimes of processes")
        }
        Collector::Sessions => {
            ("collector.sessions", "no-collector.sessions", "Do not export terminal sessions")
        }
        Collector::Usage => (
            "collector.usage",
            "no-collector.usage",
            "Export CPU time and memory of the busiest and biggest paths of each container",
        ),
        Collector::Pods => {
            ("collector.pods", "no-collector.pods", "Do not export metrics of Kubernetes pods")
        }
    }
}

impl Args for CollectorFlags {
    fn augment_args(command: Command) -> Command {
        Collector::SWITCHABLE.into_iter().fold(command, |command, collector| {
            let (on, off, help) = flags(collector);
            let flag = |name: &'static str| {
                Arg::new(name).long(name).action(ArgAction::SetTrue).help_heading("Collectors")
            };
            // The help lists only the flag that changes the default. The last of both flags counts.
            let (is_on, help_of) = (collector.is_default(), |shown: bool| if shown { help } else { "" });
            command
                .arg(flag(on).help(help_of(!is_on)).hide(is_on).overrides_with(off))
                .arg(flag(off).help(help_of(is_on)).hide(!is_on).overrides_with(on))
        })
    }

    fn augment_args_for_update(command: Command) -> Command {
        Self::augment_args(command)
    }
}

impl FromArgMatches for CollectorFlags {
    fn from_arg_matches(matches: &ArgMatches) -> Result<Self, clap::Error> {
        let set = |collectors: Collectors, collector| {
            let (on, off, _) = flags(collector);
            match (matches.get_flag(on), matches.get_flag(off)) {
                (true, _) => collectors.with(collector),
                (_, true) => collectors.without(collector),
                _ => collectors,
            }
        };
        Ok(Self(Collector::SWITCHABLE.into_iter().fold(Collectors::default(), set)))
    }

    fn update_from_arg_matches(&mut self, matches: &ArgMatches) -> Result<(), clap::Error> {
        *self = Self::from_arg_matches(matches)?;
        Ok(())
    }
}
