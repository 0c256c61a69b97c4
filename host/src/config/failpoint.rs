//! Named points at which a test-support build can be made to die as if the machine had lost its power.

/// Passes this point. In a test-support build, `FAILPOINTS="name=20*off->1*return"` kills the process there with
/// SIGKILL, here at the 21st pass; in a product build it is nothing.
#[inline]
pub fn failpoint(name: &str) {
    #[cfg(feature = "test-support")]
    fail::eval(name, |_| {
        let own = std::process::id().to_string();
        drop(std::process::Command::new("kill").args(["-9", &own]).status());
    });
    #[cfg(not(feature = "test-support"))]
    let _unused_in_a_product_build = name;
}

/// Arms the failpoints that `FAILPOINTS` names, as `name=actions` separated by semicolons.
#[cfg(feature = "test-support")]
pub fn arm() {
    let named = super::variable("FAILPOINTS").unwrap_or_default();
    for (name, actions) in named.split(';').filter_map(|one| one.split_once('=')) {
        if let Err(error) = fail::cfg(name, actions) {
            tracing::error!("failpoint {name} is not armed: {error}");
        }
    }
}
