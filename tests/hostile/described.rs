//! Schemathesis against a running server and what it says of itself: valid requests, invalid ones, and requests that follow from
//! each other's answers, thousands of them. No answer that is not described, no 500.
//!
//! What does not belong here: which checks there are (the folder `schemathesis`; every one, but for
//! what is said there). tests/run installs the program, in the versions that are pinned there.

use std::path::PathBuf;
use std::time::Duration;

use holdfast_test_support::rig::process::{Plan, run};
use holdfast_test_support::{OrFail, Setup, for_both, is_long, rounds, seed};

for_both!(every_answer_is_as_described);

const SECRET: &str = "whsec_MDEyMzQ1Njc4OWFiY2RlZmdoaWprbG1ub3BxcnN0dXY=";

/// Far longer than it takes on a slow machine.
const LIMIT: Duration = Duration::from_mins(20);

fn program() -> PathBuf {
    let built = PathBuf::from(env!("CARGO_BIN_EXE_holdfast"));
    let target = built.ancestors().nth(2).map(PathBuf::from).unwrap_or_default();
    let program = target.join("schemathesis/bin/schemathesis");
    assert!(program.exists(), "{} is missing: run `tests/run --prepare`", program.display());
    program
}

async fn every_answer_is_as_described(setup: Setup) {
    // The same requests each time, so that a change is judged by itself; the long run looks further.
    let seed = if is_long() { seed().u32(..) } else { 1 };
    eprintln!("schemathesis --seed {seed}");
    // Storefront and operator with one token, since the program has one for all.
    let token = holdfast_test_support::ADMIN_TOKEN;
    let sale = setup.setting("API_TOKENS", token).setting("WEBHOOK_SECRET", SECRET).start().await;
    // Something to find.
    sale.product(1_000).await;
    let folder = tempfile::tempdir().or_fail();
    let here = PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/../tests/hostile"));
    let mut plan = Plan::new(program());
    plan.directory = Some(folder.path().to_owned());
    plan.environment = vec![
        ("SCHEMATHESIS_HOOKS".into(), "requests_as_sent".into()),
        ("PYTHONPATH".into(), here.join("schemathesis").into()),
        ("PYTHONDONTWRITEBYTECODE".into(), "1".into()),
        ("WEBHOOK_SECRET".into(), SECRET.into()),
        ("HOME".into(), folder.path().into()),
    ];
    plan.arguments = [
        "--config-file".to_owned(),
        here.join("schemathesis/schemathesis.toml").display().to_string(),
        "run".to_owned(),
        format!("{}/openapi.json", sale.server.url()),
        "--header".to_owned(),
        format!("Authorization: Bearer {token}"),
        "--seed".to_owned(),
        seed.to_string(),
        "--max-examples".to_owned(),
        rounds(5, 200).to_string(),
        "--no-color".to_owned(),
    ]
    .map(Into::into)
    .to_vec();
    let finished = run(&plan, LIMIT).await.or_fail();
    assert_eq!(finished.code(), Some(0), "{}{}", finished.out, finished.err);
    let log = sale.server.log().text();
    // A payment that came too late is somebody's work, and no fault of the server.
    let is_fault = |line: &&str| line.contains("\"level\":\"ERROR\"") && !line.contains("refund_required");
    assert_eq!(log.lines().find(is_fault), None);
    sale.assert_audit_passes().await;
}
