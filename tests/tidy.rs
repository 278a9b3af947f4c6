//! House rules that a machine can check: those marked ✓ in ARCHITECTURE.md, and that documents and
//! samples agree with the code.
//!
//! A rule is a function from the repository's files to complaints, each of which says where and
//! what to do. No server is needed, nothing is built or written. [`every_rule_can_be_broken`] shows
//! each rule something that it must not let pass.

#[path = "tidy/repository.rs"]
mod repository;

use std::collections::{BTreeMap, BTreeSet};

use recado_http::Problem;
use recado_service::config::{Fallback, Names, Telemetry};
use recado_types::trigger::TriggerConfig;
use serde_json::Value;

use repository::{Repository, beside, between, extension, has_heading, is_test, table, variables};

type Complaints = Vec<String>;
type Rule = fn(&Repository) -> Complaints;

/// Expects that a rule is kept.
fn keep(rule: Rule) {
    let complaints = rule(&Repository::here());
    assert!(complaints.is_empty(), "\n{}\n", complaints.join("\n"));
}

// --- Dependencies ---------------------------------------------------------------------------

#[test]
fn no_service_depends_on_another() {
    keep(services_that_know_each_other);
}

fn services_that_know_each_other(repository: &Repository) -> Complaints {
    let services: BTreeSet<String> =
        repository.manifests("services/").map(|manifest| manifest.package()).collect();
    let others = repository.manifests("services/").filter(|it| it.package() != "recado");
    others
        .flat_map(|manifest| manifest.dependencies())
        .filter(|dependency| services.contains(&dependency.name))
        .map(|it| format!("{}: {} is a service; services share messages and rows", it.at, it.name))
        .collect()
}

#[test]
fn dependencies_point_up_the_code_map() {
    keep(dependencies_that_point_down);
}

/// The order is that of the table in ARCHITECTURE.md.
fn dependencies_that_point_down(repository: &Repository) -> Complaints {
    let rows = repository.text("ARCHITECTURE.md").lines();
    let map: Vec<&str> = rows.filter_map(|row| between(row, "| `shared/", "` |")).collect();
    let place = |name: &str| map.iter().position(|it| *it == name);
    let mut complaints = Vec::new();
    for manifest in repository.manifests("shared/") {
        let Some(own) = place(manifest.directory()) else {
            complaints.push(format!("{}: is missing in ARCHITECTURE.md's code map", manifest.path));
            continue;
        };
        for dependency in manifest.dependencies().into_iter().filter(|it| !it.is_for_tests) {
            let Some(name) = dependency.name.strip_prefix("recado-") else { continue };
            if place(name).is_none_or(|theirs| theirs >= own) {
                complaints.push(format!("{}: {name} is below it in the code map", dependency.at));
            }
        }
    }
    complaints
}

/// What each outside thing is owned by. Whoever needs it asks the owner.
const OWNERS: [(&str, &str); 7] = [
    ("lapin", "shared/broker"),
    ("tokio-postgres", "shared/store"),
    ("deadpool-postgres", "shared/store"),
    ("refinery", "shared/store"),
    ("redis", "shared/kv"),
    ("prometheus", "shared/metrics"),
    ("recado-testkit", "services/recado"),
];

#[test]
fn each_outside_thing_has_one_owner() {
    keep(things_with_two_owners);
}

/// Not our database but those of tenants, which are read as such: what is ours is out of their reach.
const OF_TENANTS: (&str, &str) = ("tokio-postgres", "services/sources/");

/// The testkit drives the servers themselves, and tests may look where they like.
fn things_with_two_owners(repository: &Repository) -> Complaints {
    let product = repository.manifests("").filter(|it| it.path != "shared/testkit/Cargo.toml");
    let dependencies = product.flat_map(|manifest| manifest.dependencies());
    dependencies
        .filter(|dependency| !dependency.is_for_tests)
        .filter(|it| it.name != OF_TENANTS.0 || !it.at.starts_with(OF_TENANTS.1))
        .filter_map(|dependency| {
            let (name, owner) = OWNERS.iter().find(|(name, _)| *name == dependency.name)?;
            let is_owner = dependency.at.starts_with(&format!("{owner}/"));
            (!is_owner).then(|| format!("{}: {name} belongs to {owner}", dependency.at))
        })
        .collect()
}

