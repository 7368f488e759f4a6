//! How a collection went.

/// How one collector's last run went.
#[derive(Clone, Copy, Debug, Default)]
pub struct CollectorRun {
    pub success: bool,
    pub duration: f64,
    /// Unix time.
    pub last_success: Option<f64>,
}

/// How Docker does.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct DockerStatus {
    /// `None` before the first answer, or the first failure to get one.
    pub up: Option<bool>,
    /// Seconds that the last list of containers took.
    pub duration: f64,
    /// Unix time of the last successful list.
    pub last_success: Option<f64>,
}
