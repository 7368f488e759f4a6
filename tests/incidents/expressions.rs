//! Every expression of every panel, annotation, variable and rule, asked of the Prometheus that the incidents
//! filled: before them all must be understood, and what needs no incident has data; after them all have.

use std::collections::BTreeSet;
use std::time::{SystemTime, UNIX_EPOCH};

use serde_json::Value;

use crate::stack::Stack;
use crate::support::dashboard::{dashboards, recorded};

#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Phase {
    Quiet,
    AfterIncidents,
}

/// Parts of expressions that have no data while all is well, and why.
const NEED_AN_INCIDENT: [(&str, &str); 9] = [
    ("ALERTS", "nothing fires"),
    ("zombie_processes_by_parent", "there are no zombies"),
    ("tree_node_zombies", "there are no zombies"),
    ("oldest_zombie", "there are no zombies"),
    ("zombies:worst3", "there are no zombies"),
    ("kind=\"exec\"", "nobody came in by exec"),
    ("execs:worst3", "nobody came in by exec"),
    ("growth10m:worst3", "nothing grows"),
    ("hits_total", "nothing hit its limit"),
];

/// Recorded only from hours of history on, which `alerts/tests` has.
const NEEDS_HISTORY: &str = "name:pstree_starts:";

/// What was wrong, a line each.
pub fn check(stack: &Stack, factor: u32, phase: Phase) -> Vec<String> {
    let mut wrong = Vec::new();
    let mut asked = 0;
    for dashboard in dashboards() {
        for (place, expression) in dashboard.expressions() {
            asked += 1;
            let query = with_variables(&expression, factor);
            match over_all_time(stack, &query, factor) {
                Err(error) => wrong.push(format!("{place}: {error} in {query}")),
                Ok(0) if is_due(&expression, phase) => wrong.push(format!("{place}: no data for {query}")),
                Ok(_) => {}
            }
        }
        for (place, selector) in dashboard.variable_queries() {
            asked += 1;
            let selector = with_variables(&selector, factor);
            match stack.ask("series", &[("match[]", &selector)]) {
                Err(error) => wrong.push(format!("{place}: {error} in {selector}")),
                Ok(series) if count(&series) == 0 => wrong.push(format!("{place}: no values in {selector}")),
                Ok(_) => {}
            }
        }
    }
    for name in recorded().iter().filter(|name| !name.starts_with(NEEDS_HISTORY)) {
        asked += 1;
        match over_all_time(stack, name, factor) {
            Ok(0) if is_due(name, phase) => wrong.push(format!("{name} was never recorded")),
            Ok(_) => {}
            Err(error) => wrong.push(format!("{name}: {error}")),
        }
    }
    wrong.extend(unhealthy_rules(stack));
    if asked < 50 {
        wrong.push(format!("only {asked} expressions were found"));
    }
    wrong
}

fn is_due(expression: &str, phase: Phase) -> bool {
    phase == Phase::AfterIncidents || !NEED_AN_INCIDENT.iter().any(|(part, _)| expression.contains(part))
}

/// As Grafana does it, with everything chosen.
fn with_variables(expression: &str, factor: u32) -> String {
    let mut query = expression.to_owned();
    let window = format!("{}ms", 40_000 / factor);
    for (name, value) in
        [("$__rate_interval", window.as_str()), ("$__interval", &window), ("$__range", &window)]
    {
        query = query.replace(name, value);
    }
    let mut text = String::new();
    let mut rest = query.as_str();
    while let Some((before, after)) = rest.split_once('$') {
        text += before;
        text += ".+";
        rest =
            after.trim_start_matches(|c: char| c.is_ascii_alphanumeric() || c == '_' || c == '{' || c == '}');
    }
    text + rest
}

/// How many series a range query over the last half hour gives.
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
    let rules = stack.ask("rules", &[]).expect("Prometheus tells its rules");
    let groups = rules["groups"].as_array().into_iter().flatten();
    let rules = groups.flat_map(|group| group["rules"].as_array().into_iter().flatten());
    let unhealthy = rules.filter(|rule| !rule["lastError"].as_str().unwrap_or_default().is_empty());
    unhealthy.map(|rule| format!("{}: {}", rule["name"], rule["lastError"])).collect()
}