#[test]
fn versions_and_lints_are_inherited() {
    keep(manifests_of_their_own_mind);
}

fn manifests_of_their_own_mind(repository: &Repository) -> Complaints {
    let mut complaints = Vec::new();
    for manifest in repository.manifests("services/").chain(repository.manifests("shared/")) {
        if !manifest.text.contains("[lints]\nworkspace = true") {
            complaints.push(format!("{}: needs `[lints] workspace = true`", manifest.path));
        }
        for dependency in manifest.dependencies() {
            let inherits = dependency.line.contains("workspace = true");
            if !inherits || dependency.line.contains("version") {
                let what = "its version belongs in the workspace's Cargo.toml";
                complaints.push(format!("{}: {}: {what}", dependency.at, dependency.name));
            }
        }
    }
    complaints
}

// --- Source -------------------------------------------------------------------------------------

const README_IS_THE_DOCUMENTATION: &str = "#![doc = include_str!(\"../README.md\")]";

#[test]
fn every_module_says_what_it_is_for() {
    keep(modules_without_a_word);
}

fn modules_without_a_word(repository: &Repository) -> Complaints {
    repository
        .rust()
        .filter(|(_, text)| {
            !text.starts_with("//! ") && !text.starts_with(README_IS_THE_DOCUMENTATION)
        })
        .map(|(path, _)| format!("{path}: begins with no `//!` line that says what it is for"))
        .collect()
}

#[test]
fn every_shared_crate_is_documented() {
    keep(shared_crates_without_documentation);
}

fn shared_crates_without_documentation(repository: &Repository) -> Complaints {
    let mut complaints = Vec::new();
    for manifest in repository.manifests("shared/") {
        let root = format!("shared/{}", manifest.directory());
        let library = repository.text(&format!("{root}/src/lib.rs"));
        if !library.starts_with(README_IS_THE_DOCUMENTATION) {
            complaints.push(format!("{root}: README.md is not the crate's documentation"));
        }
        if !library.contains("#![warn(missing_docs)]") {
            complaints.push(format!("{root}: lacks #![warn(missing_docs)]"));
        }
        if !repository.exists(&format!("{root}/README.md")) {
            complaints.push(format!("{root}: has no README.md"));
        }
    }
    complaints
}

#[test]
fn every_statement_names_its_function() {
    keep(statements_without_a_name);
}

/// So that what `pg_stat_activity` shows can be found.
fn statements_without_a_name(repository: &Repository) -> Complaints {
    const VERBS: [&str; 6] = ["SELECT ", "INSERT ", "UPDATE ", "DELETE ", "LISTEN ", "WITH "];
    let mut complaints = Vec::new();
    for (path, text) in repository.rust() {
        let Some(module) = path.strip_prefix("shared/store/src/") else { continue };
        let module = module.trim_end_matches(".rs").split('/').next().unwrap_or_default();
        for (at, _) in text.match_indices(": &str =") {
            let literal = text[at..].split("\";").next().unwrap_or_default();
            let is_sql = VERBS.iter().any(|verb| literal.contains(verb));
            if is_sql && !literal.contains(&format!("\"\\\n-- {module}.")) {
                let line = text[..at].lines().count();
                complaints.push(format!(
                    "{path}:{line}: the statement does not begin with `-- {module}.<function>`"
                ));
            }
        }
    }
    complaints
}

const MAX_LINES: usize = 600;

#[test]
fn files_are_short() {
    keep(long_files);
}

fn long_files(repository: &Repository) -> Complaints {
    repository
        .rust()
        .filter(|(path, text)| !is_test(path) && text.lines().count() > MAX_LINES)
        .map(|(path, _)| format!("{path}: has more than {MAX_LINES} lines; what could move out?"))
        .collect()
}

#[test]
fn nothing_is_left_for_later() {
    keep(things_left_for_later);
}

fn things_left_for_later(repository: &Repository) -> Complaints {
    // In pieces, so that this file does not complain about itself.
    let words = [
        concat!("TO", "DO"),
        concat!("FIX", "ME"),
        concat!("to", "do!("),
        concat!("unimple", "mented!("),
        concat!("#[ig", "nore"),
    ];
    let mut complaints = Vec::new();
    for (path, text) in &repository.0 {
        for (index, line) in text.lines().enumerate() {
            if let Some(word) = words.iter().find(|word| line.contains(**word)) {
                complaints.push(format!("{path}:{}: `{word}`: do it, or take it out", index + 1));
            }
        }
    }
    complaints
}

