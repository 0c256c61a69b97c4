//! What a file that is no plugin of this host is told, word for word.

use crate::guests::{core_guest, core_text, guest, runtime};
use mapwright::plugins::Limits;

async fn refusal(bytes: &[u8]) -> String {
    runtime().check(bytes, &Limits::default()).await.unwrap_err().to_string()
}

async fn of_text(text: &str) -> String {
    refusal(&wat::parse_str(text).unwrap()).await
}

/// A component that exports one interface with one function of no parameters that gives a number.
fn exporting(interface: &str, function: &str) -> String {
    format!(
        r#"(component
            (core module $m (func (export "f") (result i32) i32.const 0))
            (core instance $i (instantiate $m))
            (func $f (result u32) (canon lift (core func $i "f")))
            (instance $e (export "{function}" (func $f)))
            (export "{interface}" (instance $e)))"#
    )
}

/// A component that imports one interface with one function without parameters.
fn importing(interface: &str, function: &str) -> String {
    format!(r#"(component (import "{interface}" (instance (export "{function}" (func)))))"#)
}

#[tokio::test]
async fn another_version_of_the_contract() {
    let said = "the plugin is built for mapwright:plugin@0.3.0, this host offers 0.1.0: build it with this host's SDK, \
        or deploy it on a host that offers 0.3.0";
    assert_eq!(refusal(&guest("stranger")).await, said);
    assert_eq!(of_text(&exporting("mapwright:plugin/descriptor@0.3.0", "describe")).await, said);
    assert_eq!(of_text(&importing("mapwright:plugin/crm@0.3.0", "contact")).await, said);
}

#[tokio::test]
async fn functions_and_interfaces_that_there_are_not() {
    assert_eq!(
        of_text(&importing("mapwright:plugin/log@0.1.0", "shout")).await,
        "the plugin asks for log.shout, which mapwright:plugin@0.1.0 does not have; there are log.write"
    );
    assert_eq!(
        of_text(&importing("mapwright:plugin/telepathy@0.1.0", "ask")).await,
        "the plugin asks for telepathy, which mapwright:plugin@0.1.0 does not have; there are types, effects, log, crm, \
         rankr, state"
    );
    assert_eq!(
        of_text(&exporting("mapwright:plugin/oracle@0.1.0", "ask")).await,
        "the plugin asks for oracle, which mapwright:plugin@0.1.0 does not have; there are descriptor, mapping, reaction"
    );
}

#[tokio::test]
async fn another_type() {
    let said = of_text(&exporting("mapwright:plugin/descriptor@0.1.0", "describe")).await;
    assert!(said.starts_with("the plugin does not fit the contract mapwright:plugin@0.1.0: "), "{said}");
    assert!(said.contains("mapwright:plugin/descriptor@0.1.0"), "{said}");
    assert!(said.contains("capability-request") && !said.contains("import `plugin`"), "{said}");
}

#[tokio::test]
async fn no_descriptor() {
    assert_eq!(
        of_text("(component)").await,
        "the plugin does not fit the contract mapwright:plugin@0.1.0: it exports no descriptor \
         (mapwright:plugin/descriptor@0.1.0), so nobody knows what it is; the SDK's export_plugin! exports one"
    );
}

#[tokio::test]
async fn another_host() {
    assert_eq!(
        of_text(&exporting("other:host/api@1.0.0", "f")).await,
        "the plugin does not fit the contract mapwright:plugin@0.1.0: it exports other:host/api@1.0.0, which is no \
         interface of mapwright:plugin; was it built for another host?"
    );
    assert_eq!(
        of_text(&importing("other:host/api@1.0.0", "f")).await,
        "the plugin imports other:host/api@1.0.0.f; a plugin may import only interfaces of mapwright:plugin"
    );
}

#[tokio::test]
async fn parts_of_wasi_that_no_plugin_gets() {
    for (interface, function, why) in [
        ("wasi:sockets/tcp@0.2.6", "connect", "a plugin has no network: ask for effects or reads instead"),
        (
            "wasi:http/outgoing-handler@0.2.3",
            "handle",
            "a plugin has no network: ask for effects or reads instead, and build without http",
        ),
        ("wasi:filesystem/preopens@0.2.6", "get-directories", "a plugin has no files"),
        ("wasi:keyvalue/store@0.2.0", "open", "not served: of WASI only io, cli, clocks and random are"),
        (
            "wasi:cli/stdout@0.3.0",
            "get-stdout",
            "only WASI 0.2 is served: build for wasm32-wasip2 or wasm32-unknown-unknown",
        ),
    ] {
        let said = of_text(&importing(interface, function)).await;
        assert_eq!(said, format!("the plugin imports {interface}.{function} ({why})"));
    }
}

#[tokio::test]
async fn a_module_without_its_contract() {
    assert_eq!(
        of_text("(module)").await,
        "the module carries no contract, so nobody knows what it is: build it with the SDK's export_plugin! and \
         `mapwright plugin build`, and keep its component-type sections when stripping it"
    );
}

#[tokio::test]
async fn a_dependency_that_expects_a_browser() {
    let browser = core_text("", "").replacen(
        "(module",
        r#"(module (import "__wbindgen_placeholder__" "__wbg_new_0_f9740686d739025c" (func (result i32)))"#,
        1,
    );
    assert_eq!(
        refusal(&core_guest("hostile", &browser)).await,
        "the module can't be made a component: a dependency expects a browser (wasm-bindgen): switch off its `js` or \
         `wasmbind` feature"
    );
}

#[tokio::test]
async fn a_module_that_lacks_what_its_contract_names() {
    let said = refusal(&core_guest("hostile", r#"(module (memory (export "memory") 1))"#)).await;
    assert!(said.starts_with("the module can't be made a component: "), "{said}");
    assert!(said.contains("mapwright:plugin/"), "{said}");
}

#[tokio::test]
async fn no_webassembly() {
    assert_eq!(
        refusal(b"#!/bin/sh\necho hello\n").await,
        "the file is no whole WebAssembly module or component: it does not begin as a WebAssembly module or component does"
    );
}
