//! No list looks through a whole table: each form of each statement is explained by the database.

use super::event_views::{self, EventFilter, EventState};
use super::filter::Filter;
use super::record_views::{self, RecordFilter, RecordPage};
use super::timeline::{self, TimelineFilter, TimelineOrder};
use super::{Store, StoreSettings, moments, runs, story, timing};
use crate::domain::{ObjectKind, TenantId, Timestamp};
use sqlx::Row as _;

/// Every statement of a list or a look, by what it is for.
fn statements() -> Vec<(String, String)> {
    let tenant = TenantId::from("t");
    let mut all: Vec<(String, String)> = Vec::new();
    let mut keep = |name: String, sql: &Filter| all.push((name, sql.sql().to_owned()));
    let at = Some(Timestamp::from_millis(1));
    for order in [TimelineOrder::Written, TimelineOrder::Newest, TimelineOrder::Oldest] {
        for contact in [None, Some("rk".to_owned())] {
            for after in [None, Some((1, 1))] {
                let filter = TimelineFilter {
                    contact: contact.clone(),
                    kind: Some("event".to_owned()),
                    from: at,
                    to: at,
                    order,
                    after,
                };
                keep(format!("timeline {filter:?}"), &timeline::listing(&tenant, &filter, 10));
            }
        }
    }
    keep("timeline of an event".to_owned(), &timeline::of_event(&tenant, 1));
    let states = [
        None,
        Some(EventState::Received),
        Some(EventState::Waiting),
        Some(EventState::Done),
        Some(EventState::Dead),
    ];
    for state in states {
        for tenant in [None, Some(tenant.clone())] {
            for contact in [None, Some("rk".to_owned())] {
                for newest_first in [false, true] {
                    let filter = EventFilter {
                        tenant: tenant.clone(),
                        state,
                        contact: contact.clone(),
                        newest_first,
                        after: Some(5),
                    };
                    for part in event_views::listing(&filter, 10) {
                        keep(format!("events {filter:?}"), &part);
                    }
                }
            }
        }
    }
    let records = [
        RecordFilter { kind: Some(ObjectKind::Contact), ..RecordFilter::default() },
        RecordFilter { page: RecordPage::ById(Some(("a".into(), "b".into()))), ..RecordFilter::default() },
        RecordFilter { page: RecordPage::ByChange((1, 1)), ..RecordFilter::default() },
        RecordFilter { ghl_id: Some("x".into()), ..RecordFilter::default() },
        RecordFilter { email: Some("x".into()), ..RecordFilter::default() },
        RecordFilter { phone: Some("x".into()), ..RecordFilter::default() },
    ];
    for filter in records {
        keep(format!("records {filter:?}"), &record_views::listing(&tenant, &filter, 10));
    }
    keep("record".to_owned(), &record_views::one(&tenant, ObjectKind::Task, "x"));
    keep("runs".to_owned(), &runs::listing(&tenant, None, 5, 10));
    keep("runs of an event".to_owned(), &runs::listing(&tenant, Some(1), 5, 10));
    keep("conflicts".to_owned(), &story::conflicts(&tenant, 5, 10));
    keep("conflicts of an event".to_owned(), &story::conflicts_of(&tenant, 5));
    for (name, sql) in [
        ("rules", timing::rules(timing::LISTING)),
        ("due rules", timing::rules(timing::DUE)),
        ("objects of a range", moments::objects(moments::OF_RANGE)),
        ("objects of rows", moments::objects(moments::OF_ROWS)),
        ("contacts", moments::CONTACTS.to_owned()),
        ("changed moments", moments::CHANGED.to_owned()),
        ("the first moment", moments::FIRST.to_owned()),
    ] {
        all.push((name.to_owned(), sql));
    }
    all
}

#[tokio::test]
async fn no_listing_scans_a_whole_table() {
    let folder = tempfile::tempdir().unwrap();
    let store = Store::open(&StoreSettings::in_folder(folder.path())).await.unwrap();
    let mut faults = Vec::new();
    let mut counted = 0;
    for (name, sql) in statements() {
        let rows = sqlx::query(sqlx::AssertSqlSafe(format!("EXPLAIN QUERY PLAN {sql}")))
            .fetch_all(&store.readers)
            .await
            .unwrap_or_else(|error| panic!("{name}: {error}\n{sql}"));
        counted += 1;
        for row in rows {
            let step: String = row.try_get("detail").unwrap();
            // A list given as JSON, a constant row and rows sorted before are no tables.
            let harmless =
                step.contains("json_each") || step.contains("VIRTUAL TABLE") || step.contains("CONSTANT ROW");
            // What is of one contact, or has one address or id, is little enough to be sorted.
            let few = ["contact: Some", "ghl_id: Some", "email: Some", "phone: Some"];
            let sorts =
                step.contains("TEMP B-TREE FOR ORDER BY") && !few.iter().any(|part| name.contains(part));
            if (step.starts_with("SCAN") && !harmless) || sorts {
                faults.push(format!("{name}: {step}\n    {sql}"));
            }
        }
    }
    assert!(counted > 50, "{counted}");
    assert!(faults.is_empty(), "{}", faults.join("\n"));
}