// --- Documents and samples ----------------------------------------------------------------------

#[test]
fn every_problem_is_documented() {
    keep(undocumented_problems);
}

fn undocumented_problems(repository: &Repository) -> Complaints {
    let path = "docs/errors.md";
    let real: BTreeMap<String, String> = Problem::ALL
        .iter()
        .map(|problem| (problem.code().to_owned(), problem.status().as_u16().to_string()))
        .collect();
    let documented = table(repository.text(path), "| code | status |");
    differences(path, "problem", &real, &documented)
}

#[test]
fn documented_error_codes_exist() {
    keep(documented_codes_that_do_not_exist);
}

/// The codes of executions and deliveries are not listed anywhere; the other direction is up to
/// whoever adds one.
fn documented_codes_that_do_not_exist(repository: &Repository) -> Complaints {
    let source: String = repository.rust().map(|(_, text)| text).collect();
    let errors = repository.text("docs/errors.md");
    let rows = errors.split("| error code |").skip(1).flat_map(|table| table.lines());
    rows.filter(|row| row.starts_with("| `"))
        .filter_map(|row| row.split(" | ").next())
        .flat_map(|cell| cell.split('`').skip(1).step_by(2))
        .filter(|code| !code.contains('<') && !source.contains(&format!("\"{code}\"")))
        .map(|code| format!("docs/errors.md: no code says `{code}`"))
        .collect()
}

#[test]
fn every_setting_is_documented() {
    keep(undocumented_settings);
}

fn undocumented_settings(repository: &Repository) -> Complaints {
    let path = "docs/configuration.md";
    let names = Names::of::<Telemetry>()
        .and::<recado_ingress::Config>()
        .and::<recado_buffer::Config>()
        .and::<recado_agent_runner::Config>()
        .and::<recado_delivery::Config>()
        .and::<recado_sources::Config>();
    let mut real: BTreeMap<String, String> = defaults(&names).collect();
    // What management has for itself is said beside what the others have.
    for (name, default) in defaults(&Names::of::<recado_management::Config>()) {
        let shown = real.entry(name).or_insert_with(|| default.clone());
        if *shown != default {
            *shown = format!("{shown}`; management: `{default}");
        }
    }
    let documented = table(repository.text(path), "| variable | default |");
    // Those that a process reads for itself are not in any role's settings: of them, we know that
    // they are read.
    let reads = ["shared/service/", "services/recado/src/client/"];
    let is_read_by = |path: &str| reads.iter().any(|directory| path.starts_with(directory));
    for (path, text) in repository.rust().filter(|(path, _)| is_read_by(path)) {
        let product = text.split("#[cfg(test)]\nmod tests {").next().unwrap_or_default();
        for name in variables(product).filter(|_| !is_test(path)) {
            // What the build is told is no setting of a process.
            let is_built_in = product.contains(&format!("option_env!(\"{name}\""));
            let is_read = !is_built_in && product.contains(&format!("(\"{name}\""));
            let default = documented.get(name).cloned().unwrap_or_default();
            if is_read {
                real.entry(name.to_owned()).or_insert(default);
            }
        }
    }
    differences(path, "variable", &real, &documented)
}

fn defaults(names: &Names) -> impl Iterator<Item = (String, String)> {
    names.iter().map(|variable| (variable.name.to_owned(), shown_default(&variable.default)))
}

fn shown_default(default: &Fallback) -> String {
    match default {
        Fallback::Required => "required".into(),
        Fallback::Nothing => "—".into(),
        Fallback::Value(value) => value.clone(),
    }
}

#[test]
fn samples_name_real_settings() {
    keep(samples_with_unknown_settings);
}

/// A role does not start with a variable that it does not know.
fn samples_with_unknown_settings(repository: &Repository) -> Complaints {
    let documented = table(repository.text("docs/configuration.md"), "| variable | default |");
    let is_sample = |path: &str| {
        extension(path) == "md" && !path.starts_with("shared/")
            || matches!(extension(path), "yaml" | "yml")
            || path.starts_with("deploy/")
            || path == "Makefile"
    };
    let samples = repository.0.iter().filter(|(path, _)| is_sample(path));
    samples
        .flat_map(|(path, text)| variables(text).map(move |name| (path, name)))
        // The image is told its commit while it is built.
        .filter(|(_, name)| !documented.contains_key(*name) && *name != "RECADO_REVISION")
        .map(|(path, name)| format!("{path}: there is no variable {name}"))
        .collect()
}

