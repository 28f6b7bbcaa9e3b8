//! The rig's processes and databases: what they say of themselves is so, and nothing outlives its owner.

use std::time::Duration;

use holdfast_loadtest::rig::RigError;
use holdfast_loadtest::rig::database::{Kind, MariaDb, Session, TestDatabase};
use holdfast_loadtest::rig::disk::SmallDisk;
use holdfast_loadtest::rig::process::{Plan, Process, Stream, run};

const LIMIT: Duration = Duration::from_mins(1);

fn shell(script: &str) -> Plan {
    let mut plan = Plan::new("/bin/sh");
    plan.arguments = vec!["-c".into(), script.into()];
    plan
}

#[tokio::test]
async fn a_program_is_run_to_its_end() {
    let mut plan = shell("echo out $SETTING; echo err >&2; exit 3");
    plan.environment = vec![("SETTING".into(), "set".into())];
    let finished = run(&plan, LIMIT).await.unwrap();
    assert_eq!((finished.code(), finished.out.as_str(), finished.err.as_str()), (Some(3), "out set\n", "err\n"));
}

#[tokio::test]
async fn a_process_is_heard_and_ended() {
    let process = Process::spawn(&shell("trap 'echo asked; exit 7' TERM; echo up; while :; do sleep 0.01; done")).await;
    let process = process.unwrap();
    assert_eq!(process.log().wait_for(|line| (line.text == "up").then_some(line.stream)).await, Some(Stream::Out));
    assert_eq!(process.ended(), None);
    let status = process.terminate(LIMIT).await.unwrap();
    assert_eq!(status.code(), Some(7));
    assert!(process.log().contains("asked"));
    assert!(matches!(process.freeze(), Err(RigError::Gone { .. })));
    process.kill().await;
    assert_eq!(process.log().wait_for(|line| (line.text == "never").then_some(())).await, None);
}

#[tokio::test]
async fn a_frozen_process_is_killed_all_the_same() {
    let process = Process::spawn(&shell("echo up; while :; do sleep 0.01; done")).await.unwrap();
    process.log().wait_for(|line| (line.text == "up").then_some(())).await.unwrap();
    process.freeze().unwrap();
    process.kill().await;
    assert!(process.ended().is_some_and(|status| !status.success()));
}

#[tokio::test]
async fn both_databases_answer_alike() {
    for kind in [Kind::Sqlite, Kind::MariaDb] {
        let database = TestDatabase::create(kind).await.unwrap();
        assert_eq!(database.kind(), kind);
        let table = "CREATE TABLE t (n BIGINT PRIMARY KEY, s VARCHAR(20), b VARBINARY(20))";
        database.execute(table).await.unwrap();
        let empty = database.snapshot(&[]).await.unwrap();
        database
            .execute("INSERT INTO t VALUES (-5, 'five', x'6869'); INSERT INTO t VALUES (6, NULL, NULL)")
            .await
            .unwrap();
        let text = |text: &str| Some(text.to_owned());
        let expected = [vec![text("-5"), text("five"), text("hi")], vec![text("6"), None, None]];
        assert_eq!(database.rows("SELECT * FROM t ORDER BY n").await.unwrap(), expected);
        assert_eq!(database.integer("SELECT MAX(n) FROM t").await.unwrap(), 6);
        assert_eq!(database.integer("SELECT n FROM t WHERE n = 7").await.unwrap(), 0);
        let full = database.snapshot(&[]).await.unwrap();
        assert_ne!(empty, full);
        assert_eq!((empty.count("t"), full.count("t")), (0, 2));
        assert!(database.snapshot(&["t"]).await.unwrap().tables.is_empty());
        database.execute("nonsense").await.unwrap_err();
    }
}

#[tokio::test]
async fn a_dropped_database_is_gone() {
    let database = TestDatabase::create(Kind::MariaDb).await.unwrap();
    let url = database.url().to_owned();
    Session::open(&url).await.unwrap();
    drop(database);
    Session::open(&url).await.unwrap_err();
}

