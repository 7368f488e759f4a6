//! Queries every expression of every panel, annotation, variable and rule. Before the incidents, Prometheus must accept
//! all of them, and those that need no incident must have data. After the incidents all must have data, except those
//! about broken exporters.

use std::collections::BTreeSet;
use std::time::{SystemTime, UNIX_EPOCH};

use serde_json::Value;

use crate::stack::Stack;
use crate::support::dashboard::{dashboards, recorded};

#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Phase {
    Quiet,
    AfterIncidents,
}

/// Parts of expressions that have no data without an incident, and the reason.
const NEED_AN_INCIDENT: [(&str, &str); 17] = [
    ("ALERTS", "nothing fires"),
    ("parent!=\"\"", "nothing has a child"),
    ("nodes_folded_total", "no tree is cut; the counter is compared with 0"),
    ("zombie_processes_by_parent", "there are no zombies"),
    ("tree_node_zombies", "there are no zombies"),
    ("oldest_zombie", "there are no zombies"),
    ("zombies:worst3", "there are no zombies"),
    ("kind=\"exec\"", "nobody came in by exec"),
    ("execs:worst3", "nobody came in by exec"),
    ("terminal_session", "nobody came in with a terminal"),
    ("growth10m:worst3", "nothing grows"),
    ("command_forks_total", "nothing forks"),
    ("command_starts:worst3", "nothing forks"),
    ("command_execs_total", "nothing is executed"),
    ("command_exits_total", "nothing fails"),
    ("oom_kills_total", "nothing exceeds its memory limit"),
    ("hits_total", "nothing hit its limit"),
];

/// Parts that have no data even after the incidents, because they are about broken exporters. Both work.
const NEED_A_BROKEN_EXPORTER: [(&str, &str); 6] = [
    ("job=~\"pstree.*\"} == 0", "both are scraped"),
    ("pstree_collector_success{job=~\"$job\",instance=~\"$instance\"} == 0", "no collector fails"),
    ("reason!=\"flag\"", "the one without BPF was told so"),
    ("pstree_source_partial{job=~\"$job\",instance=~\"$instance\"}) == 1", "both see all"),
    ("pstree_docker_up{job=~\"$job\",instance=~\"$instance\"}) == 0", "Docker answers"),
    ("name=\"\",alertname!=\"PstreeHostPidsExhausted\"", "no alert is about an exporter"),
];

/// What is usual is recorded only after hours of history; `alerts/tests` checks it.
fn needs_history(name: &str) -> bool {
    name.starts_with("workload:") || name.ends_with(":usual")
}

/// Returns the errors, one line each.
pub(crate) fn check(stack: &Stack, factor: u32, phase: Phase) -> Vec<String> {
    let mut wrong = Vec::new();
    let mut queried = 0;
    for dashboard in dashboards() {
        for (place, expression) in dashboard.expressions() {
            queried += 1;
            let query = with_variables(&expression, factor);
            match over_all_time(stack, &query, factor) {
                Err(error) => wrong.push(format!("{place}: {error} in {query}")),
                Ok(0) if must_have_data(&expression, phase) => {
                    wrong.push(format!("{place}: no data for {query}"));
                }
                Ok(_) => {}
            }
        }
        for (place, selector) in dashboard.variable_queries() {
            queried += 1;
            let selector = with_variables(&selector, factor);
            match stack.ask("series", &[("match[]", &selector)]) {
                Err(error) => wrong.push(format!("{place}: {error} in {selector}")),
                Ok(series) if count(&series) == 0 => wrong.push(format!("{place}: no values in {selector}")),
                Ok(_) => {}
            }
        }
    }
    for name in recorded().iter().filter(|name| !needs_history(name)) {
        queried += 1;
        match over_all_time(stack, name, factor) {
            Ok(0) if must_have_data(name, phase) => wrong.push(format!("{name} was never recorded")),
            Ok(_) => {}
            Err(error) => wrong.push(format!("{name}: {error}")),
        }
    }
    wrong.extend(unhealthy_rules(stack));
    if queried < 50 {
        wrong.push(format!("only {queried} expressions were found"));
    }
    wrong
}

fn must_have_data(expression: &str, phase: Phase) -> bool {
    let has_one_of = |parts: &[(&str, &str)]| parts.iter().any(|(part, _)| expression.contains(part));
    !has_one_of(&NEED_A_BROKEN_EXPORTER) && (phase == Phase::AfterIncidents || !has_one_of(&NEED_AN_INCIDENT))
}

/// Replaces variables as Grafana does, with everything selected. `$1` in `label_replace` is not a variable.
fn with_variables(expression: &str, factor: u32) -> String {
    let milliseconds = (40_000 / factor).to_string();
    let window = format!("{milliseconds}ms");
    let mut query = String::new();
    let mut rest = expression;
    while let Some((before, after)) = rest.split_once('$') {
        query += before;
        let after = after.strip_prefix('{').unwrap_or(after);
        let end = after.find(|c: char| !c.is_ascii_alphanumeric() && c != '_').unwrap_or(after.len());
        let (name, behind) = after.split_at(end);
        rest = behind.strip_prefix('}').unwrap_or(behind);
        match name {
            "__rate_interval" | "__interval" | "__range" => query += &window,
            "__interval_ms" => query += &milliseconds,
            _ if name.starts_with(|c: char| c.is_ascii_digit()) => query += &format!("${name}"),
            _ => query += ".*",
        }
    }
    query + rest
}

/// The number of series that a range query over the last half hour returns.
fn over_all_time(stack: &Stack, query: &str, factor: u32) -> Result<usize, String> {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).expect("after 1970").as_secs_f64();
    let step = 10.0 / f64::from(factor);
    let range = [("start", (now - 1800.0).to_string()), ("end", now.to_string()), ("step", step.to_string())];
    let mut parameters = vec![("query", query)];
    parameters.extend(range.iter().map(|(key, value)| (*key, value.as_str())));
    stack.ask("query_range", &parameters).map(|data| count(&data["result"]))
}

fn count(list: &Value) -> usize {
    list.as_array().map_or(0, Vec::len)
}

/// Rules that Prometheus could not evaluate.
fn unhealthy_rules(stack: &Stack) -> BTreeSet<String> {
    let rules = stack.ask("rules", &[]).expect("Prometheus returns its rules");
    let groups = rules["groups"].as_array().into_iter().flatten();
    let rules = groups.flat_map(|group| group["rules"].as_array().into_iter().flatten());
    let unhealthy = rules.filter(|rule| !rule["lastError"].as_str().unwrap_or_default().is_empty());
    unhealthy.map(|rule| format!("{}: {}", rule["name"], rule["lastError"])).collect()
}
