//! The tasks of a container and the limit that refuses a fork first, as text.

use crate::model::snapshot::ContainerNumbers;

/// Such as `49 of 100`, or `49 (99 of 100 in a cgroup above)` if the limit belongs to a cgroup above the container.
/// `None` if there is no limit.
pub(crate) fn pids_of_limit(numbers: &ContainerNumbers) -> Option<String> {
    let nearest = numbers.nearest_limit?;
    let of_limit = format!("{} of {}", nearest.current, nearest.limit);
    Some(match numbers.pids_current {
        _ if !nearest.is_above => of_limit,
        Some(own) => format!("{own} ({of_limit} in a cgroup above)"),
        None => format!("{of_limit} in a cgroup above"),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::pids::NearestLimit;

    #[test]
    fn a_limit_is_shown_with_the_tasks_that_it_counts() {
        let text = |pids_current, nearest_limit| {
            pids_of_limit(&ContainerNumbers { pids_current, nearest_limit, ..ContainerNumbers::default() })
        };
        let own = NearestLimit { current: 49, limit: 100, is_above: false };
        let above = NearestLimit { current: 99, limit: 100, is_above: true };
        assert_eq!(text(Some(49), Some(own)).as_deref(), Some("49 of 100"));
        assert_eq!(text(Some(49), Some(above)).as_deref(), Some("49 (99 of 100 in a cgroup above)"));
        assert_eq!(text(None, Some(above)).as_deref(), Some("99 of 100 in a cgroup above"));
        assert_eq!(text(Some(49), None), None);
    }
}