#[tokio::test]
async fn mariadb_keeps_what_it_acknowledged_when_it_is_killed() {
    let mut server = MariaDb::start().await.unwrap();
    let url = server.create_database().await.unwrap();
    let mut session = Session::open(&url).await.unwrap();
    session.execute("CREATE TABLE t (n INT PRIMARY KEY); INSERT INTO t VALUES (1)").await.unwrap();
    let durable = session.rows("SELECT @@innodb_flush_log_at_trx_commit, @@innodb_doublewrite").await.unwrap();
    assert_eq!(durable, [[Some("1".to_owned()), Some("1".to_owned())]]);
    session.execute("BEGIN; INSERT INTO t VALUES (2)").await.unwrap();
    let port = server.port();
    server.kill().await;
    Session::open(&url).await.unwrap_err();
    server.restart().await.unwrap();
    assert_eq!(server.port(), port);
    let mut session = Session::open(&url).await.unwrap();
    assert_eq!(session.rows("SELECT n FROM t").await.unwrap(), [[Some("1".to_owned())]]);
    server.freeze().unwrap();
    server.thaw().unwrap();
    assert!(server.terminate().await.unwrap().success());
}

#[tokio::test]
async fn mariadb_takes_arguments_and_says_what_is_wrong_with_them() {
    let server = MariaDb::builder().argument("--read-only=1").start().await.unwrap();
    let mut session = Session::open(&server.url()).await.unwrap();
    assert_eq!(session.rows("SELECT @@read_only").await.unwrap(), [[Some("1".to_owned())]]);
    let error = MariaDb::builder().argument("--no-such-thing").start().await.unwrap_err();
    assert!(matches!(&error, RigError::Ended { log, .. } if log.contains("no-such-thing")), "{error}");
}

#[test]
fn a_small_disk_is_full_until_it_is_freed() {
    let disk = match SmallDisk::mount(1) {
        Ok(disk) => disk,
        Err(error @ RigError::NotPermitted { .. }) => return eprintln!("not tested here: {error}"),
        Err(error) => panic!("{error}"),
    };
    let (path, file) = (disk.path(), disk.path().join("file"));
    std::fs::write(&file, "before").unwrap();
    disk.fill().unwrap();
    let error = std::fs::write(path.join("other"), [1; 4096]).unwrap_err();
    assert_eq!(error.kind(), std::io::ErrorKind::StorageFull);
    assert_eq!(std::fs::read(&file).unwrap(), b"before");
    disk.free().unwrap();
    std::fs::write(path.join("other"), [1; 4096]).unwrap();
    drop(disk);
    assert!(!path.exists());
}

#[tokio::test]
async fn permissions_count_for_those_who_obey_them() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("file");
    std::fs::write(&file, "").unwrap();
    std::fs::set_permissions(&file, std::os::unix::fs::PermissionsExt::from_mode(0o400)).unwrap();
    let mut plan = shell("cat \"$FILE\" && echo text >\"$FILE\"");
    plan.environment = vec![("FILE".into(), file.into())];
    plan.obeys_permissions = true;
    let finished = run(&plan, LIMIT).await.unwrap();
    assert!(finished.code() != Some(0) && finished.err.contains("Permission denied"), "{finished:?}");
}

#[tokio::test]
async fn children_do_not_outlive_a_killed_owner() {
    let mut plan = Plan::new(env!("CARGO_BIN_EXE_holdfast-loadtest"));
    plan.arguments = vec!["mariadb".into()];
    let owner = Process::spawn(&plan).await.unwrap();
    let url = owner.log().wait_for(|line| line.text.starts_with("mysql://").then(|| line.text.clone())).await;
    let url = url.unwrap_or_else(|| panic!("no URL in:\n{}", owner.log().text()));
    Session::open(&url).await.unwrap();
    owner.kill().await;
    // The kernel kills the child when its owner is gone; its port closes a moment later.
    while Session::open(&url).await.is_ok() {}
}
