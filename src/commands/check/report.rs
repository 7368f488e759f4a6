//! What a check has found, as text. Pure.

use std::fmt::Write as _;

/// How well one thing works here.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Verdict {
    Good,
    /// The main job is done, and something beside it is missing.
    Partial,
    /// The main job, the forest of every container of this machine, cannot be done.
    Bad,
}

impl Verdict {
    fn word(self) -> &'static str {
        match self {
            Self::Good => "ok",
            Self::Partial => "partly",
            Self::Bad => "NO",
        }
    }
}

/// One thing, what is with it, and what to do about it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding {
    pub subject: &'static str,
    pub verdict: Verdict,
    pub what: String,
    /// Empty where nothing is to be done, or `what` has it already.
    pub remedy: String,
}

/// All findings, in the order of what builds on what.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Report(Vec<Finding>);

impl Report {
    pub fn good(&mut self, subject: &'static str, what: impl Into<String>) {
        self.add(subject, Verdict::Good, what, "");
    }

    pub fn partial(&mut self, subject: &'static str, what: impl Into<String>, remedy: impl Into<String>) {
        self.add(subject, Verdict::Partial, what, remedy);
    }

    pub fn bad(&mut self, subject: &'static str, what: impl Into<String>, remedy: impl Into<String>) {
        self.add(subject, Verdict::Bad, what, remedy);
    }

    fn add(
        &mut self,
        subject: &'static str,
        verdict: Verdict,
        what: impl Into<String>,
        remedy: impl Into<String>,
    ) {
        self.0.push(Finding { subject, verdict, what: what.into(), remedy: remedy.into() });
    }

    /// Whether the main job can be done.
    #[must_use]
    pub fn is_fit(&self) -> bool {
        self.0.iter().all(|finding| finding.verdict < Verdict::Bad)
    }

    /// A line for each finding, with a second one where something is to be done.
    #[must_use]
    pub fn render(&self) -> String {
        let width = self.0.iter().map(|finding| finding.subject.len()).max().unwrap_or_default();
        let mut text = String::new();
        for Finding { subject, verdict, what, remedy } in &self.0 {
            let _ = writeln!(text, "{:<6}  {subject:<width$}  {what}", verdict.word());
            if !remedy.is_empty() {
                let _ = writeln!(text, "{:8}{:width$}  to mend: {remedy}", "", "");
            }
        }
        text
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_is_bad_makes_it_unfit() {
        let mut report = Report::default();
        report.good("processes", "412");
        report.partial("names", "Docker does not answer", "start it");
        assert!(report.is_fit());
        report.bad("x", "y", "");
        assert!(!report.is_fit());
        assert_eq!(
            report.render(),
            "ok      processes  412\n\
             partly  names      Docker does not answer\n                   to mend: start it\n\
             NO      x          y\n"
        );
    }
}
