//! The results of all checks, as text. Pure.

use std::fmt::Write as _;

/// The result of one check.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Verdict {
    Ok,
    /// Containers can be monitored, but something else is missing.
    Partial,
    /// Containers cannot be monitored.
    Fail,
}

impl Verdict {
    fn label(self) -> &'static str {
        match self {
            Self::Ok => "ok",
            Self::Partial => "partial",
            Self::Fail => "FAIL",
        }
    }
}

/// What was checked, the result, and how to fix it.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Finding {
    subject: &'static str,
    verdict: Verdict,
    message: String,
    /// Empty if there is nothing to fix, or if the message contains it.
    fix: String,
}

/// All findings, in the order of the checks.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Report(Vec<Finding>);

impl Report {
    pub(super) fn ok(&mut self, subject: &'static str, message: impl Into<String>) {
        self.add(subject, Verdict::Ok, message, "");
    }

    pub(super) fn partial(
        &mut self,
        subject: &'static str,
        message: impl Into<String>,
        fix: impl Into<String>,
    ) {
        self.add(subject, Verdict::Partial, message, fix);
    }

    pub(super) fn fail(&mut self, subject: &'static str, message: impl Into<String>, fix: impl Into<String>) {
        self.add(subject, Verdict::Fail, message, fix);
    }

    fn add(
        &mut self,
        subject: &'static str,
        verdict: Verdict,
        message: impl Into<String>,
        fix: impl Into<String>,
    ) {
        self.0.push(Finding { subject, verdict, message: message.into(), fix: fix.into() });
    }

    /// Whether containers can be monitored: no check failed.
    #[must_use]
    pub(super) fn can_monitor(&self) -> bool {
        self.0.iter().all(|finding| finding.verdict < Verdict::Fail)
    }

    /// One line for each finding, and a second one with the fix.
    #[must_use]
    pub(super) fn render(&self) -> String {
        let width = self.0.iter().map(|finding| finding.subject.len()).max().unwrap_or_default();
        let mut text = String::new();
        for Finding { subject, verdict, message, fix } in &self.0 {
            let _ = writeln!(text, "{:<7}  {subject:<width$}  {message}", verdict.label());
            if !fix.is_empty() {
                let _ = writeln!(text, "{:9}{:width$}  fix: {fix}", "", "");
            }
        }
        text
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_failed_check_makes_monitoring_impossible() {
        let mut report = Report::default();
        report.ok("processes", "412");
        report.partial("names", "Docker does not answer", "start it");
        assert!(report.can_monitor());
        report.fail("x", "y", "");
        assert!(!report.can_monitor());
        assert_eq!(
            report.render(),
            "ok       processes  412\n\
             partial  names      Docker does not answer\n                    fix: start it\n\
             FAIL     x          y\n"
        );
    }
}
