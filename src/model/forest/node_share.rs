//! Limits the nodes of all containers together.

/// The maximum number of nodes per container, so that all containers together stay within `per_host`. The largest
/// containers are reduced first (max-min fairness). At least 1, because every process must be counted in a node.
pub fn max_min_cap(wanted: impl Iterator<Item = usize>, per_container: usize, per_host: usize) -> usize {
    let mut wanted: Vec<usize> = wanted.map(|count| count.min(per_container)).collect();
    if wanted.iter().sum::<usize>() <= per_host {
        return per_container;
    }
    wanted.sort_unstable();
    let mut left = per_host;
    let mut containers = wanted.len();
    for count in wanted {
        let share = left / containers;
        if count > share {
            return share.max(1);
        }
        left -= count;
        containers -= 1;
    }
    per_container
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn small_containers_keep_their_nodes_when_the_host_is_full() {
        let share = |wanted: &[usize], per_host| max_min_cap(wanted.iter().copied(), 50, per_host);
        assert_eq!(share(&[10, 20, 50], 100), 50);
        assert_eq!(share(&[10, 90, 90], 100), 45);
        assert_eq!(share(&[2; 2000], 2000), 1);
        assert_eq!(share(&[2; 3000], 2000), 1);
        assert_eq!(share(&[], 2000), 50);
    }
}
