//! Each write once: whatever happens to the requests, at most one object is made, nothing is lost in silence, and how
//! each effect ends is what a model of the rules says.

use crate::effects::{acting, told};
use crate::system::System;
use serde_json::{Value, json};

/// Cases; each has its own contact and its own faults.
const CASES: u64 = 36;

/// Random numbers that are the same each time: `SplitMix64`.
struct Random(u64);

impl Random {
    fn below(&mut self, bound: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (z ^ (z >> 31)) % bound
    }

    fn pick<T: Copy>(&mut self, from: &[T]) -> T {
        from[usize::try_from(self.below(from.len() as u64)).unwrap()]
    }
}

const STEPS: &[&str] = &["well", "fail-before", "fail-after", "drop-before", "drop-after", "slow", "limited"];
const FINDABLE: &[&str] = &["task", "note", "contact"];

/// How an effect of that kind ends under these faults, and whether its object is there, by the rules.
fn model(what: &str, script: &[&str]) -> (&'static str, bool) {
    let mut made = false;
    let mut doubts = 0;
    for step in script.iter().copied().chain(std::iter::repeat("well")) {
        let (done, known) = match step {
            "well" | "slow" => (true, true),
            "limited" => continue,
            "fail-after" | "drop-after" => (true, false),
            _ => (false, false),
        };
        made |= done;
        if known {
            return ("done", made);
        }
        match what {
            "tag" => {}
            "workflow" => return ("unclear", made),
            // A look finds it, or nothing, and then it is repeated once.
            _ if made => return ("done", made),
            _ => {
                doubts += 1;
                if doubts > 1 {
                    return ("unclear", made);
                }
            }
        }
    }
    unreachable!("the last step goes well")
}

async fn count(system: &System, what: &str, contact: &str, text: &str) -> usize {
    let of = |answer: &Value, list: &str, field: &str| {
        answer[list].as_array().unwrap().iter().filter(|it| it[field] == text).count()
    };
    match what {
        "task" => {
            let all = system.crm("GET", &format!("/contacts/{contact}/tasks"), &json!({})).await;
            of(&all, "tasks", "title")
        }
        "note" => {
            let all = system.crm("GET", &format!("/contacts/{contact}/notes"), &json!({})).await;
            of(&all, "notes", "body")
        }
        "contact" => {
            let query = json!({"locationId": crate::system::LOCATION, "pageLimit": 100});
            let all = system.crm("POST", "/contacts/search", &query).await;
            of(&all, "contacts", "email")
        }
        "tag" => {
            let one = system.crm("GET", &format!("/contacts/{contact}"), &json!({})).await;
            one["contact"]["tags"].as_array().unwrap().iter().filter(|tag| **tag == text).count()
        }
        _ => system.writes("add_contact_to_workflow", contact),
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn each_write_is_done_once_whatever_happens_to_its_requests() {
    let (system, _host, _) = acting().await;
    let seed = 20_260_301;
    let mut random = Random(seed);
    let (mut keys, mut unclear) = (Vec::new(), 0);
    for case in 0..CASES {
        let what = random.pick(&["task", "note", "contact", "tag", "workflow", "task", "contact"]);
        let steps = random.below(4);
        let script: Vec<&str> = (0..steps).map(|_| random.pick(STEPS)).collect();
        let contact = system.create(json!({"email": format!("kim.{case}@example.com")})).await;
        system.settle().await;
        system.script(&script).await;
        let text = match what {
            "contact" => format!("made.{case}@example.com"),
            "tag" => format!("tag-{case}"),
            _ => format!("case {case}"),
        };
        keys.push(format!("case-{case}"));
        let sequence = told(&system, &format!("case-{case}"), &contact, what, &text).await;
        system.settle().await;
        let effects = system.get(&format!("/v1/effects?tenant=t&sequence={sequence}")).await;
        let state = effects["items"][0]["state"].as_str().unwrap();
        let there = count(&system, what, &contact, &text).await;
        let (wanted, made) = model(what, &script);
        let words = format!("seed {seed}, case {case}: {what} under {script:?}: {effects}");
        assert_eq!((state, there), (wanted, usize::from(made)), "{words}");
        assert!(!FINDABLE.contains(&what) || there <= 1, "{words}");
        unclear += usize::from(state == "unclear");
    }
    let (clean, report) = system.check(&keys);
    assert!(clean && report["unclear"] == json!(unclear), "{report}");
    assert!(unclear > 2, "the faults were too few to show anything");
}
