//! What of the settings and of this machine is not as a product should have it, for `/readyz`.

use crate::config::Settings;
use crate::plugins::Runtime;
use crate::telemetry::HealthNotes;

/// Notes settings that are valid and all the same no good for real customers.
pub(super) fn of_settings(settings: &Settings, health: &HealthNotes) {
    if settings.database.synchronous == "off" {
        health.note(
            "database.synchronous",
            "is \"off\": what was acknowledged is lost when the machine fails; set it to \"full\"",
        );
    }
    if !settings.apps.iter().any(|app| app.environment == "live") {
        return;
    }
    if settings.clock.rate > 1.0 {
        health.note(
            "clock.rate",
            format!(
                "is {}: product time runs ahead, and live connections' tokens and quotas go by it; set it to 1",
                settings.clock.rate
            ),
        );
    }
    let public = settings.http.public_url.as_str();
    let outside = !["://127.", "://localhost", "://[::1]"].iter().any(|local| public.contains(local));
    if !(outside && public.starts_with("https://")) {
        health.note(
            "http.public_url",
            "GHL reaches live apps by https and from outside only; set it to the address that leads here",
        );
    }
}

/// Notes what the machine denies the runtime.
pub(super) fn of_runtime(runtime: &Runtime, health: &HealthNotes) {
    if !runtime.pooled() {
        health.note(
            "plugins",
            "instances come one by one and not from a pool, which is slower: the address space is limited (ulimit -v)",
        );
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::load_text;

    fn noted(text: &str) -> Vec<String> {
        let health = HealthNotes::default();
        of_settings(&load_text(text).unwrap(), &health);
        health.all().into_iter().map(|(about, _)| about).collect()
    }

    fn app(environment: &str) -> String {
        format!(
            "[[app]]\nid = \"a\"\nenvironment = \"{environment}\"\nghl_app_id = \"a\"\ned25519_keys = []\n"
        )
    }

    #[test]
    fn what_is_no_good_for_real_customers_is_noted() {
        assert!(noted("").is_empty());
        assert_eq!(noted("[database]\nsynchronous = \"off\""), ["database.synchronous"]);
        let fast = "[clock]\nrate = 60.0\n";
        assert!(noted(&format!("{fast}{}", app("sandbox"))).is_empty());
        assert_eq!(noted(&format!("{fast}{}", app("live"))), ["clock.rate", "http.public_url"]);
        let public = "[http]\npublic_url = \"https://hooks.example\"\n";
        assert!(noted(&format!("{public}{}", app("live"))).is_empty());
    }
}
