//! The compose file and the images, as far as they can be checked without a container engine: names that
//! lead somewhere, versions, health checks, secrets, and that what an image is built from is enough.
//!
//! What does not belong here: what is in the files that are mounted.

use std::collections::BTreeSet;
use std::path::Path;

use clap::Args;
use holdfast_loadtest::cli::RunArguments;
use holdfast_test_support::rig::process::{Plan, run};
use holdfast_test_support::{Kind, OrFail, Setup};
use serde_json::Value;

use crate::files::{elements, members, root, text, yaml};

const COMPOSE: &str = "docker-compose.yml";
const LIMIT: std::time::Duration = std::time::Duration::from_mins(1);

#[test]
fn versions_are_pinned() {
    let dockerfile = text("Dockerfile");
    let stages: BTreeSet<&str> = froms().into_iter().filter_map(|(_, stage)| stage).collect();
    let bases = froms().into_iter().map(|(image, _)| image.to_owned()).filter(|image| !stages.contains(image.as_str()));
    let compose = yaml(COMPOSE);
    let ran = members(&compose["services"]).filter(|(_, service)| service.get("build").is_none());
    let ran = ran.map(|(_, service)| string(&service["image"]).to_owned());
    for image in bases.chain(ran) {
        let (_, version) = image.rsplit_once(':').unwrap_or_else(|| panic!("{image} has no version"));
        assert!(version.trim_start_matches('v').split('.').count() >= 2, "{image}: not a version of its own");
    }
    // The compiler is the one that the workspace asks for.
    let manifest = text("Cargo.toml");
    let (_, rest) = manifest.split_once("rust-version = \"").expect("a version of Rust");
    let version = rest.split('"').next().expect("a version of Rust");
    assert!(dockerfile.contains(&format!("FROM rust:{version}.")), "the workspace needs Rust {version}");
}

#[test]
fn services_start_after_those_that_they_need_are_healthy() {
    let compose = yaml(COMPOSE);
    let services = &compose["services"];
    let mut healthy = 0;
    for (name, service) in members(services) {
        for (needed, how) in members(&service["depends_on"]) {
            let other = &services[needed];
            assert!(other.is_object(), "{name} needs {needed}, which is no service");
            // That of the server is in its image.
            let checks_itself = other.get("healthcheck").is_some() || other["build"]["target"] == "server";
            let condition = string(&how["condition"]);
            assert_eq!(condition == "service_healthy", checks_itself, "{name} needs {needed}: {condition}");
            healthy += usize::from(checks_itself);
        }
    }
    assert!(healthy >= 4, "{healthy} services wait for the health of another");
    assert_eq!(services["loadtest"]["profiles"], serde_json::json!(["load"]));
    let always = members(services).filter(|(_, service)| service.get("profiles").is_none());
    assert_eq!(
        always.map(|(name, _)| name.as_str()).collect::<BTreeSet<_>>(),
        BTreeSet::from(["grafana", "mariadb", "prometheus", "server", "tempo"])
    );
}

#[test]
fn names_in_the_compose_file_lead_somewhere() {
    let compose = yaml(COMPOSE);
    let stages: BTreeSet<&str> = froms().into_iter().filter_map(|(_, stage)| stage).collect();
    for (name, service) in members(&compose["services"]) {
        if let Some(target) = service["build"]["target"].as_str() {
            assert!(stages.contains(target), "{name} is built from {target}, which the Dockerfile does not have");
        }
        for volume in elements(&service["volumes"]).map(string) {
            let (source, _) = volume.split_once(':').unwrap_or_else(|| panic!("{name}: {volume}"));
            if let Some(path) = source.strip_prefix("./") {
                assert!(root().join(path).exists(), "{name} mounts {path}, which is not there");
                assert!(volume.ends_with(":ro"), "{name} could write into the repository: {volume}");
            } else {
                assert!(compose["volumes"].get(source).is_some(), "{name}: no volume {source}");
            }
        }
        for port in elements(&service["ports"]).map(string) {
            assert!(port.starts_with("127.0.0.1:"), "{name} is open to the network: {port}");
        }
    }
    // What one service knows of another by name and port.
    let server = format!("server:{}", listen_port());
    assert_eq!(
        yaml("dashboards/prometheus/prometheus.yml")["scrape_configs"][0]["static_configs"][0]["targets"][0],
        server
    );
    assert!(string(&compose["services"]["loadtest"]["command"]).contains(&format!("--host http://{server} ")));
    let endpoint = string(&compose["services"]["server"]["environment"]["OTEL_EXPORTER_OTLP_ENDPOINT"]);
    let receiver = yaml("dashboards/tempo/tempo.yml")["distributor"]["receivers"]["otlp"]["protocols"]["http"].clone();
    assert_eq!(
        endpoint.rsplit_once(':').map(|(_, port)| port),
        string(&receiver["endpoint"]).rsplit_once(':').map(|(_, port)| port)
    );
}

