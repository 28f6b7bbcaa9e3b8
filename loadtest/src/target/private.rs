//! A server that the harness starts for itself, and may kill: with a temporary SQLite file, a database
//! that is given, or a MariaDB of its own.
//!
//! What does not belong here: what is done to it (that is in the scenarios).

use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::process::Stdio;

use serde::Deserialize;
use tokio::sync::Mutex;

use super::TargetError;
use crate::api::Secrets;
use crate::rig::RigError;
use crate::rig::database::{MariaDb, Session};
use crate::rig::process::{self, Finished};
use crate::rig::server::{ServerBuilder, ServerProcess};

/// The name of the server's binary.
const SERVER: &str = "holdfast";

/// How long its holds live, in seconds: the shortest whole number that leaves time to redeem one.
const HOLD_TTL_SECONDS: u64 = 2;
/// How long its orders wait for their payment, in seconds: short enough to be waited for, and longer than
/// any order waits for its payment by accident.
const PAYMENT_WINDOW_SECONDS: u64 = 5;
/// How often it looks for broken invariants by itself, in seconds.
const RECONCILE_SECONDS: u64 = 2;
/// Characters of a secret: 30 bytes, as base64.
const TOKEN_LENGTH: usize = 40;
/// A line for every order would be a load of its own.
const LOG_FILTER: &str = "warn";

/// Where a private server keeps its sale.
#[derive(Clone, Debug)]
pub enum PrivateDatabase {
    /// In a temporary SQLite file.
    Temporary,
    /// In an empty database that somebody else runs.
    Given(String),
    /// In a MariaDB that the harness starts too, with full durability.
    MariaDb,
}

/// A private server, with its database if the harness runs that too. Dropping it ends both.
#[derive(Debug)]
pub struct Private {
    server: Mutex<ServerProcess>,
    builder: ServerBuilder,
    url: String,
    database: Option<Mutex<MariaDb>>,
    database_kind: &'static str,
    _folder: tempfile::TempDir,
}

/// What `holdfast audit --json` said.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AuditAnswer {
    /// Whether it found no breach.
    pub clean: bool,
    /// Its breaches, in words.
    pub breaches: Vec<String>,
}

impl Private {
    /// Starts a server, and waits until it is ready.
    ///
    /// # Errors
    /// If there is no database to be had, or the server does not start.
    pub async fn start(
        program: &Path,
        database: &PrivateDatabase,
        secrets: &Secrets,
        settings: &[(String, String)],
    ) -> Result<Self, TargetError> {
        let folder = tempfile::Builder::new()
            .prefix("holdfast-loadtest-")
            .tempdir()
            .map_err(RigError::system("make a temporary folder"))?;
        let (url, own, database_kind) = match database {
            PrivateDatabase::Temporary => {
                (format!("sqlite:{}", folder.path().join("sale.db").display()), None, "sqlite")
            }
            PrivateDatabase::Given(url) => {
                // Before the server makes its tables there.
                require_empty(url).await?;
                (url.clone(), None, kind_of(url))
            }
            PrivateDatabase::MariaDb => {
                let own = MariaDb::start().await?;
                (own.create_database().await?, Some(Mutex::new(own)), "mysql")
            }
        };
        let builder = ServerProcess::builder(program)
            .database(&url)
            .directory(folder.path())
            .setting("HOLD_TTL_SECONDS", &HOLD_TTL_SECONDS)
            .setting("PAYMENT_WINDOW_SECONDS", &PAYMENT_WINDOW_SECONDS)
            .setting("RECONCILE_SECONDS", &RECONCILE_SECONDS)
            .setting("ADMIN_TOKEN", secrets.admin_token.as_deref().unwrap_or_default())
            .setting("API_TOKENS", secrets.api_token.as_deref().unwrap_or_default())
            .setting("WEBHOOK_SECRET", secrets.webhook_secret.as_deref().unwrap_or_default())
            .setting("LOG_FORMAT", "json")
            .setting("RUST_LOG", LOG_FILTER);
        let builder = settings.iter().fold(builder, |builder, (name, value)| builder.setting(name, value));
        let server = builder.start().await?;
        let url = server.url();
        Ok(Self { server: Mutex::new(server), builder, url, database: own, database_kind, _folder: folder })
    }