#[test]
fn sample_triggers_are_valid() {
    keep(invalid_sample_triggers);
}

fn invalid_sample_triggers(repository: &Repository) -> Complaints {
    let is_sample = |path: &str| path.starts_with("docs/examples/") && extension(path) == "json";
    let samples = repository.0.iter().filter(|(path, _)| is_sample(path));
    samples
        .filter_map(|(path, text)| {
            let problem = match serde_json::from_str::<Value>(text) {
                Err(error) => error.to_string(),
                Ok(sample) => {
                    format!("{:?}", TriggerConfig::parse(&sample["trigger_config"]).err()?)
                }
            };
            Some(format!("{path}: would be refused: {problem}"))
        })
        .collect()
}

#[test]
fn every_wire_message_has_a_golden_file() {
    keep(wire_messages_without_a_golden_file);
}

/// That they mean what the code means is what the messages' own tests prove.
fn wire_messages_without_a_golden_file(repository: &Repository) -> Complaints {
    let library = repository.text("shared/messages/src/lib.rs");
    let keys =
        library.lines().filter_map(|line| between(line, "ROUTING_KEY: &'static str = \"", "\""));
    let keys: BTreeSet<&str> = keys.collect();
    let mut complaints = Vec::new();
    let mut pinned = BTreeSet::new();
    for (path, text) in &repository.0 {
        let Some(key) = between(path, "shared/messages/golden/", ".json") else { continue };
        // `execution.requested+payload.json`: the same message, with optional fields.
        pinned.insert(key.split_once('+').map_or(key, |(key, _with)| key));
        if !serde_json::from_str::<Value>(text).is_ok_and(|message| message.is_object()) {
            complaints.push(format!("{path}: is no JSON object"));
        }
        if !library.contains(&format!("include_str!(\"../golden/{key}.json\")")) {
            complaints.push(format!("{path}: no test reads it"));
        }
    }
    complaints.extend(keys.difference(&pinned).map(|key| format!("{key}: has no golden file")));
    complaints.extend(pinned.difference(&keys).map(|key| format!("{key}: is no routing key")));
    complaints
}

#[test]
fn alerts_and_dashboards_know_the_metrics() {
    keep(unknown_metrics);
}

/// Whether they are named as docs/metrics.md has them, which another test compares with the code.
fn unknown_metrics(repository: &Repository) -> Complaints {
    let page = repository.text("docs/metrics.md");
    let known: BTreeSet<&str> =
        page.lines().filter_map(|row| between(row, "| `recado_", "` |")).collect();
    let is_known = |name: &str| {
        let family = ["_bucket", "_sum", "_count"].iter().find_map(|end| name.strip_suffix(end));
        known.contains(name) || family.is_some_and(|family| known.contains(family))
    };
    let files = repository.0.iter().filter(|(path, _)| {
        ["deploy/alerts/", "deploy/grafana/", "docs/runbook/"].iter().any(|it| path.starts_with(it))
    });
    let mut complaints = Vec::new();
    for (path, text) in files {
        for rest in text.split("recado_").skip(1) {
            let end = rest.find(|c: char| !c.is_ascii_alphanumeric() && c != '_');
            let name = &rest[..end.unwrap_or(rest.len())];
            // A prefix, or a pattern, is no name.
            if name.contains('_') && !name.ends_with('_') && !is_known(name) {
                complaints.push(format!("{path}: there is no metric recado_{name}"));
            }
        }
    }
    complaints
}

#[test]
fn links_lead_somewhere() {
    keep(dead_links);
}

fn dead_links(repository: &Repository) -> Complaints {
    let mut complaints = Vec::new();
    for (path, text) in repository.0.iter().filter(|(path, _)| extension(path) == "md") {
        let targets = text.split("](").skip(1).filter_map(|rest| rest.split(')').next());
        for target in targets.filter(|target| !target.contains("://")) {
            let (file, anchor) = target.split_once('#').unwrap_or((target, ""));
            let file = if file.is_empty() { path.clone() } else { beside(path, file) };
            let is_there = repository.exists(&file)
                && (anchor.is_empty() || has_heading(repository.text(&file), anchor));
            if !is_there {
                complaints.push(format!("{path}: nothing is at {target}"));
            }
        }
    }
    complaints
}

