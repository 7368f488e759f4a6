//! The landing page.

/// Nothing but the page's own style.
pub const CONTENT_SECURITY_POLICY: &str = "default-src 'none'; style-src 'unsafe-inline'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'";

/// Version and links, in light and dark.
#[must_use]
pub fn landing(telemetry_path: &str) -> String {
    let path = escape(telemetry_path);
    let version = env!("CARGO_PKG_VERSION");
    let revision = crate::REVISION;
    format!(
        "<!doctype html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n\
         <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n\
         <title>pstree-exporter</title>\n<style>\n\
         :root {{ color-scheme: light dark; }}\n\
         body {{ font: 1rem/1.5 system-ui, sans-serif; max-width: 40rem; margin: 3rem auto; padding: 0 1rem; }}\n\
         h1 {{ font-size: 1.5rem; }}\n\
         a {{ font-weight: 600; }}\n\
         li {{ margin: .4rem 0; }}\n\
         footer {{ margin-top: 2rem; opacity: .7; font-size: .9rem; }}\n\
         </style>\n</head>\n<body>\n<h1>pstree-exporter</h1>\n\
         <p>The process forest of every container on this host, for Prometheus.</p>\n<ul>\n\
         <li><a href=\"{path}\">Metrics</a>: the scrape target</li>\n\
         <li><a href=\"/-/ready\">Ready</a>: whether the snapshot is young enough</li>\n\
         <li><a href=\"/-/healthy\">Healthy</a>: whether this server runs</li>\n</ul>\n\
         <footer>Version {version}, revision {revision}</footer>\n</body>\n</html>\n"
    )
}

fn escape(text: &str) -> String {
    text.replace('&', "&amp;")
        .replace('<', "&lt;")
        .replace('>', "&gt;")
        .replace('"', "&quot;")
        .replace('\'', "&#39;")
}

#[cfg(test)]
mod tests {
    #[test]
    fn a_telemetry_path_cannot_break_the_page() {
        assert!(super::landing("/\"><script>").contains("href=\"/&quot;&gt;&lt;script&gt;\""));
    }
}