    /// The URL of its API, the same after every restart.
    pub fn url(&self) -> &str {
        &self.url
    }

    /// What is behind it: `sqlite` or `mysql`.
    pub fn database_kind(&self) -> &'static str {
        self.database_kind
    }

    /// Whether the harness runs its database, and so may kill it.
    pub fn owns_database(&self) -> bool {
        self.database.is_some()
    }

    /// Kills the server (SIGKILL).
    pub async fn kill_server(&self) {
        self.server.lock().await.kill().await;
    }

    /// Starts the server again, on the same port, and waits until it is ready.
    ///
    /// # Errors
    /// If it does not start.
    pub async fn restart_server(&self) -> Result<(), RigError> {
        self.server.lock().await.restart().await
    }

    /// Kills the database (SIGKILL), if the harness runs it.
    pub async fn kill_database(&self) {
        if let Some(database) = &self.database {
            database.lock().await.kill().await;
        }
    }

    /// Starts the database again, if the harness runs it, and waits until it answers and the server is
    /// ready.
    ///
    /// # Errors
    /// If it does not start.
    pub async fn restart_database(&self) -> Result<(), RigError> {
        if let Some(database) = &self.database {
            database.lock().await.restart().await?;
            self.server.lock().await.wait_until_ready().await?;
        }
        Ok(())
    }

    /// Asks `holdfast audit --json`.
    ///
    /// # Errors
    /// If it could not check, with what it wrote.
    pub async fn audit(&self) -> Result<AuditAnswer, TargetError> {
        let finished = self.builder.run(&["audit", "--json"]).await?;
        audit_answer(&finished)
    }
}

/// What a `holdfast audit --json` that has ended said.
///
/// # Errors
/// If it could not check, with what it wrote.
pub fn audit_answer(finished: &Finished) -> Result<AuditAnswer, TargetError> {
    let answer: AuditJson = serde_json::from_str(&finished.out).map_err(|_| TargetError::Audit {
        code: finished.code(),
        output: format!("{}{}", finished.out, finished.err),
    })?;
    let breaches = answer.breaches.iter().map(AuditBreach::words).collect();
    Ok(AuditAnswer { clean: answer.clean && finished.code() == Some(0), breaches })
}

#[derive(Deserialize)]
struct AuditJson {
    clean: bool,
    #[serde(default)]
    breaches: Vec<AuditBreach>,
}

#[derive(Deserialize)]
struct AuditBreach {
    code: String,
    product_id: Option<u64>,
    #[serde(default)]
    detail: String,
}

impl AuditBreach {
    fn words(&self) -> String {
        match self.product_id {
            Some(product) => format!("{} (product {product}): {}", self.code, self.detail),
            None => format!("{}: {}", self.code, self.detail),
        }
    }
}

/// Secrets for a server that only this machine can reach, and that nobody needs to know.
pub fn random_secrets() -> Secrets {
    let token = || std::iter::repeat_with(fastrand::alphanumeric).take(TOKEN_LENGTH).collect::<String>();
    // Letters and digits are base64 as well, four of them are three bytes.
    Secrets { admin_token: Some(token()), api_token: Some(token()), webhook_secret: Some(format!("whsec_{}", token())) }
}

/// Looks whether a database has nothing in it that is somebody's: no tables, or those of a server that never had
/// a product.
async fn require_empty(url: &str) -> Result<(), TargetError> {
    let mut session = Session::open(url).await?;
    let tables = session.tables().await?;
    let is_empty = if tables.iter().any(|table| table == "products") {
        session.rows("SELECT 1 FROM products LIMIT 1").await?.is_empty()
    } else {
        tables.is_empty()
    };
    if is_empty { Ok(()) } else { Err(TargetError::NotEmpty) }
}

