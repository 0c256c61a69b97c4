//! The self-test: one real read for each scope that a key is said to have, as far as the scope has a read.

use super::pass::{APPOINTMENTS, CALENDARS, Stop, TASKS, no_scope, not_taken};
use crate::domain::{ConnectionId, Timestamp};
use crate::ghl::{Ghl, GhlError, GhlReply, GhlRequest, operation};
use crate::store::DuePolling;
use crate::tenants::NEEDED_SCOPE;
use serde::{Deserialize, Serialize};
use serde_json::{Value as Json, json};

/// What a key could read.
#[derive(Clone, Debug, Serialize, Deserialize, utoipa::ToSchema)]
pub struct SelfTest {
    /// When it was tried, RFC 3339.
    pub tested_at: String,
    /// One step for each scope.
    pub steps: Vec<TestStep>,
    #[serde(skip)]
    errors: Vec<(String, GhlError)>,
}

/// The read for one scope.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct TestStep {
    /// Which scope.
    pub scope: String,
    /// The operation that was tried, by its id in GHL's catalogue.
    pub operation: Option<String>,
    /// What came of it.
    pub outcome: TestOutcome,
    /// GHL's HTTP status, where it refused.
    pub status: Option<u16>,
    /// GHL's sentence, or why nothing was tried; without personal data.
    pub detail: Option<String>,
}

/// What came of a read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "kebab-case")]
pub enum TestOutcome {
    /// GHL answered.
    Ok,
    /// GHL refused: the key or its scope is not good.
    Refused,
    /// GHL could not be asked or failed; it is tried again.
    Failed,
    /// The scope has no read that could be tried.
    Untested,
}

impl SelfTest {
    /// Tries a connection's key, the scope that polling needs first.
    pub(super) async fn run(ghl: &Ghl, due: &DuePolling, now: Timestamp) -> Self {
        let mut test = Self { tested_at: now.to_rfc3339(), steps: Vec::new(), errors: Vec::new() };
        let mut scopes: Vec<&str> = due.scopes.split_whitespace().collect();
        // The calendars come before their appointments: one of them is what is read.
        scopes.sort_by_key(|scope| (*scope != NEEDED_SCOPE, *scope != CALENDARS));
        let mut calendar = None;
        for scope in scopes {
            let request = match read_for(scope, calendar.as_deref(), now) {
                Ok(request) => request,
                Err(why) => {
                    test.untested(scope, why);
                    continue;
                }
            };
            let done = ghl.send(&due.connection, &request, 1).await;
            if let (CALENDARS, Ok(reply)) = (scope, &done) {
                calendar = first_calendar(reply);
            }
            let stop = matches!(done, Err(GhlError::Unauthorized { .. } | GhlError::NoToken(_)));
            test.tried(scope, request.operation.id, done.map(|_reply| ()));
            if stop {
                break;
            }
        }
        test.log(&due.connection);
        test
    }

    fn untested(&mut self, scope: &str, why: &str) {
        self.steps.push(TestStep {
            scope: scope.to_owned(),
            operation: None,
            outcome: TestOutcome::Untested,
            status: None,
            detail: Some(why.to_owned()),
        });
    }

    fn tried(&mut self, scope: &str, operation: &str, done: Result<(), GhlError>) {
        let (outcome, status) = match &done {
            Ok(()) => (TestOutcome::Ok, None),
            Err(GhlError::Unauthorized { .. } | GhlError::MissingScope { .. }) => {
                (TestOutcome::Refused, Some(401))
            }
            Err(GhlError::Refused { status, .. }) => (TestOutcome::Refused, Some(*status)),
            Err(GhlError::NotFound { .. }) => (TestOutcome::Refused, Some(404)),
            Err(GhlError::Failed { status, .. }) => (TestOutcome::Failed, Some(*status)),
            Err(GhlError::RateLimited { .. }) => (TestOutcome::Failed, Some(429)),
            Err(_) => (TestOutcome::Failed, None),
        };
        self.steps.push(TestStep {
            scope: scope.to_owned(),
            operation: Some(operation.to_owned()),
            outcome,
            status,
            detail: done.as_ref().err().map(ToString::to_string),
        });
        if let Err(error) = done {
            self.errors.push((scope.to_owned(), error));
        }
    }

    fn log(&self, connection: &ConnectionId) {
        let count = |outcome| self.steps.iter().filter(|step| step.outcome == outcome).count();
        tracing::info!(
            connection = connection.as_str(),
            ok = count(TestOutcome::Ok),
            refused = count(TestOutcome::Refused),
            failed = count(TestOutcome::Failed),
            untested = count(TestOutcome::Untested),
            "an API key was tested"
        );
    }

