//! Servers of Holdfast: started, killed, frozen, and asked whether they are ready.
//!
//! It knows of the service what an operator knows: its binary, its settings by name, the line with
//! which it says where it listens, and `/readyz`.

use std::ffi::OsString;
use std::path::PathBuf;
use std::process::ExitStatus;
use std::time::Duration;

use super::RigError;
use super::client::Client;
use super::process::{self, Finished, Log, Plan, Process};

/// How long a server may take to be ready. Slow machines need it, none waits for it.
const READY_LIMIT: Duration = Duration::from_mins(1);
/// How long a server may take to end when it is asked to: more than its own limit for draining.
const STOP_LIMIT: Duration = Duration::from_mins(1);
/// How long a command other than `serve` may take.
const COMMAND_LIMIT: Duration = Duration::from_mins(2);

/// How to start a server, or to run one of its other commands.
#[derive(Clone, Debug)]
pub struct ServerBuilder {
    program: PathBuf,
    settings: Vec<(OsString, OsString)>,
    directory: Option<PathBuf>,
    kept_lines: usize,
    obeys_permissions: bool,
}

impl ServerBuilder {
    /// A setting, by the name of its environment variable. The last one of a name counts.
    #[must_use]
    pub fn setting(mut self, name: &str, value: &(impl ToString + ?Sized)) -> Self {
        self.settings.retain(|(known, _)| known != name);
        self.settings.push((name.into(), value.to_string().into()));
        self
    }

    /// The database (`DATABASE_URL`).
    #[must_use]
    pub fn database(self, url: &str) -> Self {
        self.setting("DATABASE_URL", url)
    }

    /// The folder that it runs in.
    #[must_use]
    pub fn directory(mut self, directory: impl Into<PathBuf>) -> Self {
        self.directory = Some(directory.into());
        self
    }

    /// How many lines of its log are kept, for a server that writes more than memory should hold.
    #[must_use]
    pub fn kept_lines(mut self, lines: usize) -> Self {
        self.kept_lines = lines;
        self
    }

    /// With a clock that is off by so many seconds; how fast it goes stays, and so does the monotonic one.
    ///
    /// # Errors
    /// [`RigError::ProgramMissing`] if the program `faketime` is not installed.
    pub async fn clock_off_by(self, seconds: i64) -> Result<Self, RigError> {
        let library = process::fake_clock().await?;
        Ok(self
            .setting("LD_PRELOAD", &library)
            .setting("FAKETIME", &format!("{seconds:+}"))
            .setting("FAKETIME_DONT_FAKE_MONOTONIC", "1"))
    }

    /// As one for whom the permissions of files count, even if this process is root.
    #[must_use]
    pub fn obeying_permissions(mut self) -> Self {
        self.obeys_permissions = true;
        self
    }

    /// Starts it on a port of its own and waits until it is ready.
    ///
    /// # Errors
    /// If it ends, or is not ready within a minute; with what it wrote.
    pub async fn start(&self) -> Result<ServerProcess, RigError> {
        let server = self.listen().await?;
        server.wait_until_ready().await?;
        Ok(server)
    }

    /// Starts it and waits only until it has said where it listens.
    ///
    /// # Errors
    /// If it ends, or says nothing for a minute; with what it wrote.
    pub async fn listen(&self) -> Result<ServerProcess, RigError> {
        let process = self.spawn().await?;
        ServerProcess::listening(self.clone(), process).await
    }

    /// Starts it and waits for nothing.
    ///
    /// # Errors
    /// If there is no process to be had.
    pub async fn spawn(&self) -> Result<Process, RigError> {
        Process::spawn(&self.plan(&["serve"])).await
    }

    /// Runs another command, such as `["audit", "--json"]`, with the same settings, to its end.
    ///
    /// # Errors
    /// If it goes on for two minutes.
    pub async fn run(&self, arguments: &[&str]) -> Result<Finished, RigError> {
        self.run_within(arguments, COMMAND_LIMIT).await
    }

    /// The same, for a command that may take longer, or must not take as long.
    ///
    /// # Errors
    /// If it goes on for longer than `limit`.
    pub async fn run_within(&self, arguments: &[&str], limit: Duration) -> Result<Finished, RigError> {
        let mut plan = self.plan(arguments);
        plan.kept_lines = usize::MAX;
        process::run(&plan, limit).await
    }

    fn plan(&self, arguments: &[&str]) -> Plan {
        let mut plan = Plan::new(&self.program);
        plan.arguments = arguments.iter().map(OsString::from).collect();
        plan.environment.clone_from(&self.settings);
        plan.directory.clone_from(&self.directory);
        plan.kept_lines = self.kept_lines;
        plan.obeys_permissions = self.obeys_permissions;
        plan
    }
}

/// A server that says where it listens. Dropping it kills it.
#[derive(Debug)]
pub struct ServerProcess {
    builder: ServerBuilder,
    process: Process,
    address: String,
    ops_address: Option<String>,
}

impl ServerProcess {
    /// For a server whose binary is `program`; in the service's own tests that is
    /// `env!("CARGO_BIN_EXE_holdfast")`. It listens on a free port of 127.0.0.1, and inherits no settings.
    pub fn builder(program: impl Into<PathBuf>) -> ServerBuilder {
        let program = program.into();
        let (settings, directory) = (Vec::new(), None);
        ServerBuilder { program, settings, directory, kept_lines: usize::MAX, obeys_permissions: false }
            .setting("LISTEN_ADDR", "127.0.0.1:0")
            .setting("RUST_BACKTRACE", "1")
    }

