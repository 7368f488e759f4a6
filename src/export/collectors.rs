//! Groups of families that a flag switches off, and that a scrape selects with `collect[]`.

use super::catalog::{Family, Id, Scope};

/// A group of families.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Collector {
    /// Families of containers and of the host that are always exported.
    Processes,
    States,
    Depth,
    Tree,
    Exits,
    Commands,
    Lifetimes,
    Sessions,
    Usage,
    Pods,
}

impl Collector {
    /// Those that a flag switches on or off.
    pub const SWITCHABLE: [Self; 9] = [
        Self::States,
        Self::Depth,
        Self::Tree,
        Self::Exits,
        Self::Commands,
        Self::Lifetimes,
        Self::Sessions,
        Self::Usage,
        Self::Pods,
    ];

    /// Whether it is enabled without a flag.
    #[must_use]
    pub fn is_default(self) -> bool {
        self != Self::Usage
    }

    /// The name in flags and in `collect[]`.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Processes => "processes",
            Self::States => "states",
            Self::Depth => "depth",
            Self::Tree => "tree",
            Self::Exits => "exits",
            Self::Commands => "commands",
            Self::Lifetimes => "lifetimes",
            Self::Sessions => "sessions",
            Self::Usage => "usage",
            Self::Pods => "pods",
        }
    }

    /// The collector with this name.
    #[must_use]
    pub fn from_name(name: &str) -> Option<Self> {
        std::iter::once(Self::Processes).chain(Self::SWITCHABLE).find(|it| it.name() == name)
    }

    /// The collector of a family; `None` for the families of the exporter itself, which are always exported.
    #[must_use]
    pub fn of(family: &Family, id: Id) -> Option<Self> {
        Some(match id {
            Id::ContainerProcessesByState => Self::States,
            Id::ContainerProcessesByDepth => Self::Depth,
            Id::ContainerNodeProcesses | Id::ContainerNodeZombies => Self::Tree,
            Id::ContainerExits => Self::Exits,
            Id::ContainerCommandForks | Id::ContainerCommandExecs | Id::ContainerCommandExits => {
                Self::Commands
            }
            Id::ContainerLifetime => Self::Lifetimes,
            Id::ContainerNodeCpu | Id::ContainerNodeResident => Self::Usage,
            Id::ContainerTerminalSessions | Id::ContainerOldestTerminalSession => Self::Sessions,
            _ => match family.scope {
                Scope::Pod => Self::Pods,
                Scope::Container | Scope::Host => Self::Processes,
                Scope::Exporter => return None,
            },
        })
    }
}

/// A set of collectors.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Collectors(u16);

impl Default for Collectors {
    /// The collectors that are enabled without a flag.
    fn default() -> Self {
        let on = Collector::SWITCHABLE.into_iter().filter(|collector| collector.is_default());
        on.fold(Self::NONE.with(Collector::Processes), Self::with)
    }
}

impl Collectors {
    pub const NONE: Self = Self(0);

    #[must_use]
    pub fn with(self, collector: Collector) -> Self {
        Self(self.0 | 1 << collector as u16)
    }

    #[must_use]
    pub fn without(self, collector: Collector) -> Self {
        Self(self.0 & !(1 << collector as u16))
    }

    #[must_use]
    pub fn has(self, collector: Collector) -> bool {
        self.0 & 1 << collector as u16 != 0
    }

    /// Whether a family is exported.
    #[must_use]
    pub fn export(self, family: &Family, id: Id) -> bool {
        Collector::of(family, id).is_none_or(|collector| self.has(collector))
    }

    /// The collectors that the parameters `collect[]` of a query select; `None` without such a parameter.
    ///
    /// # Errors
    /// If a name is unknown, or that of a collector that is not in this set.
    pub fn select(self, names: impl Iterator<Item = String>) -> Result<Option<Self>, CollectorError> {
        let mut selected = None;
        for name in names {
            let collector = Collector::from_name(&name).ok_or(CollectorError::Unknown)?;
            if !self.has(collector) {
                return Err(CollectorError::Disabled(collector.name()));
            }
            selected = Some(selected.unwrap_or(Self::NONE).with(collector));
        }
        Ok(selected)
    }
}

/// Why `collect[]` cannot be used.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CollectorError {
    /// The text does not repeat the name, which can be anything.
    #[error(
        "unknown collector in collect[]; use processes, states, depth, tree, exits, commands, lifetimes, sessions, usage or pods"
    )]
    Unknown,
    #[error("the collector {0} is disabled; enable it with --collector.{0}")]
    Disabled(&'static str),
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::export::catalog::CATALOG;

    #[test]
    fn every_collector_has_a_family_and_a_name_of_its_own() {
        for collector in std::iter::once(Collector::Processes).chain(Collector::SWITCHABLE) {
            let is_of = |(family, &id): (&Family, &Id)| Collector::of(family, id) == Some(collector);
            assert!(CATALOG.iter().zip(Id::ALL).any(is_of), "{}", collector.name());
            assert_eq!(Collector::from_name(collector.name()), Some(collector));
            assert!(CollectorError::Unknown.to_string().contains(collector.name()));
        }
    }

    #[test]
    fn a_selection_is_a_part_of_the_enabled_collectors() {
        let enabled = Collectors::default().without(Collector::Tree);
        let select = |names: &[&str]| enabled.select(names.iter().map(|&name| name.to_owned()));
        assert_eq!(select(&[]), Ok(None));
        let both = Collectors::NONE.with(Collector::States).with(Collector::Pods);
        assert_eq!(select(&["states", "pods", "states"]), Ok(Some(both)));
        assert_eq!(select(&["states", "tree"]), Err(CollectorError::Disabled("tree")));
        assert_eq!(select(&["cpu"]), Err(CollectorError::Unknown));
    }
}