    /// The declared scopes without those that GHL says the key lacks.
    pub(super) fn scopes(&self, declared: &str) -> String {
        let lacking = |scope: &str| {
            self.errors
                .iter()
                .any(|(own, error)| own == scope && matches!(error, GhlError::MissingScope { .. }))
        };
        let kept: Vec<&str> = declared.split_whitespace().filter(|scope| !lacking(scope)).collect();
        kept.join(" ")
    }

    /// Whether the first real read worked; what to do if it did not.
    pub(super) fn verdict(&self) -> Result<(), Stop> {
        match self.errors.iter().find(|(scope, _)| scope == NEEDED_SCOPE).map(|(_, error)| error.clone()) {
            None => Ok(()),
            Some(GhlError::Unauthorized { message }) => Err(Stop::Key(not_taken(&message))),
            Some(GhlError::MissingScope { scope, operation }) => Err(Stop::Key(no_scope(&scope, &operation))),
            Some(GhlError::Refused { status: 403, message, .. }) => Err(Stop::Key(format!(
                "the API key is not of this location ({message}): give the key of a private integration that was made \
                 in the location itself"
            ))),
            Some(error) => Err(Stop::Ghl(error)),
        }
    }
}

/// The smallest read that needs the scope.
fn read_for(scope: &str, calendar: Option<&str>, now: Timestamp) -> Result<GhlRequest, &'static str> {
    let call = |id: &str| {
        operation(id).map(|known| GhlRequest::new(known, &[])).ok_or("the catalogue lacks its operation")
    };
    Ok(match scope {
        NEEDED_SCOPE => call("contact_search")?.body(json!({"locationId": "{locationId}", "pageLimit": 1})),
        TASKS => call("location_task_search")?.body(json!({"limit": 1, "skip": 0})),
        "locations/customFields.readonly" => call("location_get_custom_fields")?,
        CALENDARS => call("calendar_get_calendars")?.query("locationId", "{locationId}"),
        APPOINTMENTS => call("calendar_get_calendar_events")?
            .query("locationId", "{locationId}")
            .query("calendarId", calendar.ok_or("there is no calendar whose appointments could be read")?)
            .query("startTime", now.millis().to_string())
            .query("endTime", now.plus(std::time::Duration::from_secs(3600)).millis().to_string()),
        scope if scope.ends_with(".readonly") => return Err("the host has no read for it"),
        _ => return Err("nothing is written to try it"),
    })
}

fn first_calendar(reply: &GhlReply) -> Option<String> {
    reply.json.get("calendars")?.get(0)?.get("id").and_then(Json::as_str).map(str::to_owned)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn test_of(outcomes: Vec<(&str, Result<(), GhlError>)>) -> SelfTest {
        let mut test = SelfTest { tested_at: String::new(), steps: Vec::new(), errors: Vec::new() };
        for (scope, done) in outcomes {
            test.tried(scope, "operation", done);
        }
        test
    }

    fn lacks(scope: &str) -> GhlError {
        GhlError::MissingScope { scope: scope.into(), operation: "operation".into() }
    }

    #[test]
    fn a_scope_the_key_lacks_is_taken_off_and_the_needed_one_stops_it() {
        let test = test_of(vec![(NEEDED_SCOPE, Ok(())), (TASKS, Err(lacks(TASKS)))]);
        assert_eq!(
            test.scopes("contacts.readonly locations/tasks.readonly contacts.write"),
            "contacts.readonly contacts.write"
        );
        assert!(test.verdict().is_ok());
        assert_eq!((test.steps[1].outcome, test.steps[1].status), (TestOutcome::Refused, Some(401)));
        let test = test_of(vec![(NEEDED_SCOPE, Err(lacks(NEEDED_SCOPE)))]);
        assert!(matches!(test.verdict(), Err(Stop::Key(words)) if words.contains(NEEDED_SCOPE)));
    }

    #[test]
    fn a_wrong_key_says_what_to_do_and_a_failure_of_ghl_is_no_wrong_key() {
        let wrong = GhlError::Unauthorized { message: "Invalid Private Integration token".into() };
        let test = test_of(vec![(NEEDED_SCOPE, Err(wrong))]);
        assert!(matches!(test.verdict(), Err(Stop::Key(words)) if words.contains("Private Integrations")));
        let test = test_of(vec![(NEEDED_SCOPE, Err(GhlError::NotSent))]);
        assert!(matches!(test.verdict(), Err(Stop::Ghl(GhlError::NotSent))));
    }

    #[test]
    fn what_writes_is_not_tried() {
        assert_eq!(
            read_for("contacts.write", None, Timestamp::default()),
            Err("nothing is written to try it")
        );
        assert!(read_for(APPOINTMENTS, None, Timestamp::default()).is_err());
        assert!(read_for(APPOINTMENTS, Some("cal"), Timestamp::default()).is_ok());
    }
}