    async fn listening(builder: ServerBuilder, process: Process) -> Result<Self, RigError> {
        let has_ops = builder.settings.iter().any(|(name, _)| name == "OPS_ADDR");
        let log = process.log().clone();
        let addresses = async {
            let address = log.wait_for(|line| address_after(&line.text, "listening on http://")).await?;
            let ops_address = if has_ops {
                Some(log.wait_for(|line| address_after(&line.text, "ops on http://")).await?)
            } else {
                None
            };
            Some((address, ops_address))
        };
        match tokio::time::timeout(READY_LIMIT, addresses).await {
            Ok(Some((address, ops_address))) => Ok(Self { builder, process, address, ops_address }),
            Ok(None) => {
                let status = process.wait().await;
                Err(RigError::Ended { program: process.name().to_owned(), status, log: log.text() })
            }
            Err(_) => Err(RigError::TooSlow {
                program: process.name().to_owned(),
                goal: "say where it listens",
                seconds: READY_LIMIT.as_secs(),
                last: "nothing".to_owned(),
                log: log.text(),
            }),
        }
    }

    /// Waits until `/readyz` says 200.
    ///
    /// # Errors
    /// If the server ends, or does not say so within a minute; with what it wrote.
    pub async fn wait_until_ready(&self) -> Result<(), RigError> {
        let client = Client::new(&self.ops_url());
        self.process
            .wait_until("say that it is ready", READY_LIMIT, || async {
                match client.get("/readyz").await {
                    Ok(answer) if answer.status == 200 => Ok(()),
                    Ok(answer) => Err(format!("{} {}", answer.status, answer.text())),
                    Err(error) => Err(error.to_string()),
                }
            })
            .await
    }

    /// Where it listens: `127.0.0.1:PORT`.
    pub fn address(&self) -> &str {
        &self.address
    }

    /// The URL of its API, without a slash at the end.
    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// The URL of `/metrics`, `/healthz` and `/readyz`, without a slash at the end.
    pub fn ops_url(&self) -> String {
        format!("http://{}", self.ops_address.as_ref().unwrap_or(&self.address))
    }

    /// A client of its API.
    pub fn client(&self) -> Client {
        Client::new(&self.url())
    }

    /// The builder that started it: for its other commands, or for a second server like it.
    pub fn builder_again(&self) -> ServerBuilder {
        self.builder.clone().setting("LISTEN_ADDR", "127.0.0.1:0")
    }

    /// The number of its process.
    pub fn process_id(&self) -> i32 {
        self.process.id()
    }

    /// What it wrote since it was last started.
    pub fn log(&self) -> &Log {
        self.process.log()
    }

    /// How it ended, if it has.
    pub fn ended(&self) -> Option<ExitStatus> {
        self.process.ended()
    }

    /// Kills it (SIGKILL) and waits until it is gone.
    pub async fn kill(&self) {
        self.process.kill().await;
    }

    /// Asks it to end (SIGTERM) and waits for that.
    ///
    /// # Errors
    /// If it had ended, or goes on for a minute.
    pub async fn terminate(&self) -> Result<ExitStatus, RigError> {
        self.process.terminate(STOP_LIMIT).await
    }

    /// Asks it to end (SIGTERM), and does not wait.
    ///
    /// # Errors
    /// If it had ended.
    pub fn begin_to_terminate(&self) -> Result<(), RigError> {
        self.process.signal(rustix::process::Signal::TERM)
    }

    /// Waits until it has ended by itself, or by what it was asked before.
    ///
    /// # Errors
    /// If it goes on for a minute.
    pub async fn wait(&self) -> Result<ExitStatus, RigError> {
        self.process.wait_at_most(STOP_LIMIT).await
    }

    /// Stops its clock: connections stay open, nothing answers.
    ///
    /// # Errors
    /// If it has ended.
    pub fn freeze(&self) -> Result<(), RigError> {
        self.process.freeze()
    }

    /// Lets it go on.
    ///
    /// # Errors
    /// If it has ended.
    pub fn thaw(&self) -> Result<(), RigError> {
        self.process.thaw()
    }

    /// Starts it again with the same settings and the same port, killing it first if it runs, and waits
    /// until it is ready.
    ///
    /// # Errors
    /// If it does not start, or something else has taken its port.
    pub async fn restart(&mut self) -> Result<(), RigError> {
        self.process.kill().await;
        let builder = self.builder.clone().setting("LISTEN_ADDR", &self.address);
        let process = builder.spawn().await?;
        *self = Self::listening(builder, process).await?;
        self.wait_until_ready().await
    }
}

/// The address in a line like `listening on http://127.0.0.1:8080`, whatever stands before and after it.
fn address_after(line: &str, words: &str) -> Option<String> {
    let (_, rest) = line.split_once(words)?;
    let end = rest.find(|c: char| !(c.is_ascii_alphanumeric() || ".:[]".contains(c))).unwrap_or(rest.len());
    (end > 0).then(|| rest[..end].to_owned())
}

#[cfg(test)]
mod tests {
    use super::address_after;

    #[test]
    fn the_address_is_found_in_a_line() {
        let find = |line| address_after(line, "listening on http://");
        assert_eq!(find("listening on http://127.0.0.1:8080").as_deref(), Some("127.0.0.1:8080"));
        assert_eq!(find("INFO listening on http://[::1]:80/ now").as_deref(), Some("[::1]:80"));
        assert_eq!(find("listening on http://"), None);
        assert_eq!(find("ops on http://127.0.0.1:1"), None);
    }
}
