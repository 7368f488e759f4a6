//! The flags `--[no-]collector.NAME`.

use clap::{Arg, ArgAction, ArgMatches, Args, Command, FromArgMatches};

use crate::export::collectors::{Collector, Collectors};

/// The collectors that are enabled.
#[derive(Clone, Copy, Debug)]
pub(crate) struct CollectorFlags(pub(crate) Collectors);

/// The flag that enables a collector, the flag that disables it, and what the latter does.
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
            // All collectors are on, so the help lists only how to switch them off. The last of both flags counts.
            command.arg(flag(on).hide(true).overrides_with(off)).arg(flag(off).help(help).overrides_with(on))
        })
    }

    fn augment_args_for_update(command: Command) -> Command {
        Self::augment_args(command)
    }
}

impl FromArgMatches for CollectorFlags {
    fn from_arg_matches(matches: &ArgMatches) -> Result<Self, clap::Error> {
        let is_off = |collector: &Collector| matches.get_flag(flags(*collector).1);
        let off = Collector::SWITCHABLE.into_iter().filter(is_off);
        Ok(Self(off.fold(Collectors::default(), Collectors::without)))
    }

    fn update_from_arg_matches(&mut self, matches: &ArgMatches) -> Result<(), clap::Error> {
        *self = Self::from_arg_matches(matches)?;
        Ok(())
    }
}
