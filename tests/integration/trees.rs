//! Invariants of trees of generated forests: no process is lost or shown twice, and no line is wider than the terminal.

use std::sync::Arc;
use std::time::Duration;

use proptest::prelude::*;
use pstree_exporter::model::clock::BootClock;
use pstree_exporter::model::forest::stats::ForestStats;
use pstree_exporter::model::process::{Comm, ProcessKey, ProcessState};
use pstree_exporter::model::snapshot::{NamedSnapshot, Snapshot};
use pstree_exporter::model::usage::Usage;
use pstree_exporter::view::diff::diff;
use pstree_exporter::view::json;
use pstree_exporter::view::rows::{Row, RowOptions, Sort, arrange};
use pstree_exporter::view::text::{Line, Section, Style, TextRole, Title, TreeView};
use pstree_exporter::view::tree::{Highlight, Process, Tree, UsageSum};
use unicode_width::UnicodeWidthStr as _;

/// The parent of each process is an earlier process or none.
fn trees() -> impl Strategy<Value = Tree> {
    let process = (any::<prop::sample::Index>(), any::<bool>(), 0..3_usize, 0..4_usize, any::<Vec<u8>>());
    prop::collection::vec(process, 0..60).prop_map(|made| {
        let names: [&[u8]; 3] =
            [b"sh", "\u{4e2d}\u{6587}\x1b[31m".as_bytes(), "a\n\u{2764}\u{fe0f}b".as_bytes()];
        let processes =
            made.into_iter().enumerate().map(|(index, (parent, is_root, name, state, arguments))| Process {
                key: ProcessKey { start_time: 10, pid: 100 + index as u32 },
                parent: (index > 0 && !is_root).then(|| parent.index(index.max(1))),
                pid: 1 + index as u32,
                comm: Comm::new(names[name]),
                state: ProcessState::ALL[state + 2],
                threads: 1 + state as u32,
                usage: Usage { cpu_ticks: 1 << (index % 40), resident_pages: 7 * index as u64 },
                recent_cpu_ticks: Some(1 << (index % 20)),
                kind: None,
                is_terminal_session: false,
                user: Some(name as u32),
                arguments: (arguments.len() > 40).then(|| arguments.into()),
                highlight: Highlight::None,
            });
        Tree { processes: processes.collect() }
    })
}

/// Removes a process; its children become roots.
fn remove(tree: &mut Tree, host_pid: u32) {
    let gone = tree.processes.iter().position(|process| process.key.pid == host_pid).expect("it is there");
    tree.processes.remove(gone);
    for process in &mut tree.processes {
        process.parent = match process.parent {
            Some(parent) if parent == gone => None,
            parent => parent.map(|parent| parent - usize::from(parent > gone)),
        };
    }
}

fn layout(fold: bool) -> RowOptions {
    RowOptions { sort: Sort::Pid, fold, max_depth: None, zombies_only: false }
}

/// The number of processes that the rows represent: the count of each row, multiplied by the counts of its ancestors.
fn represented_processes(rows: &[Row]) -> u64 {
    let mut above: Vec<u64> = Vec::new();
    rows.iter().fold(0, |sum, row| {
        above.truncate(row.depth as usize - 1);
        let times = above.last().copied().unwrap_or(1) * row.count;
        above.push(times);
        sum + times * (1 + row.hidden)
    })
}

