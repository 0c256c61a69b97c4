//! The metrics' recorder: what any room counts, rendered for Prometheus.

use metrics_exporter_prometheus::{PrometheusBuilder, PrometheusHandle};
use std::sync::OnceLock;

/// The process's recorder; there can be one.
fn recorder() -> &'static PrometheusHandle {
    static RECORDER: OnceLock<PrometheusHandle> = OnceLock::new();
    RECORDER.get_or_init(|| {
        let recorder = PrometheusBuilder::new().build_recorder();
        let handle = recorder.handle();
        // Refused only where another recorder was set first; then this one stays empty.
        drop(metrics::set_global_recorder(recorder));
        handle
    })
}

/// Starts counting.
pub fn start_metrics() {
    recorder();
}

/// Everything counted so far, in Prometheus' text format.
#[must_use]
pub fn render_metrics() -> String {
    recorder().render()
}