#[test]
fn the_harness_takes_what_it_is_told() {
    let compose = yaml(COMPOSE);
    let command = string(&compose["services"]["loadtest"]["command"]).replace("${LOADTEST_ARGUMENTS:-}", "");
    let words: Vec<&str> = command.split_whitespace().collect();
    let taken = RunArguments::augment_args(clap::Command::new("run")).try_get_matches_from(&words);
    if let Err(error) = taken {
        panic!("{words:?}: {error}");
    }
    let grafana = format!("--annotate http://grafana:{}", container_port(&compose, "grafana"));
    assert!(command.contains(&grafana), "{command}");
}

#[test]
fn secrets_come_from_the_environment() {
    let file = text(COMPOSE);
    let example: BTreeSet<String> = examples().into_iter().map(|(name, _)| name).collect();
    let asked: BTreeSet<String> =
        file.split("${").skip(1).filter_map(|rest| rest.split([':', '}', '-']).next()).map(str::to_owned).collect();
    assert_eq!(asked, example, "what {COMPOSE} asks for, and what .env.example has");
    for (name, service) in members(&yaml(COMPOSE)["services"]) {
        for (variable, value) in members(&service["environment"]) {
            let is_secret = ["PASSWORD", "TOKEN", "SECRET"].iter().any(|word| variable.contains(word));
            let is_made_up = variable == "MARIADB_RANDOM_ROOT_PASSWORD";
            assert!(!is_secret || is_made_up || string(value).starts_with("${"), "{name}: {variable}");
        }
    }
    let ignored = text(".gitignore");
    assert!(ignored.lines().any(|line| line == ".env"), "a secret could be committed");
}

/// The server takes its settings from the compose file with the example's secrets.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_server_starts_with_its_settings_and_says_that_it_is_healthy() {
    let compose = yaml(COMPOSE);
    let mut setup = Setup::new(Kind::Sqlite, env!("CARGO_BIN_EXE_holdfast"));
    for (name, value) in members(&compose["services"]["server"]["environment"]) {
        let value = interpolate(string(value));
        match name.as_str() {
            "DATABASE_URL" => assert!(value.starts_with("mysql://holdfast:"), "{value}"),
            // Nobody listens there, which must not matter.
            "OTEL_EXPORTER_OTLP_ENDPOINT" => setup = setup.setting(name, "http://127.0.0.1:1"),
            _ => setup = setup.setting(name, &value),
        }
    }
    for (name, value) in image_environment() {
        if name != "LISTEN_ADDR" {
            setup = setup.setting(&name, &value);
        }
    }
    let sale = setup.start().await;
    assert_eq!(health(sale.server.address()).await, Some(0), "a ready server");
    let address = sale.server.address().to_owned();
    sale.server.kill().await;
    assert_ne!(health(&address).await, Some(0), "a server that is gone");
}

#[tokio::test]
async fn an_image_is_built_from_all_that_cargo_needs() {
    let folder = tempfile::tempdir().or_fail();
    let admitted = text(".dockerignore");
    for source in copied() {
        assert!(root().join(&source).exists(), "the Dockerfile copies {source}, which is not there");
        assert!(admitted.lines().any(|line| line == format!("!{source}")), ".dockerignore keeps {source} out");
        std::os::unix::fs::symlink(root().join(&source), folder.path().join(&source)).or_fail();
    }
    let mut plan = Plan::new(env!("CARGO"));
    plan.arguments = ["metadata", "--no-deps", "--offline", "--locked", "--format-version=1", "--manifest-path"]
        .map(Into::into)
        .to_vec();
    plan.arguments.push(folder.path().join("Cargo.toml").into());
    plan.environment = ["CARGO_HOME", "RUSTUP_HOME"]
        .into_iter()
        .filter_map(|name| Some((name.into(), std::env::var_os(name)?)))
        .collect();
    let finished = run(&plan, LIMIT).await.or_fail();
    assert_eq!(finished.code(), Some(0), "{}", finished.err);
    let known: Value = serde_json::from_str(&finished.out).or_fail();
    let known: BTreeSet<&str> = elements(&known["packages"])
        .flat_map(|package| elements(&package["targets"]))
        .filter(|target| target["kind"] == serde_json::json!(["bin"]))
        .map(|target| string(&target["name"]))
        .collect();
    let dockerfile = text("Dockerfile");
    for built in dockerfile.split("--bin ").skip(1).filter_map(|rest| rest.split_whitespace().next()) {
        assert!(known.contains(built), "there is no program {built}");
    }
    // What the compiler reads besides Rust files.
    for (file, path) in included() {
        let at = file.parent().expect("a folder").join(&path).canonicalize().or_fail();
        let inside = at.strip_prefix(root()).or_fail();
        let is_copied = copied().iter().any(|source| inside.starts_with(source));
        assert!(is_copied, "{} includes {path}, which the image is not built from", file.display());
    }
}