proptest! {
    #[test]
    fn every_process_is_in_one_row(tree in trees()) {
        let rows = arrange(&tree, &layout(false));
        let mut shown: Vec<usize> = rows.iter().map(|row| row.process).collect();
        shown.sort_unstable();
        prop_assert_eq!(shown, (0..tree.processes.len()).collect::<Vec<_>>());
        // Each row is below its parent and one level deeper.
        let mut path: Vec<usize> = Vec::new();
        for row in &rows {
            path.truncate(row.depth as usize - 1);
            prop_assert_eq!(tree.processes[row.process].parent, path.last().copied());
            path.push(row.process);
        }
    }

    #[test]
    fn folded_rows_stand_for_every_process(tree in trees(), depth in 1..6_u32) {
        let count = tree.processes.len() as u64;
        prop_assert_eq!(represented_processes(&arrange(&tree, &layout(true))), count);
        prop_assert_eq!(represented_processes(&arrange(&tree, &RowOptions { max_depth: Some(depth), ..layout(true) })), count);
        // Two siblings are never drawn with identical rows, including their descendants.
        let rows = arrange(&tree, &layout(true));
        let looks = |row: &Row| {
            let process = &tree.processes[row.process];
            (row.depth, row.count, process.comm, process.state, process.threads, process.user, process.arguments.clone())
        };
        let branch = |start: usize| {
            let deeper = rows[start + 1..].iter().take_while(|row| row.depth > rows[start].depth);
            let mut branch: Vec<_> = deeper.map(looks).collect();
            // The counts of the two rows may differ.
            let mut own = looks(&rows[start]);
            own.1 = 0;
            branch.insert(0, own);
            branch
        };
        for (number, row) in rows.iter().enumerate() {
            let siblings = (number + 1..rows.len()).take_while(|&next| rows[next].depth >= row.depth);
            for sibling in siblings.filter(|&next| rows[next].depth == row.depth) {
                prop_assert_ne!(branch(number), branch(sibling), "rows {} and {}", number, sibling);
            }
        }
    }

    #[test]
    fn the_usage_of_all_rows_is_that_of_all_processes(tree in trees(), fold: bool) {
        let mut sum = UsageSum::default();
        for row in arrange(&tree, &layout(fold)) {
            sum.total += row.usage.total;
            *sum.recent_cpu_ticks.get_or_insert_default() += row.usage.recent_cpu_ticks.unwrap_or_default();
        }
        let ticks = tree.processes.iter().map(|process| process.usage.cpu_ticks).sum::<u64>();
        let pages = tree.processes.iter().map(|process| process.usage.resident_pages).sum::<u64>();
        let recent = tree.processes.iter().map(|process| u64::from(process.recent_cpu_ticks.unwrap_or_default())).sum::<u64>();
        prop_assert_eq!(sum.total, Usage { cpu_ticks: ticks, resident_pages: pages });
        prop_assert_eq!(sum.recent_cpu_ticks.unwrap_or_default(), recent);
    }

    #[test]
    fn branches_are_sorted_by_what_they_use(tree in trees(), fold: bool, by_memory: bool) {
        let sort = if by_memory { Sort::Memory } else { Sort::Cpu };
        let rows = arrange(&tree, &RowOptions { sort, ..layout(fold) });
        let branch = |start: usize| -> u64 {
            let below = rows[start + 1..].iter().take_while(|row| row.depth > rows[start].depth);
            std::iter::once(&rows[start]).chain(below).filter_map(|row| sort.usage(&row.usage)).sum()
        };
        for (number, row) in rows.iter().enumerate() {
            let mut later = (number + 1..rows.len()).take_while(|&next| rows[next].depth >= row.depth);
            if let Some(next) = later.find(|&next| rows[next].depth == row.depth) {
                prop_assert!(branch(number) >= branch(next), "rows {} and {}", number, next);
            }
        }
        prop_assert_eq!(represented_processes(&rows), tree.processes.len() as u64);
    }

    #[test]
    fn only_branches_with_zombies(tree in trees()) {
        let rows = arrange(&tree, &RowOptions { zombies_only: true, ..layout(false) });
        let zombies = |rows: &[Row]| {
            rows.iter().filter(|row| tree.processes[row.process].state == ProcessState::Zombie).count()
        };
        prop_assert_eq!(zombies(&rows), zombies(&arrange(&tree, &layout(false))));
        // A row that is not a zombie is an ancestor of one, so the next row is below it.
        for (number, row) in rows.iter().enumerate() {
            let is_zombie = tree.processes[row.process].state == ProcessState::Zombie;
            prop_assert!(is_zombie || rows.get(number + 1).is_some_and(|next| next.depth == row.depth + 1));
        }
    }

    #[test]
    fn no_line_is_wider_than_the_terminal_or_steers_it(
        trees in prop::collection::vec(trees(), 0..4), width in 1..120_usize, unicode: bool, from: prop::sample::Index,
    ) {
        let sections = trees.into_iter().map(|tree| {
            let rows = arrange(&tree, &layout(true));
            Section { title: Title::Host, hides_heading: false, commands: vec![Line::of("commands", TextRole::Dim); 3], tree, rows, users: Arc::default() }
        });
        let picture = TreeView(sections.collect());
        let style = Style { unicode, color: false, width: Some(width), host_pids: true, usage: true, highlight_column: false };
        let snapshot = Snapshot {
            clock: BootClock { boot_time: None, ticks_per_second: 100 },
            collected_at_ticks: Some(5000),
            since_previous: Some(Duration::from_secs(1)),
            page_bytes: 4096,
            host: Some(ForestStats::default()),
            ..Snapshot::default()
        };
        let snapshot = NamedSnapshot { snapshot: Arc::new(snapshot), containers: Vec::new() };
        let total = picture.len();
        let lines = picture.draw(0..total, &snapshot, &style);
        prop_assert_eq!(lines.len(), total);
        for line in &lines {
            prop_assert!(line.width() <= width, "{} > {}: {:?}", line.width(), width, line);
            prop_assert!(!line.contains(char::is_control), "{:?}", line);
            prop_assert!(unicode || line.is_ascii(), "{:?}", line);
        }
        // Any range of the view has the expected number of lines.
        let from = from.index(total + 1);
        let to = (from + 7).min(total);
        prop_assert_eq!(picture.draw(from..to, &snapshot, &style).len(), to - from);
    }

    #[test]
    fn diff_marks_added_and_removed_processes_only(tree in trees(), keep in any::<u64>()) {
        let is_kept = |process: &Process| keep >> (process.pid % 64) & 1 == 1;
        let mut now = tree.clone();
        for pid in tree.processes.iter().filter(|process| !is_kept(process)).map(|process| process.key.pid) {
            remove(&mut now, pid);
        }
        let went = diff(&now, &tree);
        prop_assert_eq!(went.processes.len(), tree.processes.len());
        for process in &went.processes {
            let expected = if is_kept(process) { Highlight::None } else { Highlight::Removed };
            prop_assert_eq!(process.highlight, expected);
        }
        let came = diff(&tree, &now);
        prop_assert_eq!(came.processes.len(), tree.processes.len());
        for process in &came.processes {
            let expected = if is_kept(process) { Highlight::None } else { Highlight::Added };
            prop_assert_eq!(process.highlight, expected);
        }
        // Each process is drawn once, without an endless loop.
        prop_assert_eq!(arrange(&went, &layout(false)).len(), tree.processes.len());
    }

    #[test]
    fn json_is_json_with_every_process(tree in trees()) {
        let text = json::tree(&NamedSnapshot::default(), None, &tree);
        let value: serde_json::Value = serde_json::from_slice(&text).expect("JSON");
        let mut left = vec![&value["roots"]];
        let mut count = 0;
        while let Some(list) = left.pop() {
            for process in list.as_array().expect("a list") {
                count += 1;
                left.push(&process["children"]);
            }
        }
        prop_assert_eq!(count, tree.processes.len());
    }
}