fn differences(
    path: &str,
    what: &str,
    real: &BTreeMap<String, String>,
    documented: &BTreeMap<String, String>,
) -> Complaints {
    let names: BTreeSet<&String> = real.keys().chain(documented.keys()).collect();
    let complaint = |name: &String| match (real.get(name), documented.get(name)) {
        (Some(value), None) => Some(format!("{path}: lacks the {what} `{name}` ({value})")),
        (None, _) => Some(format!("{path}: there is no {what} `{name}`")),
        (Some(real), Some(documented)) if real != documented => {
            Some(format!("{path}: `{name}` is {real}, not {documented}"))
        }
        (Some(_), Some(_)) => None,
    };
    names.into_iter().filter_map(complaint).collect()
}

// --- Each rule, broken --------------------------------------------------------------------------

#[test]
fn every_rule_can_be_broken() {
    let lead = "[package]\nname = \"recado-a\"\n[lints]\nworkspace = true\n[dependencies]\n";
    let with = |dependency: &str| format!("{lead}{dependency}\n");
    let buffer = "[package]\nname = \"recado-buffer\"\n".to_owned();
    let map = "| `shared/a` | |\n| `shared/b` | |".to_owned();
    let query = "const A: &str = \"\\\nSELECT 1\";".to_owned();
    let key = "const ROUTING_KEY: &'static str = \"a.b\";".to_owned();
    let settings = "| variable | default |\n|---|---|\n| `RECADO_A` | `1` |".to_owned();
    let broken: [(Rule, &[(&str, String)]); 20] = [
        (
            services_that_know_each_other,
            &[
                ("services/a/Cargo.toml", with("recado-buffer.workspace = true")),
                ("services/buffer/Cargo.toml", buffer),
            ],
        ),
        (
            dependencies_that_point_down,
            &[("shared/a/Cargo.toml", with("recado-b.workspace = true")), ("ARCHITECTURE.md", map)],
        ),
        (dependencies_that_point_down, &[("shared/c/Cargo.toml", with(""))]),
        (things_with_two_owners, &[("services/a/Cargo.toml", with("lapin.workspace = true"))]),
        (manifests_of_their_own_mind, &[("services/a/Cargo.toml", with("url = \"2\""))]),
        (manifests_of_their_own_mind, &[("services/a/Cargo.toml", String::new())]),
        (modules_without_a_word, &[("services/a/src/lib.rs", "// It.".into())]),
        (shared_crates_without_documentation, &[("shared/a/Cargo.toml", with(""))]),
        (statements_without_a_name, &[("shared/store/src/a.rs", query)]),
        (long_files, &[("services/a/src/lib.rs", "\n".repeat(MAX_LINES + 1))]),
        (things_left_for_later, &[("Makefile", concat!("# TO", "DO").into())]),
        (undocumented_problems, &[("docs/errors.md", String::new())]),
        (
            documented_codes_that_do_not_exist,
            &[("docs/errors.md", "| error code |\n| `no_such_code` | x |".into())],
        ),
        (undocumented_settings, &[("docs/configuration.md", settings.clone())]),
        (
            samples_with_unknown_settings,
            &[("docs/configuration.md", settings), ("k8s/a.yaml", "RECADO_B: 1".into())],
        ),
        (invalid_sample_triggers, &[("docs/examples/a.json", "{}".into())]),
        (wire_messages_without_a_golden_file, &[("shared/messages/src/lib.rs", key)]),
        (unknown_metrics, &[("deploy/alerts/a.yaml", "expr: recado_a_total > 0".into())]),
        (dead_links, &[("a/b.md", "[c](../c.md)".into())]),
        (dead_links, &[("a/b.md", "# C\n[c](#d)".into())]),
    ];
    for (number, (rule, files)) in broken.into_iter().enumerate() {
        let files = files.iter().map(|(path, text)| ((*path).to_owned(), text.clone()));
        assert!(!rule(&Repository(files.collect())).is_empty(), "number {number} passed");
    }
}