#[test]
fn images_run_without_rights() {
    let dockerfile = text("Dockerfile");
    let last = |stage: &str| {
        let (_, rest) = dockerfile.split_once(&format!(" AS {stage}\n")).expect("a stage");
        rest.split("\nFROM ").next().unwrap_or(rest).to_owned()
    };
    assert!(last("base").contains("\nUSER 10001:10001"));
    for stage in ["server", "loadtest"] {
        assert!(dockerfile.contains(&format!("FROM base AS {stage}\n")), "{stage}");
        assert!(!last(stage).contains("USER "), "{stage} runs as somebody else");
    }
    assert!(last("server").contains("REQUIRE_DATABASE_URL=true"));
    // What `docker build` makes when it is told nothing.
    assert_eq!(froms().last().and_then(|(_, stage)| *stage), Some("server"));
}

/// The exit code of the image's health check, asked of a server at `address`.
async fn health(address: &str) -> Option<i32> {
    let dockerfile = text("Dockerfile");
    let (_, rest) = dockerfile.split_once("HEALTHCHECK").expect("a health check");
    let (_, rest) = rest.split_once("CMD ").expect("its command");
    let words: Vec<String> = serde_json::from_str(rest.lines().next().expect("a line")).or_fail();
    let mut plan = Plan::new(&words[0]);
    plan.arguments = words[1..].iter().map(Into::into).collect();
    plan.environment = vec![("LISTEN_ADDR".into(), address.into())];
    run(&plan, LIMIT).await.or_fail().code()
}

/// Image and name of each stage.
fn froms() -> Vec<(&'static str, Option<&'static str>)> {
    // The tests are short-lived, and this is a page.
    let dockerfile: &'static str = text("Dockerfile").leak();
    let lines = dockerfile.lines().filter_map(|line| line.strip_prefix("FROM "));
    lines.map(|line| line.split_once(" AS ").map_or((line, None), |(image, stage)| (image, Some(stage)))).collect()
}

/// What the Dockerfile copies from the repository.
fn copied() -> Vec<String> {
    let dockerfile = text("Dockerfile");
    let lines =
        dockerfile.lines().filter_map(|line| line.strip_prefix("COPY ")).filter(|line| !line.starts_with("--from"));
    lines
        .flat_map(|line| {
            let mut words: Vec<_> = line.split_whitespace().map(str::to_owned).collect();
            words.pop();
            words
        })
        .collect()
}

/// The settings that the server's image has.
fn image_environment() -> Vec<(String, String)> {
    let dockerfile = text("Dockerfile").replace("\\\n", " ");
    let lines = dockerfile.lines().filter_map(|line| line.strip_prefix("ENV "));
    let pairs: Vec<(String, String)> = lines
        .flat_map(str::split_whitespace)
        .map(|pair| pair.split_once('=').map(|(name, value)| (name.to_owned(), value.to_owned())).expect("NAME=value"))
        .collect();
    assert!(!pairs.is_empty(), "the image has no settings");
    pairs
}

/// The port that a service has inside, of the first that it shows.
fn container_port(compose: &Value, service: &str) -> String {
    let port = string(&compose["services"][service]["ports"][0]);
    port.rsplit(':').next().unwrap_or_default().to_owned()
}

fn listen_port() -> String {
    let (_, address) = image_environment().into_iter().find(|(name, _)| name == "LISTEN_ADDR").expect("LISTEN_ADDR");
    address.rsplit_once(':').expect("a port").1.to_owned()
}

fn examples() -> Vec<(String, String)> {
    let file = text(".env.example");
    let lines = file.lines().filter(|line| !line.starts_with('#') && !line.is_empty());
    lines
        .map(|line| line.split_once('=').map(|(name, value)| (name.to_owned(), value.to_owned())).expect("NAME=value"))
        .collect()
}

/// A value as compose reads it with `.env.example`.
fn interpolate(value: &str) -> String {
    let mut text = value.to_owned();
    for (name, example) in examples() {
        while let Some(at) = text.find(&format!("${{{name}:")) {
            let end = at + text[at..].find('}').expect("a brace for each");
            text.replace_range(at..=end, &example);
        }
    }
    assert!(!text.contains("${"), "{text}");
    text
}

/// Each file of Rust that is built into a program, with what it includes of other files.
fn included() -> Vec<(std::path::PathBuf, String)> {
    let mut found = Vec::new();
    for package in ["server/src", "server/sale/src", "loadtest/src"] {
        for file in rust_files(&root().join(package)) {
            let text = std::fs::read_to_string(&file).or_fail();
            // Tests are not built into an image.
            let text = text.split("#[cfg(test)]").next().unwrap_or_default();
            for rest in ["include_str!(\"", "include_bytes!(\""].iter().flat_map(|word| text.split(word).skip(1)) {
                found.push((file.clone(), rest.split('"').next().unwrap_or_default().to_owned()));
            }
        }
    }
    assert!(!found.is_empty(), "the migrations are included");
    found
}

fn rust_files(folder: &Path) -> Vec<std::path::PathBuf> {
    let entries = std::fs::read_dir(folder).or_fail().map(|entry| entry.or_fail().path());
    let files = entries.flat_map(|path| if path.is_dir() { rust_files(&path) } else { vec![path] });
    files.filter(|path| path.extension().is_some_and(|ending| ending == "rs")).collect()
}

#[track_caller]
fn string(value: &Value) -> &str {
    value.as_str().unwrap_or_else(|| panic!("no text: {value}"))
}