fn kind_of(url: &str) -> &'static str {
    if url.starts_with("sqlite:") { "sqlite" } else { "mysql" }
}

/// The server's binary: the one that is named, else the one beside the harness, else one on PATH, else
/// what cargo builds in the workspace that this is run in. `say` is told if something is built.
///
/// # Errors
/// If there is none, or cargo cannot build it.
pub async fn find_server(named: Option<&Path>, say: impl FnOnce(&str)) -> Result<PathBuf, TargetError> {
    if let Some(named) = named {
        // The server runs in a folder of its own, so the name must not depend on ours.
        let whole = std::path::absolute(named).ok().filter(|path| path.is_file());
        return whole.ok_or_else(|| TargetError::NoServer(named.to_owned()));
    }
    let harness = std::env::current_exe().ok();
    if let Some(beside) = harness.as_deref().and_then(Path::parent).map(|folder| folder.join(SERVER))
        && beside.is_file()
    {
        return Ok(beside);
    }
    if let Some(found) = process::find_program(&[SERVER]) {
        return Ok(found);
    }
    let workspace = std::env::current_dir().ok().as_deref().and_then(find_workspace).map(Path::to_owned);
    let workspace = workspace.ok_or(TargetError::NoServerAnywhere)?;
    // Built like the harness, so that figures of the two mean something together.
    let release = !cfg!(debug_assertions);
    say(&format!("no server beside the harness or on PATH: building it with cargo in {}", workspace.display()));
    build(&workspace, release).await
}

fn find_workspace(from: &Path) -> Option<&Path> {
    from.ancestors().find(|folder| folder.join("Cargo.toml").is_file() && folder.join("server/Cargo.toml").is_file())
}

async fn build(workspace: &Path, release: bool) -> Result<PathBuf, TargetError> {
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let mut command = tokio::process::Command::new(cargo);
    command.args(["build", "--package", SERVER, "--bin", SERVER, "--message-format", "json-render-diagnostics"]);
    if release {
        command.arg("--release");
    }
    let output = command
        .current_dir(workspace)
        .stdin(Stdio::null())
        .stderr(Stdio::inherit())
        .kill_on_drop(true)
        .output()
        .await
        .map_err(RigError::system("run cargo"))?;
    built_binary(&output.stdout)
        .filter(|_| output.status.success())
        .ok_or(TargetError::NotBuilt { status: output.status })
}

/// Where cargo's messages say that it put the binary.
fn built_binary(messages: &[u8]) -> Option<PathBuf> {
    #[derive(Deserialize)]
    struct Message {
        executable: Option<PathBuf>,
    }
    messages
        .split(|byte| *byte == b'\n')
        .filter_map(|line| serde_json::from_slice::<Message>(line).ok()?.executable)
        .find(|path| path.file_stem() == Some(OsStr::new(SERVER)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_binary_is_where_cargo_says() {
        let messages = concat!(
            r#"{"reason":"compiler-artifact","target":{"name":"sale"},"executable":null}"#,
            "\n",
            r#"{"reason":"compiler-artifact","target":{"name":"holdfast"},"executable":"/x/target/debug/holdfast"}"#,
            "\n",
            r#"{"reason":"build-finished","success":true}"#,
            "\n",
        );
        assert_eq!(built_binary(messages.as_bytes()), Some(PathBuf::from("/x/target/debug/holdfast")));
        assert_eq!(built_binary(b"{}\n"), None);
    }

    #[test]
    fn the_workspace_is_found_from_inside() {
        let folder = tempfile::tempdir().expect("a folder");
        let inside = folder.path().join("loadtest/src");
        std::fs::create_dir_all(&inside).expect("folders");
        assert_eq!(find_workspace(&inside), None);
        std::fs::create_dir_all(folder.path().join("server")).expect("a folder");
        for file in ["Cargo.toml", "server/Cargo.toml"] {
            std::fs::write(folder.path().join(file), "").expect("a file");
        }
        assert_eq!(find_workspace(&inside), Some(folder.path()));
    }
}
